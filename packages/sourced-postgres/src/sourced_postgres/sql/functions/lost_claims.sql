-- lost_claims: which claims are no longer the worker's.
--
-- p_group, p_worker: the names that the claims were made under.
-- p_stream_ids, p_epochs, p_next_seqs: the claims.
-- p_lock: whether to lock their deliveries, in order; the caller has locked the streams then.
-- Returns: places of the lost ones, from 1 on.
CREATE OR REPLACE FUNCTION {schema}.lost_claims(
    p_group text,
    p_worker text,
    p_stream_ids text[],
    p_epochs bigint[],
    p_next_seqs bigint[],
    p_lock boolean DEFAULT false
) RETURNS integer[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_group integer;
    v_keys bigint[];
BEGIN
    SELECT g.id INTO v_group FROM {schema}.groups AS g WHERE g.name = p_group;
    IF p_lock THEN
        v_keys := {schema}.stream_keys(p_stream_ids);
        PERFORM {schema}.lock_deliveries(array_fill(v_group, ARRAY[cardinality(v_keys)]), v_keys);
    END IF;
    RETURN ARRAY(
        SELECT c.place::integer
        FROM unnest(p_stream_ids, p_epochs, p_next_seqs)
            WITH ORDINALITY AS c (stream_id, epoch, next_seq, place)
        LEFT JOIN LATERAL (
            SELECT d.worker, d.epoch, d.next_seq
            FROM {schema}.deliveries AS d
            WHERE d."group" = v_group
                AND d.stream = (
                    SELECT s.id FROM {schema}.streams AS s WHERE s.stream_id = c.stream_id
                )
            LIMIT 1
        ) AS d ON true
        WHERE d.worker IS DISTINCT FROM p_worker
            OR d.epoch <> c.epoch
            OR d.next_seq <> c.next_seq
        ORDER BY c.place
    );
END
$$;

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
        v_keys := ARRAY(
            SELECT s.id FROM {schema}.streams AS s WHERE s.stream_id = ANY (p_stream_ids)
        );
        PERFORM 1
        FROM {schema}.deliveries AS d
        WHERE d."group" = v_group AND d.stream = ANY (v_keys)
        ORDER BY d.stream
        FOR NO KEY UPDATE;
    END IF;
    RETURN ARRAY(
        SELECT c.place::integer
        FROM unnest(p_stream_ids, p_epochs, p_next_seqs)
            WITH ORDINALITY AS c (stream_id, epoch, next_seq, place)
        LEFT JOIN {schema}.streams AS s ON s.stream_id = c.stream_id
        LEFT JOIN {schema}.deliveries AS d
            ON d."group" = v_group
            AND d.stream = s.id
            AND d.worker = p_worker
            AND d.epoch = c.epoch
            AND d.next_seq = c.next_seq
        WHERE d.stream IS NULL
        ORDER BY c.place
    );
END
$$;

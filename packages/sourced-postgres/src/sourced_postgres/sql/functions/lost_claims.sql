-- lost_claims: which claims are no longer the worker's, by a glance without locks.
--
-- p_group, p_worker: the names that the claims were made under.
-- p_stream_ids, p_epochs, p_next_seqs: the claims.
-- Returns: places of the lost ones, from 1 on.
CREATE OR REPLACE FUNCTION {schema}.lost_claims(
    p_group text,
    p_worker text,
    p_stream_ids text[],
    p_epochs bigint[],
    p_next_seqs bigint[]
) RETURNS integer[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_group integer;
BEGIN
    SELECT g.id INTO v_group FROM {schema}.groups AS g WHERE g.name = p_group;
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

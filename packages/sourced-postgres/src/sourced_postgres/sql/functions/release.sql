-- release: gives claims back untouched, no attempt counted; those lost are passed over.
--
-- It waits for who looks at a claim, such as an operator's skip or a commit that was fenced off:
-- the worker lets go of its claims and lives on, so one that is passed over would stay held. All
-- are locked, in order, before any is changed: a fan-out waits for what is changed, not for what is
-- only locked, so nobody who waits for it holds what is waited for here.
--
-- p_groups, p_workers, p_stream_ids, p_epochs, p_next_seqs: the claims.
-- Returns: names of the groups, one for each that was given back.
CREATE OR REPLACE FUNCTION {schema}.release(
    p_groups text[],
    p_workers text[],
    p_stream_ids text[],
    p_epochs bigint[],
    p_next_seqs bigint[]
) RETURNS text[]
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_groups text[];
BEGIN
    PERFORM 1
    FROM unnest(p_groups, p_workers, p_stream_ids, p_epochs, p_next_seqs)
        AS c ("group", worker, stream_id, epoch, next_seq)
    JOIN {schema}.groups AS g ON g.name = c."group"
    JOIN {schema}.streams AS s ON s.stream_id = c.stream_id
    JOIN {schema}.deliveries AS d
        ON d."group" = g.id
        AND d.stream = s.id
        AND d.worker = c.worker
        AND d.epoch = c.epoch
        AND d.next_seq = c.next_seq
    ORDER BY d."group", d.stream
    FOR NO KEY UPDATE OF d;
    WITH given AS (
        UPDATE {schema}.deliveries AS d
        SET worker = NULL, claimed_at = NULL, attempts = greatest(d.attempts - 1, 0)
        FROM unnest(p_groups, p_workers, p_stream_ids, p_epochs, p_next_seqs)
            AS c ("group", worker, stream_id, epoch, next_seq)
        JOIN {schema}.groups AS g ON g.name = c."group"
        JOIN {schema}.streams AS s ON s.stream_id = c.stream_id
        WHERE d."group" = g.id
            AND d.stream = s.id
            AND d.worker = c.worker
            AND d.epoch = c.epoch
            AND d.next_seq = c.next_seq
        RETURNING g.name
    )
    SELECT array_agg(n.name) INTO v_groups FROM given AS n;
    RETURN coalesce(v_groups, ARRAY[]::text[]);
END
$$;

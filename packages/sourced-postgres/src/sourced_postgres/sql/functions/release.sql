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
{by_index}
AS $$
DECLARE
    v_owners integer[];
    v_keys bigint[];
    v_groups text[];
BEGIN
    SELECT
        coalesce(array_agg(g.id ORDER BY g.id, s.id), ARRAY[]::integer[]),
        coalesce(array_agg(s.id ORDER BY g.id, s.id), ARRAY[]::bigint[])
    INTO v_owners, v_keys
    FROM unnest(p_groups, p_stream_ids) AS c ("group", stream_id)
    JOIN {schema}.groups AS g ON g.name = c."group"
    JOIN {schema}.streams AS s ON s.stream_id = c.stream_id;
    PERFORM {schema}.lock_deliveries(v_owners, v_keys);
    WITH claims AS MATERIALIZED (
        SELECT g.id AS "group", g.name, s.id AS stream, c.worker, c.epoch, c.next_seq
        FROM unnest(p_groups, p_workers, p_stream_ids, p_epochs, p_next_seqs)
            AS c ("group", worker, stream_id, epoch, next_seq)
        JOIN {schema}.groups AS g ON g.name = c."group"
        JOIN {schema}.streams AS s ON s.stream_id = c.stream_id
    ),
    given AS (
        UPDATE {schema}.deliveries AS d
        SET worker = NULL, claimed_at = NULL, attempts = greatest(d.attempts - 1, 0)
        FROM claims AS c
        WHERE d."group" = c."group"
            AND d.stream = c.stream
            AND d.worker IS NOT DISTINCT FROM c.worker -- is looked up by its key, not by worker
            AND d.epoch = c.epoch
            AND d.next_seq = c.next_seq
        RETURNING c.name
    )
    SELECT array_agg(n.name) INTO v_groups FROM given AS n;
    RETURN coalesce(v_groups, ARRAY[]::text[]);
END
$$;

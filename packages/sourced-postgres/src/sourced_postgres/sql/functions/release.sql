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
    PERFORM {schema}.check_isolation();
    SELECT
        coalesce(array_agg(c.owner ORDER BY c.owner, c.stream), ARRAY[]::integer[]),
        coalesce(array_agg(c.stream ORDER BY c.owner, c.stream), ARRAY[]::bigint[])
    INTO v_owners, v_keys
    FROM (
        SELECT
            (SELECT g.id FROM {schema}.groups AS g WHERE g.name = c."group") AS owner,
            (SELECT s.id FROM {schema}.streams AS s WHERE s.stream_id = c.stream_id) AS stream
        FROM unnest(p_groups, p_stream_ids) AS c ("group", stream_id)
    ) AS c;
    PERFORM {schema}.lock_deliveries(v_owners, v_keys);
    WITH held AS MATERIALIZED (
        SELECT c."group", d.place
        FROM unnest(p_groups, p_workers, p_stream_ids, p_epochs, p_next_seqs)
            AS c ("group", worker, stream_id, epoch, next_seq)
        CROSS JOIN LATERAL (
            SELECT d.ctid AS place, d.worker, d.epoch, d.next_seq
            FROM {schema}.deliveries AS d
            WHERE d."group" = (SELECT g.id FROM {schema}.groups AS g WHERE g.name = c."group")
                AND d.stream = (
                    SELECT s.id FROM {schema}.streams AS s WHERE s.stream_id = c.stream_id
                )
            LIMIT 1
        ) AS d
        WHERE d.worker = c.worker AND d.epoch = c.epoch AND d.next_seq = c.next_seq
    ),
    given AS (
        UPDATE {schema}.deliveries AS d
        SET worker = NULL, claimed_at = NULL, attempts = greatest(d.attempts - 1, 0)
        FROM held AS h
        WHERE d.ctid = h.place
        RETURNING h."group" AS name
    )
    SELECT array_agg(n.name) INTO v_groups FROM given AS n;
    RETURN coalesce(v_groups, ARRAY[]::text[]);
END
$$;

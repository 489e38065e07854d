-- reap: declares workers dead that were not seen within the lease, and frees what nobody holds.
--
-- Never waits: what another transaction has locked is left to the next reaper.
--
-- p_lease: in seconds.
-- Returns: how many deliveries were freed, ready now and suspect; names of their groups.
CREATE OR REPLACE FUNCTION {schema}.reap(p_lease float8, OUT freed bigint, OUT groups text[])
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_now timestamptz := {schema}.now();
    v_gone text[];
    v_owners integer[];
    v_keys bigint[];
    v_places tid[];
BEGIN
    PERFORM {schema}.check_isolation();
    DELETE FROM {schema}.workers AS w
    WHERE w.id IN (
        SELECT x.id
        FROM {schema}.workers AS x
        WHERE x.seen_at < v_now - make_interval(secs => p_lease)
        FOR UPDATE SKIP LOCKED
    );
    v_gone := {schema}.gone_workers();
    WITH orphans AS MATERIALIZED (
        SELECT d."group", d.stream
        FROM {schema}.deliveries AS d
        WHERE d.worker = ANY (v_gone)
    )
    SELECT
        array_agg(o."group" ORDER BY o."group", o.stream),
        array_agg(o.stream ORDER BY o."group", o.stream)
    INTO v_owners, v_keys
    FROM orphans AS o;
    v_places := ARRAY(
        SELECT d.place
        FROM unnest(v_owners, v_keys) AS k ("group", stream)
        CROSS JOIN LATERAL (
            SELECT d.ctid AS place
            FROM {schema}.deliveries AS d
            WHERE d."group" = k."group"
                AND d.stream = k.stream
                AND d.worker IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM {schema}.workers AS w WHERE w.id = d.worker)
            LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS d
    );
    WITH loose AS (
        UPDATE {schema}.deliveries AS d
        SET worker = NULL, claimed_at = NULL, suspect = true, ready_at = v_now
        WHERE d.ctid = ANY (v_places)
            -- By a snapshot of now: whoever joined meanwhile may have claimed what was freed.
            AND NOT EXISTS (SELECT 1 FROM {schema}.workers AS w WHERE w.id = d.worker)
        RETURNING d."group"
    )
    SELECT
        (SELECT count(*) FROM loose AS l),
        (SELECT array_agg(g.name) FROM {schema}.groups AS g WHERE g.id IN (SELECT l."group" FROM loose AS l))
    INTO freed, groups;
END
$$;

-- poll: says in one bounded read what there is to do.
--
-- p_lease: in seconds.
-- Returns: a row for each active group: since when something of it could be claimed, null if nothing
--     can; and when the next thing will be. Then one with a null group: what time it is; when the
--     next scheduled message is due, whether one is; and whether a worker is overdue or a claim's
--     worker gone.
CREATE OR REPLACE FUNCTION {schema}.poll(p_lease float8)
RETURNS TABLE (
    "group" text, since timestamptz, next_at timestamptz, is_due boolean, is_overdue boolean
)
LANGUAGE plpgsql VOLATILE
{by_index}
SET enable_sort = off
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := {schema}.now();
BEGIN
    RETURN QUERY
    SELECT g.name::text, min(f.since), min(f.next_at), false, false
    FROM {schema}.groups AS g
    CROSS JOIN (VALUES (false), (true)) AS b (suspect)
    CROSS JOIN LATERAL (
        SELECT
            (
                SELECT d.ready_at
                FROM {schema}.deliveries AS d
                WHERE d."group" = g.id
                    AND d.suspect = b.suspect
                    AND d.worker IS NULL
                    AND d.parked_at IS NULL
                    AND d.ready_at <= v_now
                ORDER BY d.ready_at
                LIMIT 1
            ) AS since,
            (
                SELECT d.ready_at
                FROM {schema}.deliveries AS d
                WHERE d."group" = g.id
                    AND d.suspect = b.suspect
                    AND d.worker IS NULL
                    AND d.parked_at IS NULL
                    AND d.ready_at > v_now
                ORDER BY d.ready_at
                LIMIT 1
            ) AS next_at
    ) AS f
    WHERE g.status = 'active'
    GROUP BY g.name
    UNION ALL
    SELECT
        NULL,
        v_now,
        (
            SELECT s.due_at
            FROM {schema}.schedule AS s
            WHERE s.error IS NULL AND s.due_at > v_now
            ORDER BY s.due_at
            LIMIT 1
        ),
        EXISTS (
            SELECT 1 FROM {schema}.schedule AS s WHERE s.error IS NULL AND s.due_at <= v_now
        ),
        EXISTS (
            SELECT 1
            FROM {schema}.workers AS w
            WHERE w.seen_at < v_now - make_interval(secs => p_lease)
        ) OR cardinality({schema}.gone_workers()) > 0;
END
$$;

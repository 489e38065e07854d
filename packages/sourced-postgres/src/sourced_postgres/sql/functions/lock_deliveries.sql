-- lock_deliveries: locks deliveries, those that exist, in the order given.
--
-- p_groups, p_streams: their keys, sorted by both: the order in which everybody locks them.
-- Returns: nothing; what depends on the locks is read in the caller's next statement.
CREATE OR REPLACE FUNCTION {schema}.lock_deliveries(p_groups integer[], p_streams bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
BEGIN
    PERFORM 1
    FROM unnest(p_groups, p_streams) AS k ("group", stream)
    CROSS JOIN LATERAL (
        SELECT 1
        FROM {schema}.deliveries AS d
        WHERE d."group" = k."group" AND d.stream = k.stream
        LIMIT 1
        FOR NO KEY UPDATE
    ) AS d;
END
$$;

-- lock_streams_by_key: locks streams in the order in which everybody locks them.
--
-- p_keys: surrogate keys, in any order.
-- Returns: nothing; what depends on the locks is read in the caller's next statement.
CREATE OR REPLACE FUNCTION {schema}.lock_streams_by_key(p_keys bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
BEGIN
    PERFORM 1
    FROM (
        SELECT k.stream, (SELECT s.stream_id FROM {schema}.streams AS s WHERE s.id = k.stream) AS name
        FROM unnest(p_keys) AS k (stream)
        ORDER BY name
    ) AS k
    CROSS JOIN LATERAL (
        SELECT 1 FROM {schema}.streams AS s WHERE s.id = k.stream LIMIT 1 FOR NO KEY UPDATE
    ) AS s;
END
$$;

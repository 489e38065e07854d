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
        WITH wanted AS MATERIALIZED (
            SELECT s.id, s.stream_id FROM {schema}.streams AS s WHERE s.id = ANY (p_keys)
        )
        SELECT w.id, w.stream_id FROM wanted AS w
    ) AS w
    JOIN {schema}.streams AS s ON s.id = w.id
    ORDER BY w.stream_id
    FOR NO KEY UPDATE OF s;
END
$$;

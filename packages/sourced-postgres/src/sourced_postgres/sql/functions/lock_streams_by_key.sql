-- lock_streams_by_key: locks streams in the order in which everybody locks them.
--
-- p_keys: surrogate keys, in any order.
-- Returns: nothing; what depends on the locks is read in the caller's next statement.
CREATE OR REPLACE FUNCTION {schema}.lock_streams_by_key(p_keys bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM 1
    FROM {schema}.streams AS s
    WHERE s.id = ANY (p_keys)
    ORDER BY s.stream_id
    FOR NO KEY UPDATE;
END
$$;

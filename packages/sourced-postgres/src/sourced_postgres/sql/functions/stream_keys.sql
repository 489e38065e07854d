-- stream_keys: the surrogate keys of streams, sorted, each once; names that nothing has are left out.
--
-- p_stream_ids: names, in any order.
CREATE OR REPLACE FUNCTION {schema}.stream_keys(p_stream_ids text[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT k.key
        FROM (
            SELECT (SELECT s.id FROM {schema}.streams AS s WHERE s.stream_id = n.name) AS key
            FROM unnest(p_stream_ids) AS n (name)
        ) AS k
        WHERE k.key IS NOT NULL
        ORDER BY k.key
    );
END
$$;

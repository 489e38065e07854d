-- places: which streams a batch touches, in the order in which they are locked.
--
-- p_stream_ids: of its messages.
-- p_expect: its expectations, or null.
-- p_others: streams that are touched without being written to.
-- Returns: names, each once, by COLLATE "C"; and how many messages go to each.
CREATE OR REPLACE FUNCTION {schema}.places(
    p_stream_ids text[],
    p_expect jsonb,
    p_others text[] DEFAULT NULL,
    OUT names text[],
    OUT counts bigint[]
)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    SELECT
        array_agg(t.stream_id ORDER BY t.stream_id COLLATE "C"),
        array_agg(t.written ORDER BY t.stream_id COLLATE "C")
    INTO names, counts
    FROM (
        SELECT u.stream_id, sum(u.written)::bigint AS written
        FROM (
            SELECT m.stream_id, 1 AS written FROM unnest(p_stream_ids) AS m (stream_id)
            UNION ALL
            SELECT o.stream_id, 0 FROM unnest(p_others) AS o (stream_id)
            UNION ALL
            SELECT e.value ->> 'stream_id', 0 FROM jsonb_array_elements(p_expect) AS e (value)
        ) AS u
        GROUP BY u.stream_id
    ) AS t;
END
$$;

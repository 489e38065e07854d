-- find_ids: where messages of these ids are, in the log or in the schedule.
--
-- p_ids: message ids.
-- Returns: a row for each that is known; one that is scheduled has an empty stream and seq 0.
CREATE OR REPLACE FUNCTION {schema}.find_ids(p_ids uuid[])
RETURNS TABLE (id uuid, stream_id text, seq bigint, type text)
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT
        m.id,
        (SELECT s.stream_id FROM {schema}.streams AS s WHERE s.id = m.stream),
        m.seq,
        m.type
    FROM {schema}.messages AS m
    WHERE m.id = ANY (p_ids)
    UNION ALL
    SELECT w.message_id, '', 0::bigint, w.type
    FROM {schema}.schedule AS w
    WHERE w.message_id = ANY (p_ids);
END
$$;

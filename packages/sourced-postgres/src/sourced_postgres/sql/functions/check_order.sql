-- check_order: refuses work in which a group leaves a message to its workers and handles a later one.
--
-- p_handled_groups, p_handled_ids: pairs of a group's key and a message that it has handled.
-- p_stream_ids, p_ids, p_types: the messages, in order.
-- Returns: nothing; raises SR006 with a sentence.
CREATE OR REPLACE FUNCTION {schema}.check_order(
    p_handled_groups integer[],
    p_handled_ids uuid[],
    p_stream_ids text[],
    p_ids uuid[],
    p_types text[]
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v record;
BEGIN
    WITH due AS (
        SELECT b."group", m.stream_id, m.id, m.type, m.place, h.id IS NOT NULL AS is_handled
        FROM unnest(p_stream_ids, p_ids, p_types)
            WITH ORDINALITY AS m (stream_id, id, type, place)
        JOIN {schema}.subscriptions AS b ON b.type = m.type
        LEFT JOIN unnest(p_handled_groups, p_handled_ids) AS h (key, id)
            ON h.key = b."group" AND h.id = m.id
    )
    SELECT g.name, l.type, l.stream_id, e.id INTO v
    FROM due AS l
    JOIN due AS e ON e."group" = l."group" AND e.stream_id = l.stream_id AND e.place < l.place
    JOIN {schema}.groups AS g ON g.id = l."group"
    WHERE l.is_handled AND NOT e.is_handled
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR006',
            MESSAGE = format(
                'group %L handles %L in stream %L but not message %s before it; handle a '
                'stream''s messages in order', v.name, v.type, v.stream_id, v.id
            );
    END IF;
END
$$;

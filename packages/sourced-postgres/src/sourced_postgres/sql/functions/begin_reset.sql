-- begin_reset: says which streams a reset covers, and writes down that it begins.
--
-- p_group: the group's name.
-- p_stream_ids: only these streams, or null for all.
-- p_actor, p_host, p_reason: who does it, and why.
-- Returns: keys of the streams that hold a message of the group's, in order of creation; raises
--     SR005 if there is no such group or it is filling.
CREATE OR REPLACE FUNCTION {schema}.begin_reset(
    p_group text, p_stream_ids text[], p_actor text, p_host text, p_reason text
) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
    v_types text[];
    v_keys bigint[];
    v_pending bigint;
BEGIN
    v := {schema}.keep_group(p_group);
    PERFORM {schema}.check_filled(v, '');
    v_types := ARRAY(SELECT b.type FROM {schema}.subscriptions AS b WHERE b."group" = v.id);
    IF p_stream_ids IS NULL THEN
        v_keys := ARRAY(SELECT s.id FROM {schema}.streams AS s);
        SELECT count(*) INTO v_pending FROM {schema}.deliveries AS d WHERE d."group" = v.id;
    ELSE
        v_keys := {schema}.stream_keys(p_stream_ids);
        SELECT count(d.stream) INTO v_pending
        FROM unnest(v_keys) AS k (stream)
        CROSS JOIN LATERAL (
            SELECT d.stream
            FROM {schema}.deliveries AS d
            WHERE d."group" = v.id AND d.stream = k.stream
            LIMIT 1
        ) AS d;
    END IF;
    v_keys := ARRAY(
        SELECT k.stream
        FROM unnest(v_keys) AS k (stream)
        WHERE (
            SELECT true
            FROM {schema}.messages AS m
            WHERE m.stream = k.stream AND m.type = ANY (v_types)
            LIMIT 1
        )
        ORDER BY k.stream
    );
    PERFORM {schema}.record(
        p_actor, p_host, 'reset', concat_ws(' ', p_group, array_to_string(p_stream_ids, ', ')),
        p_reason,
        format('%s streams with something to handle', v_pending),
        format('%s streams to replay', cardinality(v_keys))
    );
    RETURN v_keys;
END
$$;

-- check_filled: refuses what a group must be filled for.
--
-- p_group: the group's row.
-- p_stream_id: the stream that the verb is about, or nothing.
-- Returns: nothing; raises SR005.
CREATE OR REPLACE FUNCTION {schema}.check_filled(p_group {schema}.groups, p_stream_id text)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF p_group.fill_upto IS NOT NULL THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR005',
            MESSAGE = 'the group is filling',
            DETAIL = jsonb_build_object(
                'group', p_group.name, 'stream_id', p_stream_id, 'reason', 'filling'
            )::text;
    END IF;
END
$$;

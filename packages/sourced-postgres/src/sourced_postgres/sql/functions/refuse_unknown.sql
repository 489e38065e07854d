-- refuse_unknown: says that there is no such group.
--
-- p_group: its name.
-- Returns: nothing; raises SR005.
CREATE OR REPLACE FUNCTION {schema}.refuse_unknown(p_group text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'SR005',
        MESSAGE = 'there is no such group',
        DETAIL = jsonb_build_object('group', p_group, 'reason', 'unknown')::text;
END
$$;

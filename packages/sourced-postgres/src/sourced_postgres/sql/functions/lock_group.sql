-- lock_group: locks a group's row for an operator's verb; appends and acks never touch it.
--
-- p_group: its name.
-- Returns: the row; raises SR005 if there is no such group.
CREATE OR REPLACE FUNCTION {schema}.lock_group(p_group text) RETURNS {schema}.groups
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
BEGIN
    PERFORM {schema}.check_isolation();
    SELECT g.* INTO v FROM {schema}.groups AS g WHERE g.name = p_group FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR005',
            MESSAGE = 'there is no such group',
            DETAIL = jsonb_build_object('group', p_group, 'reason', 'unknown')::text;
    END IF;
    RETURN v;
END
$$;

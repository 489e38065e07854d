-- keep_group: lets nobody remove or rename a group until the commit; it may be stopped meanwhile.
--
-- Whoever locks streams takes this lock behind them: one that waited for a stream with the group
-- locked would hold up whoever wants to stop it.
--
-- p_group: its name.
-- Returns: the row; raises SR003 the isolation level, SR005 if there is no such group.
CREATE OR REPLACE FUNCTION {schema}.keep_group(p_group text) RETURNS {schema}.groups
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
BEGIN
    PERFORM {schema}.check_isolation();
    SELECT g.* INTO v FROM {schema}.groups AS g WHERE g.name = p_group FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM {schema}.refuse_unknown(p_group);
    END IF;
    RETURN v;
END
$$;

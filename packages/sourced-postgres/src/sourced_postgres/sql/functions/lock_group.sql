-- lock_group: locks a group's row to change it; appends and acks never touch it.
--
-- Held for a moment only: whoever has to wait for streams or deliveries takes keep_group's.
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
        PERFORM {schema}.refuse_unknown(p_group);
    END IF;
    RETURN v;
END
$$;

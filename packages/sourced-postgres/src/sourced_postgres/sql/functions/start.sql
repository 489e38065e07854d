-- start: lets a stopped group be claimed again, or be filled to the end first.
--
-- p_group: its name.
-- p_actor, p_host, p_reason: who does it, and why.
-- Returns: nothing; raises SR005 if there is no such group.
CREATE OR REPLACE FUNCTION {schema}.start(
    p_group text, p_actor text, p_host text, p_reason text
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
    v_status text;
BEGIN
    v := {schema}.lock_group(p_group);
    v_status := CASE WHEN v.fill_upto IS NULL THEN 'active' ELSE 'filling' END;
    UPDATE {schema}.groups AS g
    SET status = v_status,
        reason = '',
        since = CASE WHEN v.status = v_status THEN v.since ELSE {schema}.now() END
    WHERE g.id = v.id;
    PERFORM {schema}.record(p_actor, p_host, 'start', p_group, p_reason, v.status, v_status);
END
$$;

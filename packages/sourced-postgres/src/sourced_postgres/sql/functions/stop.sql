-- stop: lets no more be claimed for a group; what is claimed may still be committed.
--
-- p_group: its name.
-- p_actor, p_host, p_reason: who does it, and why.
-- Returns: nothing; raises SR005 if there is no such group.
CREATE OR REPLACE FUNCTION {schema}.stop(
    p_group text, p_actor text, p_host text, p_reason text
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
BEGIN
    v := {schema}.lock_group(p_group);
    UPDATE {schema}.groups AS g
    SET status = 'stopped',
        reason = p_reason,
        since = CASE WHEN v.status = 'stopped' THEN v.since ELSE {schema}.now() END
    WHERE g.id = v.id;
    PERFORM {schema}.record(p_actor, p_host, 'stop', p_group, p_reason, v.status, 'stopped');
END
$$;

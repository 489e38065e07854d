-- remove: forgets a group that nothing fans out to any more.
--
-- The last step: unsubscribe took its types, move_on its deliveries.
--
-- p_group: its name.
-- p_actor, p_host, p_reason: who does it, and why.
-- Returns: nothing; raises SR005 if there is no such group.
CREATE OR REPLACE FUNCTION {schema}.remove(
    p_group text, p_actor text, p_host text, p_reason text
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
BEGIN
    v := {schema}.lock_group(p_group);
    DELETE FROM {schema}.deliveries AS d WHERE d."group" = v.id;
    DELETE FROM {schema}.subscriptions AS b WHERE b."group" = v.id;
    DELETE FROM {schema}.snapshots AS p WHERE p."group" = v.id;
    DELETE FROM {schema}.former_names AS f WHERE f."group" = v.id;
    DELETE FROM {schema}.groups AS g WHERE g.id = v.id;
    PERFORM {schema}.record(p_actor, p_host, 'remove', p_group, p_reason, v.status, 'removed');
END
$$;

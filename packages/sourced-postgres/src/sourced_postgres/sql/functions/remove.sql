-- remove: forgets a group that nothing fans out to any more.
--
-- The last step: unsubscribe took its types, move_on its deliveries. It shuts appends out and holds
-- the group's row alone before it deletes anything: an append that knew the group, a reset or a fill
-- is committed by then, and what it wrote is seen; or it comes later, and knows no such group.
--
-- p_group: its name.
-- p_actor, p_host, p_reason: who does it, and why.
-- Returns: false if somebody has registered it again meanwhile, and nothing was done; raises SR005
--     if there is no such group, lock_not_available.
CREATE OR REPLACE FUNCTION {schema}.remove(
    p_group text, p_actor text, p_host text, p_reason text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
BEGIN
    PERFORM {schema}.lock_subscriptions();
    SELECT g.* INTO v FROM {schema}.groups AS g WHERE g.name = p_group FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM {schema}.refuse_unknown(p_group);
    END IF;
    IF EXISTS (SELECT 1 FROM {schema}.subscriptions AS b WHERE b."group" = v.id) THEN
        RETURN false;
    END IF;
    DELETE FROM {schema}.deliveries AS d WHERE d."group" = v.id;
    DELETE FROM {schema}.snapshots AS p WHERE p."group" = v.id;
    DELETE FROM {schema}.former_names AS f WHERE f."group" = v.id;
    DELETE FROM {schema}.groups AS g WHERE g.id = v.id;
    PERFORM {schema}.record(p_actor, p_host, 'remove', p_group, p_reason, v.status, 'removed');
    RETURN true;
END
$$;

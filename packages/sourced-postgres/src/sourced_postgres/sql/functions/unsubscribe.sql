-- unsubscribe: takes types from a group, or all of them; move_on then moves its deliveries.
--
-- Holds the exclusive lock, as registering does, so no append fans out to the group by an old view.
--
-- p_group: its name.
-- p_types: the types, or null for all.
-- p_actor, p_host, p_reason: who does it, and why; with null types nothing is written down.
-- Returns: the group's key; raises SR005 if there is no such group, lock_not_available.
CREATE OR REPLACE FUNCTION {schema}.unsubscribe(
    p_group text, p_types text[], p_actor text, p_host text, p_reason text
) RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
    v_before text;
    v_after text;
BEGIN
    PERFORM {schema}.lock_subscriptions();
    v := {schema}.lock_group(p_group);
    SELECT string_agg(b.type, ', ' ORDER BY b.type) INTO v_before
    FROM {schema}.subscriptions AS b
    WHERE b."group" = v.id;
    DELETE FROM {schema}.subscriptions AS b
    WHERE b."group" = v.id AND (p_types IS NULL OR b.type = ANY (p_types));
    SELECT string_agg(b.type, ', ' ORDER BY b.type) INTO v_after
    FROM {schema}.subscriptions AS b
    WHERE b."group" = v.id;
    IF p_types IS NOT NULL THEN
        PERFORM {schema}.record(
            p_actor, p_host, 'unsubscribe', p_group, p_reason,
            coalesce(v_before, 'nothing'), coalesce(v_after, 'nothing')
        );
    ELSE
        UPDATE {schema}.groups AS g SET status = 'stopped' WHERE g.id = v.id;
    END IF;
    RETURN v.id;
END
$$;

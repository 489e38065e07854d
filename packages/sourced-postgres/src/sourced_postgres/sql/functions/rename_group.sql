-- rename_group: lets a group that is still called by a former name go on under its new one.
--
-- Nobody can commit a claim that names the old group, so claims are freed, not held until their
-- worker ends. A claim that is being made under the old name is waited for first, and none can be
-- begun before the commit: claim tries for the same lock. All are locked, in order, before any is
-- changed, as by everybody.
--
-- p_group: the new name.
-- p_former: names that it had before.
-- Returns: nothing; raises SR007 if two groups would become one, or if a group would be made that
--     the store knows by another name; lock_not_available.
CREATE OR REPLACE FUNCTION {schema}.rename_group(p_group text, p_former text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_known text[];
    v_former text;
    v_group integer;
BEGIN
    v_known := ARRAY(
        SELECT g.name::text
        FROM {schema}.groups AS g
        WHERE g.name = p_group OR g.name = ANY (p_former)
        ORDER BY g.name = p_group, array_position(p_former, g.name::text)
    );
    IF cardinality(v_known) > 1 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR007',
            MESSAGE = 'several groups would become one',
            DETAIL = jsonb_build_object('group', p_group, 'known', to_jsonb(v_known))::text;
    END IF;
    IF p_group = ANY (v_known) THEN
        RETURN;
    END IF;
    PERFORM {schema}.check_not_renamed(p_group, p_former);
    v_former := v_known[1];
    IF v_former IS NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(
        '{schema}'::regnamespace::oid::integer, hashtext(v_former)
    );
    UPDATE {schema}.groups AS g SET name = p_group WHERE g.name = v_former RETURNING g.id INTO v_group;
    DELETE FROM {schema}.former_names AS f WHERE f.name = p_group;
    INSERT INTO {schema}.former_names (name, "group") VALUES (v_former, v_group);
    PERFORM 1
    FROM {schema}.deliveries AS d
    WHERE d."group" = v_group AND d.worker IS NOT NULL
    ORDER BY d.stream
    FOR NO KEY UPDATE;
    UPDATE {schema}.deliveries AS d
    SET worker = NULL,
        claimed_at = NULL,
        attempts = greatest(d.attempts - 1, 0),
        ready_at = {schema}.now()
    WHERE d."group" = v_group AND d.worker IS NOT NULL;
END
$$;

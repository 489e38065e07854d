-- subscribe: makes a group, filling unless it starts now, or adds types to a known one.
--
-- The first step of a registration. It holds the exclusive lock, so every append either committed
-- before it, and its streams are within `fill_upto`, or begins after it and fans out to the group.
--
-- p_group: its name.
-- p_types: what it handles.
-- p_is_now: whether it starts with what comes, so that nothing is filled.
-- p_start: or from messages created since; null from the beginning.
-- p_was: its former names; a group of such a name is renamed.
-- Returns: whether the group was made; the types that were added to a known group whose past is not
--     covered; whether it is to be filled.
-- Raises: SR007 if two groups would have to become one, or the group was renamed;
--     lock_not_available.
CREATE OR REPLACE FUNCTION {schema}.subscribe(
    p_group text,
    p_types text[],
    p_is_now boolean,
    p_start timestamptz,
    p_was text[],
    OUT is_created boolean,
    OUT added text[],
    OUT is_filling boolean
)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_group {schema}.groups%ROWTYPE;
    v_upto bigint;
BEGIN
    PERFORM {schema}.lock_subscriptions();
    PERFORM {schema}.rename_group(p_group, p_was);
    v_upto := (SELECT coalesce(max(s.id), 0) FROM {schema}.streams AS s);
    SELECT g.* INTO v_group FROM {schema}.groups AS g WHERE g.name = p_group FOR NO KEY UPDATE;
    is_created := NOT FOUND;
    IF is_created THEN
        INSERT INTO {schema}.groups AS g (
            name, status, reason, since, fill_after, fill_upto, fill_start
        )
        VALUES (
            p_group,
            CASE WHEN p_is_now THEN 'active' ELSE 'filling' END,
            '',
            {schema}.now(),
            CASE WHEN NOT p_is_now THEN 0 END,
            CASE WHEN NOT p_is_now THEN v_upto END,
            p_start
        )
        RETURNING g.* INTO v_group;
    END IF;
    WITH inserted AS (
        INSERT INTO {schema}.subscriptions AS b (type, "group")
        SELECT t.type, v_group.id FROM unnest(p_types) AS t (type)
        ON CONFLICT DO NOTHING
        RETURNING b.type
    )
    SELECT array_agg(i.type) INTO added FROM inserted AS i;
    is_filling := v_group.fill_upto IS NOT NULL;
    IF is_created THEN
        added := NULL;
    ELSIF is_filling AND added IS NOT NULL THEN
        -- A group that is still filling has handled nothing: the fill begins again and covers the
        -- new types too.
        UPDATE {schema}.groups AS g
        SET fill_after = 0, fill_upto = v_upto
        WHERE g.id = v_group.id;
        added := NULL;
    END IF;
END
$$;

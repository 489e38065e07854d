-- check_not_renamed: refuses to make a group under a name that another one had before.
--
-- A worker of older code would handle all of history again, beside the group that has handled it.
--
-- p_group: the name.
-- p_was: its former names; a name that the group has now is none to fear if it is among them.
-- Returns: nothing; raises SR007.
CREATE OR REPLACE FUNCTION {schema}.check_not_renamed(p_group text, p_was text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v record;
BEGIN
    SELECT f.name AS former, g.name AS now INTO v
    FROM unnest(p_group || p_was) WITH ORDINALITY AS n (name, place)
    JOIN {schema}.former_names AS f ON f.name = n.name
    JOIN {schema}.groups AS g ON g.id = f."group"
    WHERE g.name <> ALL (p_was)
    ORDER BY n.place
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR007',
            MESSAGE = 'the group was renamed',
            DETAIL = jsonb_build_object('group', p_group, 'former', v.former, 'now', v.now)::text;
    END IF;
END
$$;

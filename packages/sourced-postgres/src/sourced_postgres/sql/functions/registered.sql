-- registered: whether registering would change nothing; the one read that a known group costs.
--
-- p_group: its name.
-- p_types: the types that it is to handle.
-- p_was: its former names.
-- Returns: whether the group is there with these types, is not being filled (or is stopped), and no
--     group of a former name is left.
CREATE OR REPLACE FUNCTION {schema}.registered(p_group text, p_types text[], p_was text[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1
        FROM {schema}.groups AS g
        WHERE g.name = p_group
            AND (g.fill_upto IS NULL OR g.status = 'stopped')
            AND p_types <@ ARRAY(
                SELECT b.type::text FROM {schema}.subscriptions AS b WHERE b."group" = g.id
            )
    ) AND NOT EXISTS (
        SELECT 1 FROM {schema}.groups AS g WHERE g.name = ANY (p_was) AND g.name <> p_group
    );
END
$$;

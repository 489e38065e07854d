-- notify: tells listeners of the schema's channel that groups may have work.
--
-- Called after the commit, in a transaction of its own that need not wait for the disk. The payload
-- is bounded: too many groups are all groups.
--
-- p_token: of the sender, who passes over what it hears of itself.
-- p_groups: names.
-- Returns: nothing.
CREATE OR REPLACE FUNCTION {schema}.notify(p_token text, p_groups text[]) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_keys text;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT string_agg(g.id::text, ' ' ORDER BY g.id) INTO v_keys
    FROM {schema}.groups AS g
    WHERE g.name = ANY (p_groups);
    IF v_keys IS NOT NULL THEN
        PERFORM pg_notify(
            trim('"' FROM '{schema}'),
            concat(p_token, ' ', CASE WHEN length(v_keys) > 4000 THEN '*' ELSE v_keys END)
        );
    END IF;
END
$$;

-- shed_snapshots: deletes states of a group that is about to be removed, a chunk at a time.
--
-- The group has no types any more, so nobody reads or keeps any; what is left in the end, remove
-- deletes while it shuts appends out.
--
-- p_group: the group's key.
-- p_chunk: how many at most.
-- Returns: whether there may be more.
CREATE OR REPLACE FUNCTION {schema}.shed_snapshots(p_group integer, p_chunk integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_gone integer;
BEGIN
    PERFORM {schema}.check_isolation();
    DELETE FROM {schema}.snapshots AS p
    WHERE p.ctid = ANY (
        ARRAY(SELECT x.ctid FROM {schema}.snapshots AS x WHERE x."group" = p_group LIMIT p_chunk)
    );
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_gone = p_chunk;
END
$$;

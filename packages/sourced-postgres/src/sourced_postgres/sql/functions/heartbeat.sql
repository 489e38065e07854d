-- heartbeat: says that a worker lives.
--
-- p_id: the worker.
-- Returns: false if it was declared dead and has lost its claims.
CREATE OR REPLACE FUNCTION {schema}.heartbeat(p_id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM {schema}.check_isolation();
    UPDATE {schema}.workers AS w SET seen_at = {schema}.now() WHERE w.id = p_id;
    RETURN FOUND;
END
$$;

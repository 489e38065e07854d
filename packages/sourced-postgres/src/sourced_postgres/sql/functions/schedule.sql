-- schedule: keeps messages until they are due.
--
-- p_schedule: see insert_scheduled.
-- Returns: nothing; raises SR003 the isolation level, SR004 if an id is in the log.
CREATE OR REPLACE FUNCTION {schema}.schedule(p_schedule jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM {schema}.check_isolation();
    PERFORM {schema}.insert_scheduled(p_schedule);
END
$$;

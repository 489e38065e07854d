-- lock_subscriptions: waits until no append is under way, and keeps them out until the commit.
--
-- Appends queue behind whoever waits for this lock, so nobody waits for it longer than a tenth of a
-- second: lock_timeout ends the attempt, and the caller tries again a little later.
-- Returns: nothing; raises lock_not_available.
CREATE OR REPLACE FUNCTION {schema}.lock_subscriptions() RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM {schema}.check_isolation();
    PERFORM set_config('lock_timeout', '100ms', true);
    PERFORM pg_advisory_xact_lock({schema}.lock_key(1));
END
$$;

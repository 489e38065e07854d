-- now: the store's time, the only clock of leases, retries and schedules.
--
-- The moment of the call, not of the transaction: whoever waited for a lock stamps what it writes
-- with the time at which it had the lock.
-- Returns: the time.
CREATE OR REPLACE FUNCTION {schema}.now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT clock_timestamp() $$;

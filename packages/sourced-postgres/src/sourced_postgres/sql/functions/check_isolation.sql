-- check_isolation: refuses a transaction that is not READ COMMITTED.
--
-- What depends on a lock is read in the statement after it; at a higher level that statement would
-- still read by the snapshot of the transaction's first.
-- Returns: nothing; raises SR003.
CREATE OR REPLACE FUNCTION {schema}.check_isolation() RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR003',
            MESSAGE = format('the transaction is %s', current_setting('transaction_isolation'));
    END IF;
END
$$;

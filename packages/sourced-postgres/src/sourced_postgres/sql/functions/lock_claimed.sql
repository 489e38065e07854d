-- lock_claimed: locks the stream of a claim for a commit that is decided under the lock.
--
-- Waits no longer than commit does.
--
-- p_stream_id: its name.
-- Returns: nothing; raises lock_not_available.
CREATE OR REPLACE FUNCTION {schema}.lock_claimed(p_stream_id text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET lock_timeout = '500ms'
AS $$
BEGIN
    PERFORM {schema}.lock_streams(ARRAY[p_stream_id], ARRAY[0]);
END
$$;

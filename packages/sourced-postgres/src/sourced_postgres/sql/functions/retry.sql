-- retry: gives a claim back until later.
--
-- p_group, p_worker, p_stream_id, p_epoch, p_next_seq: the claim.
-- p_at: when, or null; p_after: or how long from now, in seconds.
-- p_error: what is kept of the failure; null leaves what is there.
-- p_is_uncounted: whether the attempt is taken back.
-- Returns: whether it is ready already; null if the claim is lost.
CREATE OR REPLACE FUNCTION {schema}.retry(
    p_group text,
    p_worker text,
    p_stream_id text,
    p_epoch bigint,
    p_next_seq bigint,
    p_at timestamptz,
    p_after float8,
    p_error text,
    p_is_uncounted boolean
) RETURNS boolean
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_now timestamptz := {schema}.now();
    v_ready boolean;
BEGIN
    PERFORM {schema}.check_isolation();
    UPDATE {schema}.deliveries AS d
    SET worker = NULL,
        claimed_at = NULL,
        ready_at = coalesce(p_at, v_now + make_interval(secs => p_after)),
        attempts = greatest(d.attempts - p_is_uncounted::integer, 0),
        error = coalesce(p_error, d.error)
    WHERE d."group" = (SELECT g.id FROM {schema}.groups AS g WHERE g.name = p_group)
        AND d.stream = (SELECT s.id FROM {schema}.streams AS s WHERE s.stream_id = p_stream_id)
        AND d.worker IS NOT DISTINCT FROM p_worker -- is looked up by its key, not by worker
        AND d.epoch = p_epoch
        AND d.next_seq = p_next_seq
    RETURNING d.ready_at <= v_now INTO v_ready;
    RETURN v_ready;
END
$$;

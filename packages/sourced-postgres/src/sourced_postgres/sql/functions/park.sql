-- park: sets a claimed stream aside until an operator retries or skips.
--
-- p_group, p_worker, p_stream_id, p_epoch, p_next_seq: the claim.
-- p_error: what is kept of the failure.
-- Returns: whether the claim was held.
CREATE OR REPLACE FUNCTION {schema}.park(
    p_group text,
    p_worker text,
    p_stream_id text,
    p_epoch bigint,
    p_next_seq bigint,
    p_error text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
BEGIN
    PERFORM {schema}.check_isolation();
    UPDATE {schema}.deliveries AS d
    SET worker = NULL, claimed_at = NULL, parked_at = {schema}.now(), error = p_error
    WHERE d."group" = (SELECT g.id FROM {schema}.groups AS g WHERE g.name = p_group)
        AND d.stream = (SELECT s.id FROM {schema}.streams AS s WHERE s.stream_id = p_stream_id)
        AND d.worker IS NOT DISTINCT FROM p_worker -- is looked up by its key, not by worker
        AND d.epoch = p_epoch
        AND d.next_seq = p_next_seq;
    RETURN FOUND;
END
$$;

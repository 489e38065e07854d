-- cancel: takes a scheduled message back, also one that was set aside.
--
-- p_id: its id.
-- p_actor, p_host, p_reason: who does it, and why.
-- Returns: whether it was waiting.
CREATE OR REPLACE FUNCTION {schema}.cancel(p_id uuid, p_actor text, p_host text, p_reason text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v {schema}.schedule%ROWTYPE;
BEGIN
    PERFORM {schema}.check_isolation();
    DELETE FROM {schema}.schedule AS s WHERE s.message_id = p_id RETURNING s.* INTO v;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM {schema}.record(
        p_actor, p_host, 'cancel', p_id::text, p_reason,
        format('%s to %s, due %s', v.type, v.stream_id, v.due_at AT TIME ZONE 'UTC'), 'cancelled'
    );
    RETURN true;
END
$$;

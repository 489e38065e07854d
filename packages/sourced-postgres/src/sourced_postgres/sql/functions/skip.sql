-- skip: counts the next pending message of a stream as handled, unrun; a parked stream goes on.
--
-- Holds the stream's lock: what is pending behind the message is read in the statement after it.
--
-- p_group, p_stream_id, p_seq: the message.
-- p_actor, p_host, p_reason: who does it, and why.
-- Returns: whether more is pending.
-- Raises: SR005 if there is no such group, it is filling, or a worker holds the stream; SR008 if
--     this is not the next message that the group has to handle there.
CREATE OR REPLACE FUNCTION {schema}.skip(
    p_group text, p_stream_id text, p_seq bigint, p_actor text, p_host text, p_reason text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
    v_stream bigint;
    v_row {schema}.deliveries%ROWTYPE;
    v_first bigint;
    v_next bigint;
    v_now timestamptz;
BEGIN
    SELECT s.id INTO v_stream
    FROM {schema}.streams AS s
    WHERE s.stream_id = p_stream_id
    FOR NO KEY UPDATE;
    v := {schema}.keep_group(p_group);
    PERFORM {schema}.check_filled(v, p_stream_id);
    SELECT d.* INTO v_row
    FROM {schema}.deliveries AS d
    WHERE d."group" = v.id AND d.stream = v_stream
    FOR NO KEY UPDATE;
    IF EXISTS (SELECT 1 FROM {schema}.workers AS w WHERE w.id = v_row.worker) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR005',
            MESSAGE = 'a worker holds the stream',
            DETAIL = jsonb_build_object(
                'group', p_group, 'stream_id', p_stream_id, 'reason', 'held'
            )::text;
    END IF;
    SELECT m.seq INTO v_first
    FROM {schema}.messages AS m
    JOIN {schema}.subscriptions AS b ON b."group" = v.id AND b.type = m.type
    WHERE m.stream = v_stream AND m.seq >= v_row.next_seq
    ORDER BY m.seq
    LIMIT 1;
    IF v_first IS DISTINCT FROM p_seq THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR008',
            MESSAGE = format(
                'seq %s of stream %L is not the next message that group %L has to handle: %s',
                p_seq, p_stream_id, p_group, coalesce('seq ' || v_first || ' is', 'nothing is pending')
            );
    END IF;
    v_now := {schema}.now();
    SELECT m.seq INTO v_next
    FROM {schema}.messages AS m
    JOIN {schema}.subscriptions AS b ON b."group" = v.id AND b.type = m.type
    WHERE m.stream = v_stream AND m.seq > p_seq
    ORDER BY m.seq
    LIMIT 1;
    IF v_next IS NULL THEN
        DELETE FROM {schema}.deliveries AS d WHERE d."group" = v.id AND d.stream = v_stream;
    ELSE
        UPDATE {schema}.deliveries AS d
        SET next_seq = v_next,
            worker = NULL,
            claimed_at = NULL,
            parked_at = NULL,
            attempts = 0,
            error = NULL,
            ready_at = v_now
        WHERE d."group" = v.id AND d.stream = v_stream;
    END IF;
    PERFORM {schema}.record(
        p_actor,
        p_host,
        'skip',
        format('%s %s %s', p_group, p_stream_id, p_seq),
        p_reason,
        format('seq %s, %s', p_seq, CASE
            WHEN v_row.parked_at IS NOT NULL THEN 'parked'
            WHEN v_row.worker IS NOT NULL THEN 'claimed'
            WHEN v_row.ready_at > v_now THEN 'retrying'
            ELSE 'ready'
        END),
        coalesce('seq ' || v_next || ', ready', 'drained')
    );
    RETURN v_next IS NOT NULL;
END
$$;

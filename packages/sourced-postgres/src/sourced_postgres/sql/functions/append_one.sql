-- append_one: writes one message to the end of its stream, with the deliveries it causes.
--
-- What most appends are: the same as append in as few statements as the visibility rule allows, since
-- each costs about as much as the row it writes. First the appends' shared lock, against
-- registrations, and the stream; then, by a newer snapshot, the message; then its deliveries.
--
-- p_stream_id … p_payload: the message.
-- Returns: as append.
-- Raises: SR003 the isolation level, SR004 the id is scheduled.
CREATE OR REPLACE FUNCTION {schema}.append_one(
    p_stream_id text,
    p_id uuid,
    p_type text,
    p_version integer,
    p_created_at timestamptz,
    p_causation_id uuid,
    p_correlation_id uuid,
    p_meta text,
    p_payload text,
    OUT seqs bigint[],
    OUT positions bigint[],
    OUT groups text[]
)
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_key bigint;
    v_seq bigint;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM {schema}.check_isolation();
    END IF;
    INSERT INTO {schema}.streams AS s (stream_id, seq)
    SELECT p_stream_id, 1
    FROM (SELECT pg_advisory_xact_lock_shared({schema}.lock_key(1))) AS l
    ON CONFLICT (stream_id) DO UPDATE SET seq = s.seq + 1
    RETURNING s.id, s.seq INTO v_key, v_seq;
    INSERT INTO {schema}.messages AS m (
        stream, seq, id, causation_id, correlation_id, created_at, version, type, meta, payload
    )
    SELECT
        v_key, v_seq, p_id, p_causation_id, p_correlation_id, p_created_at, p_version, p_type, p_meta,
        p_payload
    WHERE NOT EXISTS (SELECT 1 FROM {schema}.schedule AS s WHERE s.message_id = p_id)
    RETURNING ARRAY[m.seq], ARRAY[m.position] INTO seqs, positions;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'SR004', MESSAGE = 'an id is scheduled';
    END IF;
    -- Deliveries have many indexes: nothing of them is touched while nobody handles this type.
    IF NOT EXISTS (SELECT 1 FROM {schema}.subscriptions AS b WHERE b.type = p_type) THEN
        RETURN;
    END IF;
    WITH made AS (
        INSERT INTO {schema}.deliveries AS d ("group", stream, next_seq, ready_at)
        SELECT b."group", v_key, v_seq, {schema}.now()
        FROM {schema}.subscriptions AS b
        WHERE b.type = p_type
        ORDER BY b."group"
        ON CONFLICT DO NOTHING
        RETURNING d."group"
    )
    SELECT array_agg(g.name) INTO groups
    FROM {schema}.groups AS g
    WHERE g.id IN (SELECT d."group" FROM made AS d);
END
$$;

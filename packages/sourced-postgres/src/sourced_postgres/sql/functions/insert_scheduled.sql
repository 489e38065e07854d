-- insert_scheduled: keeps messages until they are due.
--
-- An id that is in the schedule already violates `schedule_message_id_key`.
--
-- p_schedule: [{{"id", "type", "stream_id", "version", "payload", "meta", "created_at",
--     "causation_id", "correlation_id", "due_at"}}, …], in order.
-- Returns: nothing; raises SR004 if an id is in the log.
CREATE OR REPLACE FUNCTION {schema}.insert_scheduled(p_schedule jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
BEGIN
    IF EXISTS (
        SELECT 1
        FROM {schema}.messages AS m
        WHERE m.id = ANY (
            ARRAY(SELECT (e.value ->> 'id')::uuid FROM jsonb_array_elements(p_schedule) AS e)
        )
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'SR004', MESSAGE = 'an id is in the log';
    END IF;
    INSERT INTO {schema}.schedule (
        message_id, type, stream_id, version, payload, meta, created_at, causation_id,
        correlation_id, due_at
    )
    SELECT
        (e.value ->> 'id')::uuid,
        e.value ->> 'type',
        e.value ->> 'stream_id',
        (e.value ->> 'version')::integer,
        e.value ->> 'payload',
        e.value ->> 'meta',
        (e.value ->> 'created_at')::timestamptz,
        (e.value ->> 'causation_id')::uuid,
        (e.value ->> 'correlation_id')::uuid,
        (e.value ->> 'due_at')::timestamptz
    FROM jsonb_array_elements(p_schedule) WITH ORDINALITY AS e (value, place)
    ORDER BY e.place;
END
$$;

-- check_idle: refuses what a group cannot handle now, because it or a delivery is in the way.
--
-- The caller has locked the streams, so that no delivery of theirs can appear or vanish.
--
-- p_handled: see handle_now.
-- p_names, p_keys: the streams, as lock_streams returned them.
-- Returns: nothing; raises SR005 with the first obstacle by group and stream: unknown, stopped,
--     filling, parked, held, retrying or pending.
CREATE OR REPLACE FUNCTION {schema}.check_idle(p_handled jsonb, p_names text[], p_keys bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_now timestamptz := {schema}.now();
    v record;
BEGIN
    SELECT
        h.value ->> 'group' AS "group",
        h.value ->> 'stream_id' AS stream_id,
        CASE
            WHEN g.id IS NULL THEN 'unknown'
            WHEN g.status = 'stopped' THEN 'stopped'
            WHEN g.fill_upto IS NOT NULL THEN 'filling'
            WHEN d.parked_at IS NOT NULL THEN 'parked'
            WHEN d.worker IS NOT NULL THEN 'held'
            WHEN d.ready_at > v_now THEN 'retrying'
            ELSE 'pending'
        END AS reason,
        CASE WHEN d.worker IS NULL AND d.ready_at > v_now THEN d.ready_at END AS until
    INTO v
    FROM jsonb_array_elements(p_handled) WITH ORDINALITY AS h (value, place)
    JOIN unnest(p_names, p_keys) AS s (name, key) ON s.name = h.value ->> 'stream_id'
    LEFT JOIN {schema}.groups AS g ON g.name = h.value ->> 'group'
    LEFT JOIN LATERAL (
        SELECT d.stream, d.parked_at, d.worker, d.ready_at
        FROM {schema}.deliveries AS d
        WHERE d."group" = g.id AND d.stream = s.key
        LIMIT 1
    ) AS d ON true
    WHERE g.id IS NULL OR g.status = 'stopped' OR g.fill_upto IS NOT NULL OR d.stream IS NOT NULL
    ORDER BY h.place
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR005',
            MESSAGE = 'a group or a delivery is in the way',
            DETAIL = jsonb_build_object(
                'group', v."group", 'stream_id', v.stream_id, 'reason', v.reason, 'until', v.until AT TIME ZONE 'UTC'
            )::text;
    END IF;
END
$$;

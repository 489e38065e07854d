-- reset: lets a group handle some streams again, all at this one instant.
--
-- One chunk, a transaction of its own. It shares the appends' lock, since it makes deliveries by what
-- the group handles: whoever takes types from the group, or removes it, sees them or comes before.
-- The streams are locked; in the next statement each gets a delivery at its first message of the
-- group's types, marked as replaying up to its progress.
--
-- p_group: the group's name.
-- p_keys: the streams' keys.
-- Returns: nothing; raises SR005 if there is no such group or it is filling.
CREATE OR REPLACE FUNCTION {schema}.reset(p_group text, p_keys bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v {schema}.groups%ROWTYPE;
    v_types text[];
BEGIN
    PERFORM {schema}.check_isolation();
    PERFORM pg_advisory_xact_lock_shared({schema}.lock_key(1));
    PERFORM {schema}.lock_streams_by_key(p_keys);
    v := {schema}.keep_group(p_group);
    PERFORM {schema}.check_filled(v, '');
    v_types := ARRAY(SELECT b.type FROM {schema}.subscriptions AS b WHERE b."group" = v.id);
    INSERT INTO {schema}.deliveries AS d (
        "group", stream, next_seq, replay_until, restarted, epoch, ready_at
    )
    SELECT
        v.id,
        r.id,
        r.first,
        CASE WHEN r.next_seq IS NULL THEN r.seq ELSE greatest(r.replay_until, r.next_seq - 1) END,
        true,
        nextval('{schema}.epochs'),
        {schema}.now()
    FROM (
        SELECT s.id, s.seq, p.next_seq, p.replay_until, (
            SELECT m.seq
            FROM {schema}.messages AS m
            WHERE m.stream = s.id AND m.type = ANY (v_types)
            ORDER BY m.seq
            LIMIT 1
        ) AS first
        FROM unnest(p_keys) AS k (stream)
        CROSS JOIN LATERAL (
            SELECT s.id, s.seq FROM {schema}.streams AS s WHERE s.id = k.stream LIMIT 1
        ) AS s
        LEFT JOIN LATERAL (
            SELECT d.next_seq, d.replay_until
            FROM {schema}.deliveries AS d
            WHERE d."group" = v.id AND d.stream = s.id
            LIMIT 1
        ) AS p ON true
    ) AS r
    WHERE r.first IS NOT NULL
    ORDER BY r.id
    ON CONFLICT ("group", stream) DO UPDATE
    SET next_seq = excluded.next_seq,
        replay_until = excluded.replay_until,
        restarted = true,
        epoch = excluded.epoch,
        ready_at = excluded.ready_at,
        worker = NULL,
        claimed_at = NULL,
        parked_at = NULL,
        attempts = 0,
        suspect = false,
        error = NULL;
END
$$;

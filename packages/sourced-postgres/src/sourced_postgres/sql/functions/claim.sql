-- claim: takes hold of ready deliveries of a group, oldest first.
--
-- Never waits: what another transaction has locked is passed over. The attempt is counted and an
-- epoch drawn for each. A suspect delivery is claimed alone, when it is the oldest; otherwise
-- suspects are left out. The claim need not wait for the disk: one that a crash of the server takes
-- back was held by a worker whose commit compares `next_seq` too. While a group is being renamed
-- nothing is claimed under its old name: see rename_group.
--
-- p_group, p_worker: names; nothing is claimed for a group that is not active or a worker that has
--     no row.
-- p_max: at most so many.
-- p_stream_ids: only these streams, or null.
-- p_since: look only at what has been ready since then, past the dead entries at the head of the
--     index that a snapshot held open by somebody keeps there; or null for everything.
-- p_suspects: whether a suspect delivery may be claimed.
-- Returns: the deliveries as they are claimed, oldest first.
CREATE OR REPLACE FUNCTION {schema}.claim(
    p_group text,
    p_worker text,
    p_max integer,
    p_stream_ids text[] DEFAULT NULL,
    p_since timestamptz DEFAULT NULL,
    p_suspects boolean DEFAULT true
)
RETURNS TABLE (
    stream_id text,
    epoch bigint,
    next_seq bigint,
    attempts integer,
    replay_until bigint,
    restarted boolean,
    suspect boolean,
    ready_at timestamptz
)
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := {schema}.now();
    v_group integer;
    v_places tid[];
BEGIN
    PERFORM {schema}.check_isolation();
    PERFORM set_config('synchronous_commit', 'off', true);
    IF NOT pg_try_advisory_xact_lock_shared(
        '{schema}'::regnamespace::oid::integer, hashtext(p_group)
    ) THEN
        RETURN;
    END IF;
    SELECT g.id INTO v_group
    FROM {schema}.groups AS g
    WHERE g.name = p_group
        AND g.status = 'active'
        AND EXISTS (SELECT 1 FROM {schema}.workers AS w WHERE w.id = p_worker);
    IF v_group IS NULL THEN
        RETURN;
    END IF;
    IF p_stream_ids IS NULL THEN
        v_places := {schema}.lock_ready(
            v_group, p_max, v_now, coalesce(p_since, '-infinity'), p_suspects
        );
    ELSE
        v_places := {schema}.lock_ready_named(v_group, p_max, v_now, p_stream_ids, p_suspects);
    END IF;
    IF cardinality(v_places) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH held AS (
        UPDATE {schema}.deliveries AS d
        SET worker = p_worker,
            epoch = nextval('{schema}.epochs'),
            claimed_at = v_now,
            attempts = d.attempts + 1
        WHERE d.ctid = ANY (v_places)
        RETURNING
            d.stream, d.epoch, d.next_seq, d.attempts, d.replay_until, d.restarted, d.suspect,
            d.ready_at
    )
    SELECT
        (SELECT s.stream_id FROM {schema}.streams AS s WHERE s.id = h.stream),
        h.epoch,
        h.next_seq,
        h.attempts,
        h.replay_until,
        h.restarted,
        h.suspect,
        h.ready_at
    FROM held AS h
    ORDER BY h.ready_at, h.stream;
END
$$;

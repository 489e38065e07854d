-- commit: writes outputs and acks of a batch of claimed streams of one group; all or nothing.
--
-- In this order: lock all streams, claimed, written to and expected, in one pass; lock and check
-- the claims; check expectations; write the outputs and fan out; schedule; keep snapshots; in a
-- last statement, ack. The look for what is pending behind an ack happens under the stream's lock
-- and sees what this commit appended: either an append finds the delivery gone and makes another,
-- or the ack finds its message.
--
-- Half a second is enough for whoever commits; a stream that somebody keeps locked for longer must
-- not hold up the others of the batch, nor those who wait for these. The runtime leaves it out then.
--
-- p_group, p_worker: names.
-- p_claimed, p_epochs, p_next_seqs: the claims; owners are places in these, from 1 on.
-- p_acks: the seq up to which each was handled, or null.
-- p_thens: what becomes of each: done, keep, release, retry, park.
-- p_ats: for a retry, when; p_afters: or how long from now, in seconds.
-- p_errors: for a retry or a park, what is kept of the failure.
-- p_uncounted: whether the attempt is taken back.
-- p_stream_ids … p_payloads: the outputs, in order; p_owners: whose they are.
-- p_expect: see failed_expectations, or null.
-- p_schedule, p_snapshots: see insert_scheduled and save_snapshots, or null.
-- Returns: seqs and positions of the outputs; names of groups that gained a delivery, the own one
--     if something of it is ready; of what is kept, the streams and where they go on.
-- Raises: lock_not_available; SR002, naming all owners that fail; SR003 the isolation level; SR004 an id is known.
CREATE OR REPLACE FUNCTION {schema}.commit(
    p_group text,
    p_worker text,
    p_claimed text[],
    p_epochs bigint[],
    p_next_seqs bigint[],
    p_acks bigint[],
    p_thens text[],
    p_ats timestamptz[],
    p_afters float8[],
    p_errors text[],
    p_uncounted boolean[],
    p_owners integer[],
    p_stream_ids text[],
    p_ids uuid[],
    p_types text[],
    p_versions integer[],
    p_created_ats timestamptz[],
    p_causation_ids uuid[],
    p_correlation_ids uuid[],
    p_metas text[],
    p_payloads text[],
    p_expect jsonb DEFAULT NULL,
    p_schedule jsonb DEFAULT NULL,
    p_snapshots jsonb DEFAULT NULL,
    OUT seqs bigint[],
    OUT positions bigint[],
    OUT groups text[],
    OUT kept text[],
    OUT kept_next_seqs bigint[]
)
LANGUAGE plpgsql VOLATILE
{by_index}
SET lock_timeout = '500ms'
AS $$
DECLARE
    v_names text[];
    v_counts bigint[];
    v_keys bigint[];
    v_heads bigint[];
    v_claimed bigint[];
    v_places tid[];
    v_lost integer[];
    v_failures jsonb := '[]';
    v_group integer;
    v_types text[];
    v_now timestamptz;
    v_ready boolean;
BEGIN
    SELECT p.names, p.counts INTO v_names, v_counts
    FROM {schema}.places(p_stream_ids, p_expect, p_claimed) AS p;
    SELECT l.keys, l.heads INTO v_keys, v_heads
    FROM {schema}.lock_streams(v_names, v_counts) AS l;
    v_claimed := ARRAY(
        SELECT s.key
        FROM unnest(p_claimed) WITH ORDINALITY AS c (name, number)
        JOIN unnest(v_names, v_keys) AS s (name, key) ON s.name = c.name
        ORDER BY c.number
    );
    v_places := {schema}.hold_claims(p_group, p_worker, v_claimed, p_epochs, p_next_seqs);
    v_lost := array_positions(v_places, NULL);
    IF p_expect IS NOT NULL THEN
        v_failures := {schema}.failed_expectations(
            p_expect, v_names, v_keys, v_heads, p_owners, p_stream_ids, p_types, v_lost
        );
    END IF;
    IF cardinality(v_lost) > 0 OR v_failures <> '[]' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'SR002',
            MESSAGE = 'streams of the batch are refused',
            DETAIL = jsonb_build_object('lost', to_jsonb(v_lost), 'failed', v_failures)::text;
    END IF;
    IF cardinality(p_ids) > 0 THEN
        PERFORM {schema}.check_unscheduled(p_ids);
        SELECT w.seqs, w.positions, w.groups INTO seqs, positions, groups
        FROM {schema}.write(
            p_stream_ids, p_ids, p_types, p_versions, p_created_ats, p_causation_ids,
            p_correlation_ids, p_metas, p_payloads, v_names, v_keys, v_heads, NULL, NULL
        ) AS w;
    END IF;
    IF p_schedule IS NOT NULL THEN
        PERFORM {schema}.insert_scheduled(p_schedule);
    END IF;
    IF p_snapshots IS NOT NULL THEN
        PERFORM {schema}.save_snapshots(p_snapshots);
    END IF;
    SELECT g.id INTO v_group FROM {schema}.groups AS g WHERE g.name = p_group;
    v_types := ARRAY(
        SELECT b.type FROM {schema}.subscriptions AS b WHERE b."group" = v_group
    );
    v_now := {schema}.now();
    WITH settled AS (
        SELECT
            c.*,
            CASE
                WHEN c.ack IS NOT NULL THEN (
                    SELECT m.seq
                    FROM {schema}.messages AS m
                    WHERE m.stream = c.key AND m.seq > c.ack AND m.type = ANY (v_types)
                    ORDER BY m.seq
                    LIMIT 1
                )
            END AS following
        FROM unnest(
            p_claimed, v_claimed, v_places, p_acks, p_thens, p_ats, p_afters, p_errors, p_uncounted
        ) AS c (stream_id, key, place, ack, outcome, at, after, error, is_uncounted)
    ),
    drained AS (
        DELETE FROM {schema}.deliveries AS d
        USING settled AS s
        WHERE d.ctid = s.place AND s.ack IS NOT NULL AND s.following IS NULL
    ),
    moved AS (
        UPDATE {schema}.deliveries AS d
        SET next_seq = coalesce(s.following, d.next_seq),
            restarted = d.restarted AND s.ack IS NULL,
            worker = CASE WHEN s.outcome = 'keep' THEN d.worker END,
            claimed_at = CASE WHEN s.outcome = 'keep' THEN d.claimed_at END,
            ready_at = CASE s.outcome
                WHEN 'retry' THEN coalesce(s.at, v_now + make_interval(secs => s.after))
                WHEN 'done' THEN v_now
                WHEN 'release' THEN CASE WHEN s.ack IS NULL THEN d.ready_at ELSE v_now END
                ELSE d.ready_at
            END,
            attempts = CASE
                WHEN s.ack IS NOT NULL AND s.outcome IN ('done', 'release') THEN 0
                ELSE greatest(
                    CASE WHEN s.ack IS NULL THEN d.attempts ELSE 1 END - s.is_uncounted::integer, 0
                )
            END,
            suspect = d.suspect AND (s.ack IS NULL OR s.outcome NOT IN ('done', 'release')),
            parked_at = CASE WHEN s.outcome = 'park' THEN v_now END,
            error = coalesce(s.error, CASE WHEN s.ack IS NULL THEN d.error END)
        FROM settled AS s
        WHERE d.ctid = s.place AND (s.ack IS NULL OR s.following IS NOT NULL)
        RETURNING
            s.stream_id,
            d.next_seq,
            d.worker IS NOT NULL AS is_kept,
            d.worker IS NULL AND d.parked_at IS NULL AND d.ready_at <= v_now AS is_ready
    )
    SELECT
        array_agg(m.stream_id) FILTER (WHERE m.is_kept),
        array_agg(m.next_seq) FILTER (WHERE m.is_kept),
        coalesce(bool_or(m.is_ready), false)
    INTO kept, kept_next_seqs, v_ready
    FROM moved AS m;
    IF v_ready AND NOT p_group = ANY (coalesce(groups, ARRAY[]::text[])) THEN
        groups := groups || p_group;
    END IF;
END
$$;

-- handle_now: writes a chain that its caller has handled, unless anything stands in its way.
--
-- In this order: lock all streams in one pass; of each (group, stream) that was handled, the group
-- must be active and have no delivery; no group may leave a message to its workers and have handled
-- a later one of the stream; check expectations; write, without deliveries of what was handled to
-- the groups that did; schedule; keep snapshots.
--
-- p_handled: [{{"group", "stream_id", "ids": [of messages, …]}}, …] by group and stream.
-- p_stream_ids … p_payloads: the messages, in order.
-- p_expect: see failed_expectations, or null.
-- p_schedule, p_snapshots: see insert_scheduled and save_snapshots, or null.
-- Returns: as append.
-- Raises: SR001 an expectation does not hold, SR003 the isolation level, SR004 an id is known,
--     SR005 a group or a delivery is in the way, SR006 messages are handled out of order.
CREATE OR REPLACE FUNCTION {schema}.handle_now(
    p_handled jsonb,
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
    OUT groups text[]
)
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_names text[];
    v_counts bigint[];
    v_keys bigint[];
    v_heads bigint[];
    v_failures jsonb;
    v_handled_groups integer[];
    v_handled_ids uuid[];
BEGIN
    SELECT p.names, p.counts INTO v_names, v_counts
    FROM {schema}.places(
        p_stream_ids,
        p_expect,
        ARRAY(SELECT h.value ->> 'stream_id' FROM jsonb_array_elements(p_handled) AS h)
    ) AS p;
    SELECT l.keys, l.heads INTO v_keys, v_heads
    FROM {schema}.lock_streams(v_names, v_counts) AS l;
    PERFORM {schema}.check_idle(p_handled, v_names, v_keys);
    SELECT array_agg(g.id), array_agg(i.value::uuid) INTO v_handled_groups, v_handled_ids
    FROM jsonb_array_elements(p_handled) AS h
    CROSS JOIN LATERAL jsonb_array_elements_text(h.value -> 'ids') AS i
    JOIN {schema}.groups AS g ON g.name = h.value ->> 'group';
    PERFORM {schema}.check_order(
        v_handled_groups, v_handled_ids, p_stream_ids, p_ids, p_types
    );
    IF p_expect IS NOT NULL THEN
        v_failures := {schema}.failed_expectations(
            p_expect, v_names, v_keys, v_heads, NULL, NULL, NULL, ARRAY[]::integer[]
        );
        IF v_failures <> '[]' THEN
            RAISE EXCEPTION USING
                ERRCODE = 'SR001',
                MESSAGE = 'an expectation does not hold',
                DETAIL = (v_failures -> 0)::text;
        END IF;
    END IF;
    PERFORM {schema}.check_unscheduled(p_ids);
    SELECT w.seqs, w.positions, w.groups INTO seqs, positions, groups
    FROM {schema}.write(
        p_stream_ids, p_ids, p_types, p_versions, p_created_ats, p_causation_ids,
        p_correlation_ids, p_metas, p_payloads, v_names, v_keys, v_heads, v_handled_groups,
        v_handled_ids
    ) AS w;
    IF p_schedule IS NOT NULL THEN
        PERFORM {schema}.insert_scheduled(p_schedule);
    END IF;
    IF p_snapshots IS NOT NULL THEN
        PERFORM {schema}.save_snapshots(p_snapshots);
    END IF;
END
$$;

-- append: writes messages to the ends of their streams, with the deliveries they cause.
--
-- One transaction, all or nothing, any number of streams: lock, check, insert, fan out. An id that
-- is in the log already violates `messages_id_key`.
--
-- p_stream_ids … p_payloads: the messages, in order.
-- p_expect: see failed_expectations (owner 1), or null.
-- Returns: seqs and positions in the order of the messages; names of groups that gained a delivery.
-- Raises: SR001 an expectation does not hold, SR003 the isolation level, SR004 an id is scheduled.
CREATE OR REPLACE FUNCTION {schema}.append(
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
    OUT seqs bigint[],
    OUT positions bigint[],
    OUT groups text[]
)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_names text[];
    v_counts bigint[];
    v_keys bigint[];
    v_heads bigint[];
    v_failures jsonb;
BEGIN
    IF cardinality(p_ids) = 1 AND p_expect IS NULL THEN
        v_names := p_stream_ids;
        v_counts := ARRAY[1::bigint];
    ELSE
        SELECT p.names, p.counts INTO v_names, v_counts
        FROM {schema}.places(p_stream_ids, p_expect) AS p;
    END IF;
    SELECT l.keys, l.heads INTO v_keys, v_heads
    FROM {schema}.lock_streams(v_names, v_counts) AS l;
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
        p_correlation_ids, p_metas, p_payloads, v_names, v_keys, v_heads, NULL, NULL
    ) AS w;
END
$$;

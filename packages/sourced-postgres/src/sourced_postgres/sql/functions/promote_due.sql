-- promote_due: moves due messages into the log in (due, insertion) order, ids kept.
--
-- One housekeeper at a time; the others return at once with nothing. One whose id is in the log is
-- dropped; one that is larger than the store takes is set aside with its error. The clock is read
-- once: as a volatile function in the condition it would be asked for every message that is not due.
--
-- p_limit: at most so many.
-- p_max_bytes: how large payload and meta of a message may be together.
-- Returns: how many were moved, dropped and set aside; names of groups that gained a delivery.
CREATE OR REPLACE FUNCTION {schema}.promote_due(
    p_limit integer,
    p_max_bytes bigint,
    OUT moved bigint,
    OUT dropped bigint,
    OUT failed bigint,
    OUT groups text[]
)
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_now timestamptz := {schema}.now();
    v_rows bigint[];
    v_names text[];
    v_counts bigint[];
    v_keys bigint[];
    v_heads bigint[];
BEGIN
    PERFORM {schema}.check_isolation();
    moved := 0;
    dropped := 0;
    failed := 0;
    IF NOT pg_try_advisory_xact_lock({schema}.lock_key(2)) THEN
        RETURN;
    END IF;
    v_rows := ARRAY(
        SELECT s.id
        FROM {schema}.schedule AS s
        WHERE s.error IS NULL AND s.due_at <= v_now
        ORDER BY s.due_at, s.id
        LIMIT p_limit
        FOR UPDATE SKIP LOCKED
    );
    IF cardinality(v_rows) = 0 THEN
        RETURN;
    END IF;
    WITH too_large AS (
        UPDATE {schema}.schedule AS s
        SET error = format(
            'PayloadError: %s bytes, more than the %s that this store takes',
            octet_length(s.payload) + octet_length(s.meta), p_max_bytes
        )
        WHERE s.id = ANY (v_rows) AND octet_length(s.payload) + octet_length(s.meta) > p_max_bytes
        RETURNING s.id
    )
    SELECT count(*), ARRAY(SELECT unnest(v_rows) EXCEPT SELECT t.id FROM too_large AS t)
    INTO failed, v_rows
    FROM too_large;
    -- All streams are locked before it is read, in the next statement, which ids are in the log by
    -- now; only then do heads move, by as many messages as will be written.
    SELECT p.names, array_fill(0::bigint, ARRAY[cardinality(p.names)]) INTO v_names, v_counts
    FROM {schema}.places(
        NULL,
        NULL,
        ARRAY(
            SELECT s.stream_id::text
            FROM {schema}.schedule AS s
            WHERE s.id = ANY (v_rows)
        )
    ) AS p;
    PERFORM {schema}.lock_streams(v_names, v_counts);
    DELETE FROM {schema}.schedule AS s
    WHERE s.id = ANY (v_rows)
        AND (SELECT true FROM {schema}.messages AS m WHERE m.id = s.message_id);
    GET DIAGNOSTICS dropped = ROW_COUNT;
    SELECT p.names, p.counts INTO v_names, v_counts
    FROM {schema}.places(
        ARRAY(
            SELECT s.stream_id::text
            FROM {schema}.schedule AS s
            WHERE s.id = ANY (v_rows)
        ),
        NULL
    ) AS p;
    SELECT l.keys, l.heads INTO v_keys, v_heads
    FROM {schema}.lock_streams(v_names, v_counts) AS l;
    WITH due AS (
        DELETE FROM {schema}.schedule AS s
        WHERE s.id = ANY (v_rows)
        RETURNING s.*
    ),
    lists AS (
        SELECT
            array_agg(d.stream_id::text ORDER BY d.due_at, d.id) AS stream_ids,
            array_agg(d.message_id ORDER BY d.due_at, d.id) AS ids,
            array_agg(d.type::text ORDER BY d.due_at, d.id) AS types,
            array_agg(d.version ORDER BY d.due_at, d.id) AS versions,
            array_agg(d.created_at ORDER BY d.due_at, d.id) AS created_ats,
            array_agg(d.causation_id ORDER BY d.due_at, d.id) AS causation_ids,
            array_agg(d.correlation_id ORDER BY d.due_at, d.id) AS correlation_ids,
            array_agg(d.meta ORDER BY d.due_at, d.id) AS metas,
            array_agg(d.payload ORDER BY d.due_at, d.id) AS payloads
        FROM due AS d
    )
    SELECT cardinality(w.seqs), w.groups INTO moved, groups
    FROM lists AS l
    CROSS JOIN LATERAL {schema}.write(
        l.stream_ids, l.ids, l.types, l.versions, l.created_ats, l.causation_ids,
        l.correlation_ids, l.metas, l.payloads, v_names, v_keys, v_heads, NULL, NULL
    ) AS w;
    moved := coalesce(moved, 0);
END
$$;

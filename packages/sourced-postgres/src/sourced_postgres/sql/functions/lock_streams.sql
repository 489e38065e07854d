-- lock_streams: takes every lock on streams that a transaction needs, in one pass, and moves heads.
--
-- First the appends' shared lock, against registrations. Then the streams in the order given, each
-- in a statement of its own: since everybody names them in one order, nobody waits in a circle,
-- neither for a row nor for a name that another transaction is about to insert. A head is read in
-- the statement that locks it, which sees the row's newest version; all else that depends on the
-- locks must be read in a later statement of the caller, by a newer snapshot.
--
-- p_stream_ids: the streams, each once, in order of COLLATE "C".
-- p_counts: how many messages are about to be put behind each head; 0 locks only.
-- Returns: keys, and heads as they were before, in the same order.
CREATE OR REPLACE FUNCTION {schema}.lock_streams(
    p_stream_ids text[], p_counts bigint[], OUT keys bigint[], OUT heads bigint[]
)
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
DECLARE
    v_key bigint;
    v_head bigint;
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        PERFORM {schema}.check_isolation();
    END IF;
    PERFORM pg_advisory_xact_lock_shared({schema}.lock_key(1));
    keys := ARRAY[]::bigint[];
    heads := ARRAY[]::bigint[];
    FOR i IN 1 .. coalesce(cardinality(p_stream_ids), 0) LOOP
        LOOP
            IF p_counts[i] = 0 THEN
                SELECT s.id, s.seq INTO v_key, v_head
                FROM {schema}.streams AS s
                WHERE s.stream_id = p_stream_ids[i]
                FOR NO KEY UPDATE;
            ELSE
                UPDATE {schema}.streams AS s
                SET seq = s.seq + p_counts[i]
                WHERE s.stream_id = p_stream_ids[i]
                RETURNING s.id, s.seq INTO v_key, v_head;
            END IF;
            EXIT WHEN FOUND;
            INSERT INTO {schema}.streams AS s (stream_id, seq)
            VALUES (p_stream_ids[i], p_counts[i])
            ON CONFLICT DO NOTHING
            RETURNING s.id, s.seq INTO v_key, v_head;
            EXIT WHEN FOUND;
        END LOOP;
        keys := keys || v_key;
        heads := heads || (v_head - p_counts[i]);
    END LOOP;
END
$$;

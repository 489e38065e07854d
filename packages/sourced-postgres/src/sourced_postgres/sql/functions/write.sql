-- write: puts messages behind their heads and makes the deliveries they cause.
--
-- The caller has locked the streams and moved their heads. Subscriptions are read here, in a
-- statement after the locks. A delivery is made at the first new message that a group handles,
-- unless the group has one for the stream: then that is older.
--
-- p_stream_ids … p_payloads: the messages, in order.
-- p_names, p_keys, p_heads: the streams, as lock_streams returned them.
-- p_handled_groups, p_handled_ids: pairs of a group's key and a message that it has handled itself.
-- Returns: seqs and positions in the order of the messages; names of groups that gained a delivery.
CREATE OR REPLACE FUNCTION {schema}.write(
    p_stream_ids text[],
    p_ids uuid[],
    p_types text[],
    p_versions integer[],
    p_created_ats timestamptz[],
    p_causation_ids uuid[],
    p_correlation_ids uuid[],
    p_metas text[],
    p_payloads text[],
    p_names text[],
    p_keys bigint[],
    p_heads bigint[],
    p_handled_groups integer[],
    p_handled_ids uuid[],
    OUT seqs bigint[],
    OUT positions bigint[],
    OUT groups text[]
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    IF cardinality(p_ids) = 1 THEN
        -- What most appends are: without the windows and lists that many messages need.
        INSERT INTO {schema}.messages AS m (
            stream, seq, id, causation_id, correlation_id, created_at, version, type, meta, payload
        )
        VALUES (
            p_keys[array_position(p_names, p_stream_ids[1])],
            p_heads[array_position(p_names, p_stream_ids[1])] + 1,
            p_ids[1],
            p_causation_ids[1],
            p_correlation_ids[1],
            p_created_ats[1],
            p_versions[1],
            p_types[1],
            p_metas[1],
            p_payloads[1]
        )
        RETURNING ARRAY[m.seq], ARRAY[m.position] INTO seqs, positions;
    ELSE
        WITH written AS (
            INSERT INTO {schema}.messages AS m (
                stream, seq, id, causation_id, correlation_id, created_at, version, type, meta,
                payload
            )
            SELECT
                s.key,
                s.head + row_number() OVER (PARTITION BY s.key ORDER BY n.place),
                n.id,
                n.causation_id,
                n.correlation_id,
                n.created_at,
                n.version,
                n.type,
                n.meta,
                n.payload
            FROM unnest(
                p_stream_ids, p_ids, p_types, p_versions, p_created_ats, p_causation_ids,
                p_correlation_ids, p_metas, p_payloads
            ) WITH ORDINALITY AS n (
                stream_id, id, type, version, created_at, causation_id, correlation_id, meta,
                payload, place
            )
            JOIN unnest(p_names, p_keys, p_heads) AS s (name, key, head) ON s.name = n.stream_id
            ORDER BY n.place
            RETURNING m.seq, m.position
        )
        SELECT array_agg(w.seq ORDER BY w.position), array_agg(w.position ORDER BY w.position)
        INTO seqs, positions
        FROM written AS w;
    END IF;
    -- Deliveries have many indexes: nothing of them is touched while nobody handles these types.
    IF NOT EXISTS (SELECT 1 FROM {schema}.subscriptions AS b WHERE b.type = ANY (p_types)) THEN
        RETURN;
    END IF;
    WITH made AS (
        INSERT INTO {schema}.deliveries AS d ("group", stream, next_seq, ready_at)
        SELECT b."group", s.key, min(n.seq), {schema}.now()
        FROM unnest(p_stream_ids, p_ids, p_types, seqs) AS n (stream_id, id, type, seq)
        JOIN unnest(p_names, p_keys) AS s (name, key) ON s.name = n.stream_id
        JOIN {schema}.subscriptions AS b ON b.type = n.type
        WHERE p_handled_ids IS NULL
            OR (b."group", n.id) NOT IN (
                SELECT h.key, h.id FROM unnest(p_handled_groups, p_handled_ids) AS h (key, id)
            )
        GROUP BY b."group", s.key
        ORDER BY b."group", s.key
        ON CONFLICT DO NOTHING
        RETURNING d."group"
    )
    SELECT array_agg(g.name) INTO groups
    FROM {schema}.groups AS g
    WHERE g.id IN (SELECT d."group" FROM made AS d);
END
$$;

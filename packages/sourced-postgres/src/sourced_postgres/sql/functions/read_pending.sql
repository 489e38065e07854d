-- read_pending: what claims of one group have to handle, and the history asked for, by one snapshot.
--
-- Takes no lock. Of each claim the subscribed messages from its next seq on, at most p_messages,
-- up to the first of a type that the worker does not know; then of the streams named the messages
-- of p_tail_types after a seq, at most p_tail. All of it, in that order, up to p_bytes of payload
-- and meta; the very first message comes however large it is.
--
-- p_group, p_worker: names.
-- p_stream_ids, p_next_seqs: the claims.
-- p_known: the types that the worker knows.
-- p_messages, p_bytes, p_tail: the bounds.
-- p_tail_types, p_tail_afters: the history asked for; of a claim with a null seq none is.
-- Returns: rows in order, each with the place of its claim from 1 on and the stream's head:
--     kind 0, a claim: `seq` is up to where everything pending is among the rows of kind 1, `reach`
--     the same of the history; `type` is set if the next message is of an unknown type, `position`
--     is then its seq, and `version` 1 if another worker lists the type for the group;
--     kind 1, a pending message; kind 2, one of the history.
CREATE OR REPLACE FUNCTION {schema}.read_pending(
    p_group text,
    p_worker text,
    p_stream_ids text[],
    p_next_seqs bigint[],
    p_known text[],
    p_messages integer,
    p_bytes bigint,
    p_tail integer,
    p_tail_types text[] DEFAULT NULL,
    p_tail_afters bigint[] DEFAULT NULL
)
RETURNS TABLE (
    place bigint,
    kind integer,
    head bigint,
    reach bigint,
    id uuid,
    type text,
    payload text,
    meta text,
    created_at timestamp,
    causation_id uuid,
    correlation_id uuid,
    version integer,
    seq bigint,
    "position" bigint
)
LANGUAGE plpgsql VOLATILE
{by_index}
AS $$
#variable_conflict use_column
DECLARE
    v_group integer;
    v_types text[];
BEGIN
    SELECT g.id INTO v_group FROM {schema}.groups AS g WHERE g.name = p_group;
    v_types := ARRAY(
        SELECT b.type FROM {schema}.subscriptions AS b WHERE b."group" = v_group
    );
    RETURN QUERY
    WITH claims AS (
        SELECT c.place, s.id AS stream, coalesce(s.seq, 0) AS head, c.next_seq, c.tail_after
        FROM unnest(p_stream_ids, p_next_seqs, p_tail_afters)
            WITH ORDINALITY AS c (stream_id, next_seq, tail_after, place)
        LEFT JOIN LATERAL (
            SELECT s.id, s.seq FROM {schema}.streams AS s WHERE s.stream_id = c.stream_id LIMIT 1
        ) AS s ON true
    ),
    found AS (
        SELECT
            c.place,
            1 AS kind,
            m.*,
            NOT m.type = ANY (p_known) AS is_unknown
        FROM claims AS c
        CROSS JOIN LATERAL (
            SELECT
                x.id, x.type, x.payload, x.meta, x.created_at, x.causation_id, x.correlation_id,
                x.version, x.seq, x.position
            FROM {schema}.messages AS x
            WHERE x.stream = c.stream AND x.seq >= c.next_seq AND x.type = ANY (v_types)
            ORDER BY x.seq
            LIMIT p_messages
        ) AS m
        UNION ALL
        SELECT c.place, 2, m.*, false
        FROM claims AS c
        CROSS JOIN LATERAL (
            SELECT
                x.id, x.type, x.payload, x.meta, x.created_at, x.causation_id, x.correlation_id,
                x.version, x.seq, x.position
            FROM {schema}.messages AS x
            WHERE x.stream = c.stream AND x.seq > c.tail_after AND x.type = ANY (p_tail_types)
            ORDER BY x.seq
            LIMIT p_tail
        ) AS m
        WHERE c.tail_after IS NOT NULL
    ),
    unknown AS (
        SELECT DISTINCT ON (f.place) f.place, f.seq, f.type
        FROM found AS f
        WHERE f.is_unknown
        ORDER BY f.place, f.seq
    ),
    weighed AS (
        SELECT
            f.*,
            sum(octet_length(f.payload)::bigint + octet_length(f.meta))
                OVER (ORDER BY f.kind, f.place, f.seq) AS weight,
            row_number() OVER (ORDER BY f.kind, f.place, f.seq) AS rank
        FROM found AS f
        LEFT JOIN unknown AS u ON u.place = f.place
        WHERE f.kind = 2 OR u.seq IS NULL OR f.seq < u.seq
    ),
    fits AS (
        SELECT w.* FROM weighed AS w WHERE w.weight <= p_bytes OR w.rank = 1
    ),
    counted AS (
        SELECT
            w.place,
            count(*) FILTER (WHERE w.kind = 1) AS pending,
            count(*) FILTER (WHERE w.kind = 2) AS history,
            count(*) FILTER (WHERE w.kind = 1 AND (w.weight <= p_bytes OR w.rank = 1)) AS pending_fits,
            count(*) FILTER (WHERE w.kind = 2 AND (w.weight <= p_bytes OR w.rank = 1)) AS history_fits,
            max(w.seq) FILTER (WHERE w.kind = 1 AND (w.weight <= p_bytes OR w.rank = 1)) AS pending_to,
            max(w.seq) FILTER (WHERE w.kind = 2 AND (w.weight <= p_bytes OR w.rank = 1)) AS history_to
        FROM weighed AS w
        GROUP BY w.place
    )
    SELECT
        c.place,
        0,
        c.head,
        CASE
            WHEN c.tail_after IS NULL THEN 0
            WHEN n.history_fits < n.history OR n.history >= p_tail
                THEN coalesce(n.history_to, c.tail_after)
            ELSE c.head
        END,
        NULL::uuid,
        CASE WHEN coalesce(n.pending, 0) = 0 THEN u.type END,
        NULL::text,
        NULL::text,
        NULL::timestamp,
        NULL::uuid,
        NULL::uuid,
        CASE
            WHEN u.type IS NOT NULL AND coalesce(n.pending, 0) = 0 THEN (
                SELECT count(*)::integer
                FROM {schema}.workers AS w
                WHERE w.id <> p_worker AND w.handles -> p_group ? u.type
            )
        END,
        CASE
            WHEN n.pending_fits < n.pending THEN coalesce(n.pending_to, c.next_seq - 1)
            WHEN u.seq IS NOT NULL THEN u.seq - 1
            WHEN n.pending >= p_messages THEN n.pending_to
            ELSE c.head
        END,
        u.seq
    FROM claims AS c
    LEFT JOIN counted AS n ON n.place = c.place
    LEFT JOIN unknown AS u ON u.place = c.place
    UNION ALL
    SELECT
        f.place, f.kind, NULL::bigint, NULL::bigint, f.id, f.type, f.payload, f.meta,
        f.created_at AT TIME ZONE 'UTC', f.causation_id, f.correlation_id, f.version, f.seq,
        f.position
    FROM fits AS f
    ORDER BY 1, 2, 13;
END
$$;

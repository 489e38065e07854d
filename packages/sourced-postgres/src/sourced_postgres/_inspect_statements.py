"""The statements of the read API, each bounded by what is pending or by a limit.

Moments are read without their zone, in UTC, whatever zone the session is in.
"""

from __future__ import annotations

from typing import Final, LiteralString

__all__ = [
    "DELIVERIES",
    "GROUPS",
    "OPERATIONS",
    "PENDING",
    "PROGRESS",
    "RECENT_STREAMS",
    "SCHEDULE",
    "STATUS",
    "STREAMS",
    "WORKERS",
]

GROUPS: Final[LiteralString] = """
SELECT
    g.name,
    g.status,
    g.reason,
    g.since AT TIME ZONE 'UTC' AS since,
    ARRAY(SELECT b.type FROM {s}.subscriptions AS b WHERE b."group" = g.id) AS types,
    (
        SELECT count(*)
        FROM (
            SELECT 1
            FROM {s}.deliveries AS d
            JOIN {s}.messages AS m ON m.stream = d.stream AND m.seq >= d.next_seq
            JOIN {s}.subscriptions AS b ON b.type = m.type AND b."group" = g.id
            WHERE d."group" = g.id AND d.parked_at IS NULL
            LIMIT %(bound)s
        ) AS n
    ) AS pending,
    c.pending_streams,
    c.claimed,
    c.retrying,
    c.parked,
    c.oldest_ready_at AT TIME ZONE 'UTC' AS oldest_ready_at
FROM {s}.groups AS g
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE d.parked_at IS NULL) AS pending_streams,
        count(*) FILTER (WHERE d.parked_at IS NULL AND d.worker IS NOT NULL) AS claimed,
        count(*) FILTER (
            WHERE d.parked_at IS NULL AND d.worker IS NULL AND d.ready_at > t.now
        ) AS retrying,
        count(*) FILTER (WHERE d.parked_at IS NOT NULL) AS parked,
        min(d.ready_at) FILTER (WHERE d.parked_at IS NULL) AS oldest_ready_at
    FROM {s}.deliveries AS d
    CROSS JOIN (SELECT {s}.now() AS now) AS t
    WHERE d."group" = g.id
) AS c
WHERE %(names)s::text[] IS NULL OR g.name = ANY (%(names)s::text[])
ORDER BY g.name
"""

DELIVERIES: Final[LiteralString] = """
SELECT g.name AS group_name, s.stream_id, s.seq AS head, w.name AS worker_name, {state} AS state,
    d.next_seq, d.replay_until, d.restarted, d.ready_at AT TIME ZONE 'UTC' AS ready_at,
    d.worker, d.epoch, d.claimed_at AT TIME ZONE 'UTC' AS claimed_at, d.attempts, d.suspect,
    d.parked_at AT TIME ZONE 'UTC' AS parked_at, d.error
FROM {s}.groups AS g
JOIN {s}.deliveries AS d ON d."group" = g.id
JOIN {s}.streams AS s ON s.id = d.stream
LEFT JOIN {s}.workers AS w ON w.id = d.worker
WHERE (%(group)s::text IS NULL OR g.name = %(group)s::text)
    AND (
        %(stream_id)s::text IS NULL
        OR d.stream = (SELECT n.id FROM {s}.streams AS n WHERE n.stream_id = %(stream_id)s::text)
    )
    AND (%(states)s::text[] IS NULL OR {state} = ANY (%(states)s::text[]))
ORDER BY g.name, s.stream_id
LIMIT %(limit)s
"""

STREAMS: Final[LiteralString] = """
SELECT s.stream_id, s.seq, m.type AS last_type, m.created_at AT TIME ZONE 'UTC' AS last_at,
    m.position AS last_position
FROM {s}.streams AS s
JOIN {s}.messages AS m ON m.stream = s.id AND m.seq = s.seq
WHERE s.stream_id > %(after)s
    AND s.stream_id >= %(prefix)s
    AND (%(past)s::text IS NULL OR s.stream_id < %(past)s::text)
ORDER BY s.stream_id
LIMIT %(limit)s
"""

# The newest messages are looked through for streams that were appended to last, but not for ever.
RECENT_STREAMS: Final[LiteralString] = """
SELECT s.stream_id, s.seq, n.type AS last_type, n.created_at AT TIME ZONE 'UTC' AS last_at,
    n.position AS last_position
FROM (
    SELECT m.stream, m.seq, m.type, m.created_at, m.position
    FROM {s}.messages AS m
    ORDER BY m.position DESC
    LIMIT 100000
) AS n
JOIN {s}.streams AS s ON s.id = n.stream AND s.seq = n.seq
ORDER BY n.position DESC
LIMIT %(limit)s
"""

WORKERS: Final[LiteralString] = """
SELECT w.id, w.name, w.host, w.pid, w.code_version, w.handles,
    w.started_at AT TIME ZONE 'UTC' AS started_at, w.seen_at AT TIME ZONE 'UTC' AS seen_at,
    (SELECT count(*) FROM {s}.deliveries AS d WHERE d.worker = w.id) AS claims
FROM {s}.workers AS w
ORDER BY w.started_at, w.id
"""

SCHEDULE: Final[LiteralString] = """
SELECT w.message_id, w.type, w.stream_id, w.payload, w.meta,
    w.created_at AT TIME ZONE 'UTC' AS created_at, w.causation_id, w.correlation_id, w.version,
    w.due_at AT TIME ZONE 'UTC' AS due_at, w.error
FROM {s}.schedule AS w
WHERE %(id)s::uuid IS NULL OR w.message_id = %(id)s::uuid
ORDER BY w.due_at, w.id
LIMIT %(limit)s
"""

OPERATIONS: Final[LiteralString] = """
SELECT o.id, o.at AT TIME ZONE 'UTC' AS at, o.actor, o.host, o.verb, o.target, o.reason,
    o.before, o.after
FROM {s}.operations AS o
ORDER BY o.id DESC
LIMIT %(limit)s
"""

# What a group has still to handle, and what the fill of a group that registers will come by.
PENDING: Final[LiteralString] = """
SELECT g.name AS group_name, g.status, s.stream_id, m.seq, m.type, m.id AS message_id,
    CASE WHEN d.next_seq <= m.seq THEN {state} ELSE 'ready' END AS state,
    d.ready_at AT TIME ZONE 'UTC' AS ready_at, w.name AS worker_name
FROM {s}.messages AS m
JOIN {s}.subscriptions AS b ON b.type = m.type
JOIN {s}.groups AS g ON g.id = b."group"
JOIN {s}.streams AS s ON s.id = m.stream
LEFT JOIN {s}.deliveries AS d ON d."group" = g.id AND d.stream = m.stream
LEFT JOIN {s}.workers AS w ON w.id = d.worker
WHERE m.correlation_id = %(correlation_id)s
    AND m.position >= %(from_position)s
    AND (%(names)s::text[] IS NULL OR g.name = ANY (%(names)s::text[]))
    AND (
        d.next_seq <= m.seq
        OR (
            g.fill_upto IS NOT NULL
            AND m.stream > g.fill_after
            AND m.stream <= g.fill_upto
            AND (
                g.fill_start IS NULL
                OR EXISTS (
                    SELECT 1
                    FROM {s}.messages AS x
                    JOIN {s}.subscriptions AS y ON y.type = x.type AND y."group" = g.id
                    WHERE x.stream = m.stream AND x.seq <= m.seq AND x.created_at >= g.fill_start
                )
            )
        )
    )
ORDER BY m.position, g.name
LIMIT %(limit)s
"""

PROGRESS: Final[LiteralString] = """
SELECT g.status, coalesce(s.seq, 0) AS head, d.next_seq, {state} AS state
FROM {s}.groups AS g
LEFT JOIN {s}.streams AS s ON s.stream_id = %(stream_id)s
LEFT JOIN {s}.deliveries AS d ON d."group" = g.id AND d.stream = s.id
WHERE g.name = %(group)s
"""

STATUS: Final[LiteralString] = """
SELECT
    CASE
        WHEN n.streams < %(bound)s::bigint THEN n.streams
        ELSE greatest(n.streams, (
            SELECT c.reltuples::bigint
            FROM pg_catalog.pg_class AS c
            WHERE c.oid = '{s}.streams'::regclass
        ))
    END AS streams,
    CASE
        WHEN n.messages < %(bound)s::bigint THEN n.messages
        ELSE greatest(n.messages, (
            SELECT c.reltuples::bigint
            FROM pg_catalog.pg_class AS c
            WHERE c.oid = '{s}.messages'::regclass
        ))
    END AS messages,
    n.last_position,
    n.deliveries,
    n.scheduled
FROM (
    SELECT
        (
            SELECT count(*)
            FROM (SELECT 1 FROM {s}.streams AS x WHERE x.seq > 0 LIMIT %(bound)s) AS x
        ) AS streams,
        (SELECT count(*) FROM (SELECT 1 FROM {s}.messages AS m LIMIT %(bound)s) AS m) AS messages,
        (SELECT coalesce(max(m.position), 0) FROM {s}.messages AS m) AS last_position,
        (SELECT count(*) FROM {s}.deliveries AS d) AS deliveries,
        (SELECT count(*) FROM {s}.schedule AS w) AS scheduled
) AS n
"""

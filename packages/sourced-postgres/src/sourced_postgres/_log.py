"""Reading: pages of a stream and of the log, single messages, traces, snapshots.

Positions are drawn from a sequence by transactions that overlap, so one that is smaller may become
visible later. Whoever draws positions holds the appends' advisory lock until its commit is visible.
So a page of the log is read in this order: (1) the last position drawn so far, U; (2) who holds the
lock; (3) the messages up to U, by a newer snapshot. A hole among them belongs to one of (2) or to
nobody. With nobody there it is final, and so is every hole up to U. Otherwise the page waits a
moment for those to end, and reads again; if one of them does not end, the page ends before the
hole and names it. Transactions that began after (2) drew positions beyond U, and do not matter.

A transaction that was prepared for a commit in two phases holds the lock without a connection until
somebody ends it by its name: its lock has no pid, and the view that knows its name is joined by the
transaction's own id, on which it holds a lock too.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sourced._records import StoredMessage
from sourced._store import LogPage, Snapshot, StreamPage
from sourced_postgres._connections import Connection
from sourced_postgres._names import findable, listed
from sourced_postgres._rows import stored
from sourced_postgres._statements import bound

__all__ = ["appending", "read_all", "read_one", "read_snapshots", "read_stream", "trace"]

_PATIENCE: Final = 0.1
"""Seconds for which a page waits for appends that are under way."""

_WINDOW: Final = 10_000
"""Positions that one page looks through at most when it is asked for some types only."""


def read_stream(
    connection: Connection,
    schema: str,
    stream_id: str,
    *,
    after: int,
    upto: int | None,
    types: Collection[str] | None,
    limit: int,
) -> StreamPage:
    """Return messages of a stream with after < seq ≤ upto, and its head, by one snapshot."""
    rows = connection.execute(
        bound(schema, _OF_STREAM),
        {
            "stream_id": findable(stream_id),
            "after": str(after),
            "upto": None if upto is None else str(upto),
            "types": None if types is None else listed(types),
            "limit": str(limit),
        },
    ).fetchall()
    if not rows:
        return StreamPage(messages=(), to=0, head=0)
    head: int = rows[0][11]
    messages = tuple(stored(row) for row in rows if row[0] is not None)
    end = head if upto is None else min(upto, head)
    if len(messages) < limit:
        return StreamPage(messages=messages, to=end, head=head)
    return StreamPage(messages=messages, to=messages[-1].seq if messages else after, head=head)


def read_one(connection: Connection, schema: str, message_id: UUID) -> StoredMessage | None:
    """Return the message of this id."""
    row = connection.execute(bound(schema, _BY_ID), [message_id]).fetchone()
    return None if row is None else stored(row)


def trace(
    connection: Connection, schema: str, message_id: UUID, limit: int
) -> tuple[StoredMessage, ...]:
    """Return all messages of the same correlation, by position."""
    rows = connection.execute(bound(schema, _OF_CORRELATION), [message_id, str(limit)])
    return tuple([stored(row) for row in rows])


def read_snapshots(
    connection: Connection, schema: str, group: str, stream_ids: Collection[str], version: int
) -> Mapping[str, Snapshot]:
    """Return the snapshots of this version, by stream."""
    rows = connection.execute(
        bound(schema, _SNAPSHOTS), [findable(group), listed(stream_ids), str(version)]
    )
    return {
        stream_id: Snapshot(group=group, stream_id=stream_id, seq=seq, version=version, state=state)
        for stream_id, seq, state in rows
    }


# --- the whole log --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holder:
    """A transaction that may have drawn positions and is not over."""

    transaction: str
    text: str


def read_all(
    connection: Connection,
    schema: str,
    *,
    after: int | None,
    types: Collection[str] | None,
    limit: int,
    backwards: bool,
) -> LogPage:
    """Return messages of the log by position; see the module."""
    wanted = None if types is None else listed(types)
    if backwards:
        return _read_backwards(connection, schema, after, wanted, limit)
    start = after or 0
    drawn = _last_drawn(connection, schema)
    holders = _holders(connection, schema)
    upto, hole = _looked_to(connection, schema, start, drawn, limit, typed=types is not None)
    if hole is not None and holders:
        holders = _still_there(connection, schema, holders)
        upto, hole = _looked_to(connection, schema, start, drawn, limit, typed=types is not None)
    if hole is not None and holders:
        page = _page(connection, schema, start, hole - 1, wanted, limit)
        if len(page) < limit:
            names = tuple(holder.text for holder in holders)
            return LogPage(messages=page, next_after=hole - 1, waiting_for=names)
        return LogPage(messages=page, next_after=page[-1].position if page else start)
    page = _page(connection, schema, start, upto, wanted, limit)
    ended = len(page) == limit
    next_after = (page[-1].position if page else start) if ended else max(start, upto)
    return LogPage(messages=page, next_after=next_after)


def _read_backwards(
    connection: Connection, schema: str, before: int | None, wanted: str | None, limit: int
) -> LogPage:
    rows = connection.execute(
        bound(schema, _BACKWARDS), [None if before is None else str(before), wanted, str(limit)]
    )
    messages = tuple([stored(row) for row in rows])
    last = messages[-1].position if len(messages) == limit and messages else 0
    return LogPage(messages=messages, next_after=last)


def _page(
    connection: Connection, schema: str, after: int, upto: int, wanted: str | None, limit: int
) -> tuple[StoredMessage, ...]:
    rows = connection.execute(bound(schema, _FORWARDS), [str(after), str(upto), wanted, str(limit)])
    return tuple([stored(row) for row in rows])


def _looked_to(
    connection: Connection, schema: str, after: int, drawn: int, limit: int, *, typed: bool
) -> tuple[int, int | None]:
    """Return how far a page looks, and the first position up to there that holds no message."""
    window = max(_WINDOW, limit) if typed else limit
    row = connection.execute(
        bound(schema, _FIRST_HOLE),
        {"after": str(after), "drawn": str(drawn), "window": str(window)},
    ).fetchone()
    assert row is not None
    last, count, hole = row
    if count < window:
        # Nothing is visible behind the last one: up to what was drawn, all of it is holes.
        return drawn, hole if hole is not None else (last + 1 if last < drawn else None)
    return last, hole


def _last_drawn(connection: Connection, schema: str) -> int:
    row = connection.execute(bound(schema, _LAST_DRAWN)).fetchone()
    return int(row[0]) if row is not None and row[0] is not None else 0


def appending(connection: Connection, schema: str) -> list[str]:
    """Return who holds the appends' lock: pid, application, age; or a prepared one's name."""
    return [holder.text for holder in _holders(connection, schema)]


def _holders(connection: Connection, schema: str) -> Sequence[_Holder]:
    rows = connection.execute(bound(schema, _HOLDERS)).fetchall()
    return [_Holder(transaction=row[0], text=_told(row)) for row in rows]


def _still_there(
    connection: Connection, schema: str, holders: Sequence[_Holder]
) -> Sequence[_Holder]:
    """Wait for transactions to end, but not for long; return those that have not."""
    deadline, pause = time.monotonic() + _PATIENCE, 0.001
    while True:
        present = {holder.transaction for holder in _holders(connection, schema)}
        holders = [holder for holder in holders if holder.transaction in present]
        if not holders or time.monotonic() >= deadline:
            return holders
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _told(row: Sequence[Any]) -> str:
    _, pid, application, state, seconds, gid, prepared_for = row
    if pid is None:
        if gid is None:  # it ended while this was read
            return "a prepared transaction"
        return f"transaction {gid!r} (prepared {prepared_for:.1f} s ago)"
    age = "" if seconds is None else f", in its transaction for {seconds:.1f} s"
    return f"pid {pid} ({application or 'unnamed'}, {state or 'state unknown'}{age})"


_OF_STREAM: Final = """
SELECT {message}, s.seq
FROM {s}.streams AS s
LEFT JOIN LATERAL (
    SELECT x.*
    FROM {s}.messages AS x
    WHERE x.stream = s.id
        AND x.seq > %(after)s
        AND x.seq <= least(s.seq, %(upto)s::bigint)
        AND (%(types)s::text[] IS NULL OR x.type = ANY (%(types)s::text[]))
    ORDER BY x.seq
    LIMIT %(limit)s
) AS m ON true
WHERE s.stream_id = %(stream_id)s
ORDER BY m.seq
"""

_BY_ID: Final = """
SELECT {message} FROM {s}.messages AS m JOIN {s}.streams AS s ON s.id = m.stream WHERE m.id = %s
"""

_OF_CORRELATION: Final = """
SELECT {message}
FROM {s}.messages AS m
JOIN {s}.streams AS s ON s.id = m.stream
WHERE m.correlation_id = (SELECT g.correlation_id FROM {s}.messages AS g WHERE g.id = %s)
ORDER BY m.position
LIMIT %s
"""

_FORWARDS: Final = """
SELECT {message}
FROM {s}.messages AS m
JOIN {s}.streams AS s ON s.id = m.stream
WHERE m.position > %s
    AND m.position <= %s
    AND m.type = ANY (coalesce(%s::text[], ARRAY[m.type]))
ORDER BY m.position
LIMIT %s
"""

_BACKWARDS: Final = """
SELECT {message}
FROM {s}.messages AS m
JOIN {s}.streams AS s ON s.id = m.stream
WHERE m.position < coalesce(%s::bigint, 9223372036854775807)
    AND m.type = ANY (coalesce(%s::text[], ARRAY[m.type]))
ORDER BY m.position DESC
LIMIT %s
"""

_SNAPSHOTS: Final = """
SELECT s.stream_id, p.seq, p.state
FROM {s}.streams AS s
JOIN {s}.snapshots AS p
    ON p."group" = (SELECT g.id FROM {s}.groups AS g WHERE g.name = %s) AND p.stream = s.id
WHERE s.stream_id = ANY (%s::text[]) AND p.version = %s
"""

_LAST_DRAWN: Final = """
SELECT pg_sequence_last_value(pg_get_serial_sequence('{s}.messages', 'position')::regclass)
"""

_FIRST_HOLE: Final = """
SELECT
    coalesce(max(n.position), %(after)s::bigint),
    count(*),
    min(%(after)s::bigint + n.place) FILTER (WHERE n.position <> %(after)s::bigint + n.place)
FROM (
    SELECT w.position, row_number() OVER (ORDER BY w.position) AS place
    FROM (
        SELECT m.position
        FROM {s}.messages AS m
        WHERE m.position > %(after)s::bigint AND m.position <= %(drawn)s::bigint
        ORDER BY m.position
        LIMIT %(window)s
    ) AS w
) AS n
"""

_HOLDERS: Final = """
SELECT
    l.virtualtransaction,
    l.pid,
    a.application_name,
    a.state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
    p.gid,
    extract(epoch FROM clock_timestamp() - p.prepared)::float8
FROM pg_catalog.pg_locks AS l
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN (
    pg_catalog.pg_locks AS x
    JOIN pg_catalog.pg_prepared_xacts AS p
        ON x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.pid IS NULL
) ON l.pid IS NULL AND x.virtualtransaction = l.virtualtransaction
WHERE l.locktype = 'advisory'
    AND l.granted
    AND l.objsubid = 1
    AND l.database = (
        SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database()
    )
    AND l.classid = '{s}'::regnamespace::oid
    AND l.objid = ({s}.lock_key(1) & 4294967295)::oid
    AND l.pid IS DISTINCT FROM pg_backend_pid()
ORDER BY a.xact_start, l.pid, p.prepared
"""

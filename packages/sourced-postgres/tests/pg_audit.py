"""Looks at what the workload left: what is lost, doubled, out of order or left over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, LiteralString

import psycopg
from psycopg import sql

__all__ = ["problems"]


def problems(connection: psycopg.Connection, schema: str, sent: Mapping[str, int]) -> Iterator[str]:
    """Yield what is lost, doubled, out of order or left over; nothing if all is well.

    Args:
        connection: to the database.
        schema: of the store.
        sent: the last number of each ledger that was answered for.
    """
    adds = _numbers(connection, schema, "load.add", "stream")
    ledgers = sorted(adds.keys() | sent.keys())
    copied = _numbers(connection, schema, "load.copied", "ledger")
    reminded = _numbers(connection, schema, "load.reminded", "ledger")
    added = _numbers(connection, schema, "load.added", "stream")
    rows = _rows(connection)
    for ledger in ledgers:
        count = len(adds.get(ledger, []))
        expected = list(range(1, count + 1))
        if count < sent.get(ledger, 0):
            yield f"{ledger}: {sent[ledger]} were answered, {count} are stored"
        yield from _compared(ledger, "commands", adds.get(ledger, []), expected)
        yield from _compared(ledger, "events", added.get(ledger, []), expected)
        yield from _compared(ledger, "copies", copied.get(ledger, []), expected)
        yield from _compared(ledger, "rows", rows.get(ledger, []), expected)
        tenths = expected[9::10]
        yield from _compared(ledger, "reminders", sorted(reminded.get(ledger, [])), tenths)
    sums = {ledger: sum(numbers) for ledger, numbers in adds.items()}
    query = "SELECT ledger, total FROM load_totals"
    totals: dict[str, int] = dict(connection.execute(query).fetchall())
    if totals != sums:
        yield f"totals are {totals}, not {sums}"
    query = "SELECT ledger, count, last FROM load_summaries"
    summaries = {ledger: (count, last) for ledger, count, last in connection.execute(query)}
    if summaries != {ledger: (len(numbers), len(numbers)) for ledger, numbers in adds.items()}:
        yield f"summaries are {summaries}"
    yield from _left_over(connection, schema)


def _numbers(
    connection: psycopg.Connection, schema: str, type: str, by: str
) -> dict[str, list[int]]:
    """Return the numbers of the messages of a type in the order of the log, by ledger."""
    query = sql.SQL(
        "SELECT CASE %s WHEN 'stream' THEN s.stream_id ELSE m.payload::jsonb ->> 'ledger' END,"
        " (m.payload::jsonb ->> 'number')::integer"
        " FROM {} AS m JOIN {} AS s ON s.id = m.stream WHERE m.type = %s ORDER BY m.position"
    ).format(sql.Identifier(schema, "messages"), sql.Identifier(schema, "streams"))
    return _by_first(connection.execute(query, [by, type]).fetchall())


def _rows(connection: psycopg.Connection) -> dict[str, list[int]]:
    query = "SELECT ledger, number FROM load_rows ORDER BY id"
    return _by_first(connection.execute(query).fetchall())


def _by_first(rows: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for ledger, number in rows:
        found.setdefault(ledger, []).append(number)
    return found


def _compared(ledger: str, what: str, found: list[int], expected: list[int]) -> Iterator[str]:
    if found == expected:
        return
    missing = sorted(set(expected) - set(found))
    doubled = sorted(number for number, count in Counter(found).items() if count > 1)
    strange = sorted(set(found) - set(expected))
    order = "" if found == sorted(found) else ", out of order"
    yield (
        f"{ledger}: {len(found)} {what} of {len(expected)}, missing {missing[:10]}, "
        f"doubled {doubled[:10]}, strange {strange[:10]}{order}"
    )


def _left_over(connection: psycopg.Connection, schema: str) -> Iterator[str]:
    for table, statement in _LEFT_OVER.items():
        query = sql.SQL(statement).format(sql.Identifier(schema, table))
        for (count,) in connection.execute(query).fetchall():
            yield f"{count} {table} are left over"
    heads = sql.SQL(
        "SELECT s.stream_id, s.seq, count(m.seq) FROM {} AS s LEFT JOIN {} AS m ON m.stream = s.id"
        " GROUP BY s.stream_id, s.seq HAVING s.seq <> count(m.seq) OR s.seq <> max(m.seq)"
    ).format(sql.Identifier(schema, "streams"), sql.Identifier(schema, "messages"))
    for stream_id, head, count in connection.execute(heads).fetchall():
        yield f"{stream_id}: the head is {head}, there are {count} messages"


_LEFT_OVER: Final[dict[str, LiteralString]] = {
    "messages": "SELECT count(*) FROM {} WHERE type = 'load.broken' HAVING count(*) > 0",
    "deliveries": "SELECT count(*) FROM {} HAVING count(*) > 0",
    "schedule": "SELECT count(*) FROM {} HAVING count(*) > 0",
}

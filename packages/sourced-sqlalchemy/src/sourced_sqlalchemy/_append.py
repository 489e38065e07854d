"""Append: expectations, ids, messages, and the deliveries that they cause.

The transaction has SQLite's write lock, so that positions and surrogate keys are read once and
counted on from there: nobody else can write until it ends.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Final
from uuid import UUID

from sqlalchemy import (
    Executable,
    Insert,
    bindparam,
    insert,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects import sqlite

from sourced._records import NewMessage
from sourced._store import Appended, Expectation
from sourced.errors import DuplicateMessageError
from sourced_sqlalchemy._heads import Heads, read_heads
from sourced_sqlalchemy._rows import message_row, stored_at
from sourced_sqlalchemy._scope import AnySelect, Scope, cell, many, rows_of
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import Identifier, Moment

__all__ = ["FRESH", "Handled", "Repeats", "append", "write"]

Handled = Mapping[tuple[str, str], Collection[UUID]]
"""(group, stream) → ids of new messages that the group has handled itself."""

_CHUNK = 500

FRESH: Final = {
    "replay_until": 0,
    "restarted": False,
    "epoch": 0,
    "attempts": 0,
    "suspect": False,
}
"""What stands in a delivery that was just made, beside its place and its time."""


# --- the verb -------------------------------------------------------------------------------------


def append(
    scope: Scope, messages: Sequence[NewMessage], expect: Mapping[str, Expectation]
) -> Appended:
    """Check and write messages; see the port."""
    heads = read_heads(scope, {*expect, *(message.stream_id for message in messages)})
    for stream_id, expectation in sorted(expect.items()):
        if refusal := heads.refusal(scope, stream_id, expectation):
            raise refusal
    if repeat := Repeats(scope, messages).refusal(messages):
        raise repeat
    return write(scope, heads, messages)


def write(
    scope: Scope, heads: Heads, messages: Sequence[NewMessage], handled: Handled | None = None
) -> Appended:
    """Write messages that were checked, with the deliveries they cause."""
    if not messages:
        return Appended(messages=())
    written, rows, placed = [], [], []
    for place, message in enumerate(messages, heads.last_position + 1):
        head = heads.advance(message)
        rows.append(message_row(message, stream=head.id, seq=head.seq, position=place))
        written.append(stored_at(message, seq=head.seq, position=place))
        placed.append((message, head.id, head.seq))
    heads.save(scope)
    scope.execute_many(_insert_messages(scope.tables), rows)
    return Appended(messages=tuple(written), groups=_fan_out(scope, placed, handled or {}))


def _fan_out(
    scope: Scope, placed: Sequence[tuple[NewMessage, int, int]], handled: Handled
) -> frozenset[str]:
    """Make deliveries at the first new message of each (group, stream) that has none."""
    types = json.dumps(sorted({message.type for message, _, _ in placed}))
    handling: dict[str, list[tuple[int, str]]] = {}
    for type_, key, name in scope.execute(_handling(scope.tables), types=types):
        handling.setdefault(type_, []).append((key, name))
    first: dict[tuple[int, int], int] = {}
    names: dict[int, str] = {}
    for message, stream, seq in placed:
        for key, name in handling.get(message.type, ()):
            if message.id not in handled.get((name, message.stream_id), ()):
                first.setdefault((key, stream), seq)
                names[key] = name
    made = _announced(scope, [(*place, seq) for place, seq in first.items()])
    groups = frozenset(names[key] for key in made)
    scope.stirred.update(groups)
    return groups


def _announced(scope: Scope, rows: Sequence[tuple[int, int, int]]) -> set[int]:
    """Make deliveries of (group, stream, next seq) where there are none; return their groups."""
    if not rows:
        return set()
    made = scope.execute(_announce(scope.tables), wanted=json.dumps(rows), now=scope.now)
    return set(made.scalars())


# --- ids ------------------------------------------------------------------------------------------


class Repeats:
    """Finds the ids among new messages that are in the log or scheduled, or come twice."""

    def __init__(self, scope: Scope, messages: Iterable[NewMessage]) -> None:
        ids = list({message.id for message in messages})
        self._stored: dict[UUID, DuplicateMessageError] = {}
        self._seen: set[UUID] = set()
        for start in range(0, len(ids), _CHUNK):
            for row in scope.execute(_stored_ids(scope.tables), ids=ids[start : start + _CHUNK]):
                self._stored[row[0]] = DuplicateMessageError(*row)

    def refusal(self, messages: Iterable[NewMessage]) -> DuplicateMessageError | None:
        """Return the error of the first repeat among messages, which are counted as seen."""
        for message in messages:
            if message.id in self._stored:
                return self._stored[message.id]
            if message.id in self._seen:
                return DuplicateMessageError(message.id, "", 0, message.type)
            self._seen.add(message.id)
        return None


# --- statements -----------------------------------------------------------------------------------


@cache
def _stored_ids(tables: Tables) -> Executable:
    m, s, w = tables.messages.c, tables.streams.c, tables.schedule.c
    ids = many("ids", Identifier)
    in_log = (
        select(m.id, s.stream_id, m.seq, m.type)
        .join_from(tables.messages, tables.streams, s.id == m.stream, isouter=True)
        .where(m.id.in_(ids))
    )
    scheduled = select(w.message_id, literal(""), literal(0), w.type).where(w.message_id.in_(ids))
    return union_all(in_log, scheduled)


@cache
def _insert_messages(tables: Tables) -> Insert:
    return insert(tables.messages)


@cache
def _handling(tables: Tables) -> AnySelect:
    b, g = tables.subscriptions.c, tables.groups.c
    return (
        select(b.type, g.id, g.name)
        .join_from(tables.subscriptions, tables.groups, g.id == b.group)
        .where(b.type.in_(select(rows_of("types").c.value)))
        .order_by(g.id)
    )


@cache
def _announce(tables: Tables) -> Executable:
    d, wanted = tables.deliveries.c, rows_of("wanted")
    rows = select(
        *(cell(wanted, column) for column in range(3)),
        bindparam("now", type_=Moment),
        *(literal(value, type_=d[name].type) for name, value in FRESH.items()),
    ).where(true())  # SQLite takes ON CONFLICT for a join condition unless WHERE comes before it
    return (
        sqlite.insert(tables.deliveries)
        .from_select(
            ["group", "stream", "next_seq", "ready_at", *FRESH], rows, include_defaults=False
        )
        .on_conflict_do_nothing()
        .returning(d.group)
    )

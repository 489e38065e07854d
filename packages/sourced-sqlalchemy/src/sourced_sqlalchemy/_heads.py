"""Heads of streams: read once, carried forward while messages are put behind them, and saved.

The transaction has SQLite's write lock, so that nobody else can move them meanwhile. For the same
reason the last surrogate key and the last position are read along with them, and counted on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from sqlalchemy import (
    Executable,
    Insert,
    Update,
    bindparam,
    func,
    insert,
    null,
    select,
    union_all,
    update,
)

from sourced._records import NewMessage
from sourced._store import Expectation, ExpectedSeq
from sourced.errors import ConcurrencyError
from sourced_sqlalchemy._scope import AnySelect, Scope, many
from sourced_sqlalchemy._tables import Tables

__all__ = ["Head", "Heads", "read_heads"]

_CHUNK = 500


@dataclass(slots=True)
class Head:
    """A stream's surrogate key, 0 before it has one, and its last seq."""

    id: int
    seq: int


class Heads:
    """The heads of some streams, carried forward while messages are put behind them.

    Attributes:
        last_position: of the log, before what is put behind.
    """

    def __init__(self, heads: dict[str, Head], last_stream: int, last_position: int) -> None:
        self.last_position = last_position
        self._last_stream = last_stream
        self._heads = heads
        self._added: dict[str, list[str]] = {}
        self._new: set[str] = set()

    def __getitem__(self, stream_id: str) -> Head:
        return self._heads.get(stream_id) or Head(0, 0)

    def refusal(
        self, scope: Scope, stream_id: str, expectation: Expectation
    ) -> ConcurrencyError | None:
        """Return the error if an expectation does not hold, counting what was put behind."""
        head = self[stream_id]
        if head.seq <= expectation.seq:
            holds = head.seq == expectation.seq or not isinstance(expectation, ExpectedSeq)
        elif isinstance(expectation, ExpectedSeq):
            holds = False
        else:
            holds = not self._has_since(scope, stream_id, expectation.seq, expectation.types)
        return None if holds else ConcurrencyError(stream_id, expectation.seq, head.seq)

    def _has_since(self, scope: Scope, stream_id: str, seq: int, types: frozenset[str]) -> bool:
        head, added = self[stream_id], self._added.get(stream_id, [])
        first_added = head.seq - len(added) + 1
        if any(type_ in types for type_ in added[max(0, seq - first_added + 1) :]):
            return True
        if seq >= first_added - 1:
            return False
        statement = _type_since(scope.tables)
        found = scope.execute(statement, stream=head.id, seq=seq, types=list(types))
        return found.first() is not None

    def copy(self) -> Heads:
        """Return heads that may be carried forward on their own."""
        heads = {name: Head(head.id, head.seq) for name, head in self._heads.items()}
        return Heads(heads, self._last_stream, self.last_position)

    def foresee(self, messages: Iterable[NewMessage]) -> None:
        """Count messages that are going to be written, for the expectations of later ones."""
        for message in messages:
            head = self._heads.setdefault(message.stream_id, Head(0, 0))
            head.seq += 1
            self._added.setdefault(message.stream_id, []).append(message.type)

    def advance(self, message: NewMessage) -> Head:
        """Return the head after a message was put behind it, with a surrogate key."""
        head = self._heads.setdefault(message.stream_id, Head(0, 0))
        if head.id == 0:
            self._last_stream += 1
            head.id = self._last_stream
            self._new.add(message.stream_id)
        head.seq += 1
        self._added.setdefault(message.stream_id, []).append(message.type)
        return head

    def save(self, scope: Scope) -> None:
        """Write the heads that moved."""
        new, moved = [], []
        for stream_id in self._added:
            head = self._heads[stream_id]
            if stream_id in self._new:
                new.append({"id": head.id, "stream_id": stream_id, "seq": head.seq})
            else:
                moved.append({"key": head.id, "head": head.seq})
        scope.execute_many(_insert_streams(scope.tables), new)
        scope.execute_many(_update_heads(scope.tables), moved)


def read_heads(scope: Scope, stream_ids: Iterable[str]) -> Heads:
    """Read the heads of streams, and the last places in the log."""
    wanted, last_stream, last_position = sorted(stream_ids), 0, 0
    heads: dict[str, Head] = {}
    for start in range(0, max(1, len(wanted)), _CHUNK):
        rows = scope.execute(_heads(scope.tables), names=wanted[start : start + _CHUNK])
        for key, name, place in rows:
            if name is None:
                last_stream, last_position = key, place
            else:
                heads[name] = Head(key, place)
    return Heads(heads, last_stream, last_position)


# --- statements -----------------------------------------------------------------------------------


@cache
def _heads(tables: Tables) -> Executable:
    """A row for each stream that exists, and one without a name: the last key and position."""
    s, position = tables.streams.c, tables.messages.c.position
    heads = select(s.id, s.stream_id, s.seq).where(s.stream_id.in_(many("names")))
    last_stream = select(func.coalesce(func.max(s.id), 0)).scalar_subquery()
    last_position = select(func.coalesce(func.max(position), 0)).scalar_subquery()
    return union_all(heads, select(last_stream, null(), last_position))


@cache
def _type_since(tables: Tables) -> AnySelect:
    m = tables.messages.c
    return (
        select(m.seq)
        .where(m.stream == bindparam("stream"), m.seq > bindparam("seq"))
        .where(m.type.in_(many("types")))
        .limit(1)
    )


@cache
def _insert_streams(tables: Tables) -> Insert:
    return insert(tables.streams)


@cache
def _update_heads(tables: Tables) -> Update:
    s = tables.streams.c
    return update(tables.streams).where(s.id == bindparam("key")).values(seq=bindparam("head"))

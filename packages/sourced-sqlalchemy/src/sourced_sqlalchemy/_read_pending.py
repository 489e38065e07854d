"""Read pending: what claims have to handle, and the history asked for, by one snapshot.

First the places and sizes of the messages, for all claims in one statement; then, in another, the
messages that fit into the limits. So no message is loaded that is not handed out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select

from sourced._records import StoredMessage
from sourced._store import Claim, Pending, ReadLimits, Tails, UnknownPending
from sourced_sqlalchemy._keys import group_key
from sourced_sqlalchemy._rows import message_columns, stored
from sourced_sqlalchemy._scope import AnySelect, Scope, cell, many, rows_of
from sourced_sqlalchemy._tables import Tables

__all__ = ["read_pending"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is, and what it weighs."""

    seq: int
    position: int
    type: str
    size: int


@dataclass(slots=True)
class Found:
    """What was found for one claim: the stream's head and the places after a seq."""

    head: int = 0
    places: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class Taken:
    """What of it fits: the positions to load, and up to where they are complete."""

    positions: list[int]
    to: int
    unknown: Place | None = None


class Budget:
    """Bytes that may still be read; the very first message always may."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._untouched = True

    def allows(self, size: int) -> bool:
        """Take `size` bytes if they are left."""
        if size > self._left and not self._untouched:
            self._left = 0
            return False
        self._untouched = False
        self._left -= size
        return True


def read_pending(
    scope: Scope,
    claims: Sequence[Claim],
    *,
    known_types: Collection[str],
    limits: ReadLimits,
    tails: Tails | None,
) -> list[Pending]:
    """Read what claims have to handle; see the port."""
    known, budget = frozenset(known_types), Budget(limits.bytes)
    found = _find_pending(scope, claims, limits.messages)
    taken = [
        _take(claim.next_seq - 1, one, limits.messages, budget, known)
        for claim, one in zip(claims, found, strict=True)
    ]
    tail = _take_tails(scope, claims, tails, limits.tail, budget)
    messages = _load(scope, (p for one in (*taken, *tail) for p in one.positions))
    return [
        Pending(
            claim=claim,
            messages=tuple(messages[position] for position in now.positions),
            looked_to=now.to,
            head=one.head,
            unknown=_unknown(scope, claim, now),
            tail=tuple(messages[position] for position in before.positions),
            tail_to=before.to,
        )
        for claim, one, now, before in zip(claims, found, taken, tail, strict=True)
    ]


def _take(
    after: int, found: Found, limit: int, budget: Budget, known: frozenset[str] | None
) -> Taken:
    """Take places in order until a bound or an unknown type ends the list."""
    positions: list[int] = []
    for place in found.places:
        if known is not None and place.type not in known:
            return Taken(positions, place.seq - 1, None if positions else place)
        if not budget.allows(place.size):
            return Taken(positions, after)
        positions.append(place.position)
        after = place.seq
    return Taken(positions, after if len(found.places) >= limit else found.head)


def _find_pending(scope: Scope, claims: Sequence[Claim], limit: int) -> list[Found]:
    """Find the pending places of each claim; claims of one group in one statement."""
    found = [Found() for _ in claims]
    for group in dict.fromkeys(claim.group for claim in claims):
        mine = [index for index, claim in enumerate(claims) if claim.group == group]
        wanted = json.dumps([[claims[i].stream_id, claims[i].next_seq - 1] for i in mine])
        statement = _pending_places(scope.tables)
        rows = scope.execute(statement, wanted=wanted, name=group, count=limit)
        _collect(found, mine, rows)
    return found


def _take_tails(
    scope: Scope, claims: Sequence[Claim], tails: Tails | None, limit: int, budget: Budget
) -> list[Taken]:
    after = {} if tails is None else tails.after
    if tails is None or not after:
        return [Taken([], 0) for _ in claims]
    mine = [index for index, claim in enumerate(claims) if claim.stream_id in after]
    wanted = json.dumps([[claims[i].stream_id, after[claims[i].stream_id]] for i in mine])
    found = [Found() for _ in claims]
    statement = _tail_places(scope.tables)
    rows = scope.execute(statement, wanted=wanted, types=sorted(tails.types), count=limit)
    _collect(found, mine, rows)
    return [
        _take(after[claim.stream_id], one, limit, budget, None)
        if claim.stream_id in after
        else Taken([], 0)
        for claim, one in zip(claims, found, strict=True)
    ]


def _collect(found: list[Found], mine: Sequence[int], rows: Iterable[Any]) -> None:
    for key, head, seq, position, type_, size in rows:
        one = found[mine[key]]
        one.head = head or 0
        if seq is not None:
            one.places.append(Place(seq, position, type_, size))
    for one in found:
        one.places.sort(key=lambda place: place.seq)


def _load(scope: Scope, positions: Iterable[int]) -> Mapping[int, StoredMessage]:
    wanted = json.dumps(sorted(set(positions)))
    if wanted == "[]":
        return {}
    rows = scope.execute(_messages_at(scope.tables), wanted=wanted)
    return {message.position: message for message in map(stored, rows)}


def _unknown(scope: Scope, claim: Claim, taken: Taken) -> UnknownPending | None:
    if taken.unknown is None:
        return None
    type_ = taken.unknown.type
    return UnknownPending(
        type=type_, seq=taken.unknown.seq, known_elsewhere=_is_known_elsewhere(scope, claim, type_)
    )


def _is_known_elsewhere(scope: Scope, claim: Claim, type_: str) -> bool:
    rows = scope.execute(_other_workers(scope.tables), own=claim.worker).scalars()
    return any(type_ in json.loads(handles).get(claim.group, ()) for handles in rows)


# --- statements -----------------------------------------------------------------------------------


@cache
def _pending_places(tables: Tables) -> AnySelect:
    b = tables.subscriptions.c
    return _places(tables, select(b.type).where(b.group == group_key(tables)))


@cache
def _tail_places(tables: Tables) -> AnySelect:
    return _places(tables, many("types"))


def _places(tables: Tables, types: Any) -> AnySelect:
    """Places of `types` after a seq, for rows of (stream id, seq), a bounded number of each.

    The inner statement walks one stream by (stream, seq) and stops at its limit: however much is
    pending there, no more of it is read.
    """
    m, s, x = tables.messages.c, tables.streams.c, tables.messages.alias("x").c
    wanted = rows_of("wanted")
    first = (
        select(x.position)
        .where(x.stream == s.id, x.seq > cell(wanted, 1), x.type.in_(types))
        .order_by(x.seq)
        .limit(bindparam("count"))
        .correlate(tables.streams, wanted)
    )
    return (
        select(wanted.c.key, s.seq, m.seq, m.position, m.type, m.size)
        .select_from(wanted)
        .join(tables.streams, s.stream_id == cell(wanted, 0), isouter=True)
        .join(tables.messages, m.position.in_(first), isouter=True)
    )


@cache
def _messages_at(tables: Tables) -> AnySelect:
    wanted = rows_of("wanted")
    m, s = tables.messages.c, tables.streams.c
    return (
        select(*message_columns(tables))
        .join_from(tables.messages, tables.streams, s.id == m.stream, isouter=True)
        .where(m.position.in_(select(wanted.c.value)))
    )


@cache
def _other_workers(tables: Tables) -> AnySelect:
    w = tables.workers.c
    return select(w.handles).where(w.id != bindparam("own"))

"""Rows of deliveries: reading, moving and deleting them; release, retry, park, unpark and skip."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Delete, Update, and_, bindparam, delete, select, update

from sourced._store import Claim, Release, Then
from sourced.errors import ClaimLostError
from sourced_sqlalchemy._keys import group_key
from sourced_sqlalchemy._scope import AnySelect, Scope, cell, many, rows_of
from sourced_sqlalchemy._settle import Delivery, settle
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import SoughtText

__all__ = [
    "next_handled",
    "read_deliveries",
    "release",
    "save_deliveries",
    "settle_claim",
]

_CHUNK = 500

_MOVING = (
    "next_seq",
    "replay_until",
    "restarted",
    "ready_at",
    "worker",
    "epoch",
    "claimed_at",
    "attempts",
    "suspect",
    "parked_at",
    "error",
)
"""The columns that change while a delivery lives."""


def read_deliveries(scope: Scope, group: str, stream_ids: Collection[str]) -> dict[str, Delivery]:
    """Return a group's deliveries of streams, by stream id, where there are any."""
    found: dict[str, Delivery] = {}
    names = sorted(set(stream_ids))
    for start in range(0, len(names), _CHUNK):
        chunk = names[start : start + _CHUNK]
        rows = scope.execute(_deliveries_of(scope.tables), name=group, names=chunk)
        found.update({row[0]: _delivery(row[1:]) for row in rows if row[1] is not None})
    return found


def save_deliveries(scope: Scope, changes: Iterable[tuple[Delivery, Delivery | None]]) -> None:
    """Write what became of deliveries: (as it was, as it goes on, or None for drained)."""
    moved, drained = [], []
    for before, after in changes:
        if after is None:
            drained.append({"key": before.id})
        else:
            moved.append({"key": after.id} | {f"to_{n}": getattr(after, n) for n in _MOVING})
    scope.execute_many(_delete_delivery(scope.tables), drained)
    scope.execute_many(_move_delivery(scope.tables), moved)


def next_handled(scope: Scope, group: str, after: Mapping[int, int]) -> dict[int, int]:
    """Return, for stream keys and seqs, the seq of the next message that the group handles."""
    if not after:
        return {}
    wanted = json.dumps(list(after.items()))
    rows = scope.execute(_next_handled(scope.tables), name=group, wanted=wanted)
    return {stream: seq for stream, seq in rows if seq is not None}


def release(scope: Scope, claims: Sequence[Claim]) -> int:
    """Give back the claims that are still held; return how many."""
    changes = []
    for group in dict.fromkeys(claim.group for claim in claims):
        mine = [claim for claim in claims if claim.group == group]
        rows = read_deliveries(scope, group, [claim.stream_id for claim in mine])
        for claim in mine:
            row = rows.get(claim.stream_id)
            if row is not None and row.is_held_by(claim):
                changes.append((row, _settled(scope, claim, row, Release())))
    save_deliveries(scope, changes)
    return len(changes)


def settle_claim(scope: Scope, claim: Claim, then: Then) -> None:
    """Retry or park what a claim holds.

    Raises:
        ClaimLostError: it is not held by this claim any more.
    """
    row = read_deliveries(scope, claim.group, [claim.stream_id]).get(claim.stream_id)
    if row is None or not row.is_held_by(claim):
        raise ClaimLostError(claim.group, claim.stream_id)
    save_deliveries(scope, [(row, _settled(scope, claim, row, then))])


def _settled(scope: Scope, claim: Claim, row: Delivery, then: Then) -> Delivery | None:
    after = settle(row, then, acked=False, next_seq=None, now=scope.now)
    if after is not None and after.is_ready(scope.now):
        scope.stirred.add(claim.group)
    return after


def _delivery(row: Sequence[Any]) -> Delivery:
    return Delivery(id=row[0], stream=row[1], **dict(zip(_MOVING, row[2:], strict=True)))


# --- statements -----------------------------------------------------------------------------------


@cache
def _deliveries_of(tables: Tables) -> AnySelect:
    """Streams by name, each with the group's delivery or with none.

    An outer join, because SQLite does not turn its order round: from the streams named to their
    deliveries, never from all that is pending in the group.
    """
    d, s = tables.deliveries.c, tables.streams.c
    return (
        select(s.stream_id, d.id, d.stream, *(d[name] for name in _MOVING))
        .join_from(
            tables.streams,
            tables.deliveries,
            and_(d.group == group_key(tables), d.stream == s.id),
            isouter=True,
        )
        .where(s.stream_id.in_(many("names", SoughtText)))
    )


@cache
def _move_delivery(tables: Tables) -> Update:
    values: dict[str, Any] = {name: bindparam(f"to_{name}") for name in _MOVING}
    return (
        update(tables.deliveries).where(tables.deliveries.c.id == bindparam("key")).values(values)
    )


@cache
def _delete_delivery(tables: Tables) -> Delete:
    return delete(tables.deliveries).where(tables.deliveries.c.id == bindparam("key"))


@cache
def _next_handled(tables: Tables) -> AnySelect:
    """The next message of a group's types in each of many streams, each by (stream, seq)."""
    m, b = tables.messages.c, tables.subscriptions.c
    wanted = rows_of("wanted")
    types = select(b.type).where(b.group == group_key(tables))
    following = (
        select(m.seq)
        .where(m.stream == cell(wanted, 0), m.seq > cell(wanted, 1), m.type.in_(types))
        .order_by(m.seq)
        .limit(1)
        .correlate(wanted)
        .scalar_subquery()
    )
    return select(cell(wanted, 0), following)

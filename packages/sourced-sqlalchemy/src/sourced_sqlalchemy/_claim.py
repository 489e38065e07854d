"""Claim: take hold of ready deliveries of many streams in three statements."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Update,
    bindparam,
    exists,
    func,
    select,
    true,
    update,
)

from sourced._store import Claim
from sourced_sqlalchemy._scope import AnyRow, AnySelect, Scope, many
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import Moment, SoughtText

__all__ = ["claim", "draw_epochs"]

_EPOCHS = "epochs"


def claim(
    scope: Scope,
    group: str,
    worker_id: str,
    *,
    max_streams: int,
    stream_ids: Collection[str] | None,
    suspects: bool,
) -> list[Claim]:
    """Claim ready deliveries; see the port."""
    values: dict[str, Any] = {
        "name": group,
        "worker_id": worker_id,
        "now": scope.now,
        "count": max_streams,
    }
    if stream_ids is not None:
        values["names"] = sorted(stream_ids)
    rows = _candidates_for(scope, values, named=stream_ids is not None, suspects=suspects)
    if not rows:
        return []
    first = draw_epochs(scope, len(rows))
    changes = [
        {"key": row.id, "holder": worker_id, "number": epoch, "at": scope.now}
        for epoch, row in enumerate(rows, first)
    ]
    scope.execute_many(_take(scope.tables), changes)
    return [_claimed(row, group, worker_id, epoch) for epoch, row in enumerate(rows, first)]


def draw_epochs(scope: Scope, count: int) -> int:
    """Draw so many epochs from the store's counter and return the first of them."""
    last = scope.execute(_draw(scope.tables), count=count).scalar_one()
    return int(last) - count + 1


def _candidates_for(
    scope: Scope, values: dict[str, Any], *, named: bool, suspects: bool
) -> Sequence[AnyRow]:
    """Return what may be claimed now: a suspect one alone, or none of them."""
    rows = scope.execute(_ready(scope.tables, named, suspect=suspects), **values).all()
    if not rows:
        return rows
    if rows[0].suspect:
        return rows[:1]
    if any(row.suspect for row in rows):
        return scope.execute(_ready(scope.tables, named, suspect=False), **values).all()
    return rows


def _claimed(row: AnyRow, group: str, worker_id: str, epoch: int) -> Claim:
    return Claim(
        group=group,
        stream_id=row.stream_id,
        worker=worker_id,
        epoch=epoch,
        next_seq=row.next_seq,
        attempts=row.attempts + 1,
        replay_until=row.replay_until,
        restarted=row.restarted,
        suspect=row.suspect,
    )


# --- statements -----------------------------------------------------------------------------------


@cache
def _ready(tables: Tables, named: bool, *, suspect: bool) -> AnySelect:
    d, s, g, w = tables.deliveries.c, tables.streams.c, tables.groups.c, tables.workers.c
    active = select(g.id).where(g.name == bindparam("name", type_=SoughtText), g.status == "active")
    return (
        select(d.id, s.stream_id, d.next_seq, d.attempts, d.replay_until, d.restarted, d.suspect)
        .join_from(tables.deliveries, tables.streams, s.id == d.stream, isouter=True)
        .where(d.group == active.scalar_subquery())
        .where(*_claimable(tables, named))
        .where(d.ready_at <= bindparam("now", type_=Moment))
        .where(exists().where(w.id == bindparam("worker_id")))
        .where(true() if suspect else d.suspect.is_(False))
        .order_by(d.ready_at, d.id)
        .limit(bindparam("count"))
    )


def _claimable(tables: Tables, named: bool) -> tuple[ColumnElement[bool], ...]:
    """Neither claimed nor parked.

    Said in the words of the partial index, it is walked in order of `ready_at`. For named streams
    it is said otherwise, so that they are looked up instead, however much else is ready.
    """
    d, s = tables.deliveries.c, tables.streams.alias("named").c
    if named:
        keys = select(s.id).where(s.stream_id.in_(many("names", SoughtText)))
        return d.stream.in_(keys), func.coalesce(d.worker, d.parked_at).is_(None)
    return d.worker.is_(None), d.parked_at.is_(None)


@cache
def _draw(tables: Tables) -> Update:
    c = tables.counters.c
    return (
        update(tables.counters)
        .where(c.name == _EPOCHS)
        .values(value=c.value + bindparam("count"))
        .returning(c.value)
    )


@cache
def _take(tables: Tables) -> Update:
    d = tables.deliveries.c
    return (
        update(tables.deliveries)
        .where(d.id == bindparam("key"))
        .values(
            worker=bindparam("holder"),
            epoch=bindparam("number"),
            claimed_at=bindparam("at"),
            attempts=d.attempts + 1,
        )
    )

"""What operators do to deliveries: unpark, skip, and reset."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import Update, bindparam, exists, func, or_, select, true, update
from sqlalchemy.dialects import sqlite

from sourced._store import Operator
from sourced.errors import BusyError, NotFoundError
from sourced_sqlalchemy._claim import draw_epochs
from sourced_sqlalchemy._deliveries import next_handled, read_deliveries, save_deliveries
from sourced_sqlalchemy._groups import check_filled, require_group
from sourced_sqlalchemy._operations import record
from sourced_sqlalchemy._scope import AnySelect, Scope, cell, listed, rows_of
from sourced_sqlalchemy._settle import Delivery, freshened
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import Moment

__all__ = ["begin_reset", "reset_chunk", "skip", "streams_to_reset", "unpark"]


# --- unpark and skip ------------------------------------------------------------------------------


def unpark(scope: Scope, name: str, stream_ids: Collection[str] | None, by: Operator | None) -> int:
    """Make parked and waiting deliveries ready now; return how many."""
    group = require_group(scope, name)
    values: dict[str, Any] = {"own_group": group.id, "now": scope.now}
    if stream_ids is not None:
        values["wanted"] = listed(stream_ids)
    woken = scope.execute(_unpark(scope.tables, named=stream_ids is not None), **values).rowcount
    if woken:
        scope.stirred.add(name)
    target = _target(name, stream_ids)
    record(scope, "retry", target, by, before=f"{woken} parked or waiting", after="ready")
    return woken


def skip(scope: Scope, name: str, stream_id: str, seq: int, by: Operator | None) -> None:
    """Count the next pending message of a stream as handled, unrun.

    Raises:
        UnknownGroupError, BusyError, NotFoundError: as the port says.
    """
    check_filled(require_group(scope, name), stream_id)
    row = read_deliveries(scope, name, [stream_id]).get(stream_id)
    if row is not None and row.worker is not None and _is_alive(scope, row.worker):
        raise BusyError(name, stream_id, "held")
    first = None if row is None else _next(scope, name, row, row.next_seq - 1)
    if row is None or first != seq:
        there = "nothing is pending" if first is None else f"seq {first} is"
        raise NotFoundError(
            f"seq {seq} of stream {stream_id!r} is not the next message that group {name!r} "
            f"has to handle: {there}"
        )
    before = f"seq {seq}, {row.state(scope.now)}"
    following = _next(scope, name, row, seq)
    if following is None:
        save_deliveries(scope, [(row, None)])
        after = "drained"
    else:
        save_deliveries(scope, [(row, replace(freshened(row, scope.now), next_seq=following))])
        scope.stirred.add(name)
        after = f"seq {following}, ready"
    record(scope, "skip", f"{name} {stream_id} {seq}", by, before=before, after=after)


def _next(scope: Scope, group: str, row: Delivery, after: int) -> int | None:
    return next_handled(scope, group, {row.stream: after}).get(row.stream)


def _is_alive(scope: Scope, worker_id: str) -> bool:
    return scope.execute(_worker(scope.tables), worker_id=worker_id).first() is not None


def _target(group: str, stream_ids: Collection[str] | None) -> str:
    return group if stream_ids is None else f"{group} {', '.join(sorted(set(stream_ids)))}"


# --- reset ----------------------------------------------------------------------------------------


def streams_to_reset(scope: Scope, name: str, stream_ids: Collection[str] | None) -> Sequence[int]:
    """Return the keys of the streams that hold something of the group's, in order of creation."""
    group = require_group(scope, name)
    check_filled(group)
    values: dict[str, Any] = {"group": group.id}
    if stream_ids is not None:
        values["wanted"] = listed(stream_ids)
    statement = _covered(scope.tables, named=stream_ids is not None)
    return scope.execute(statement, **values).scalars().all()


def begin_reset(
    scope: Scope, name: str, stream_ids: Collection[str] | None, covered: int, by: Operator | None
) -> None:
    """Write down that a reset begins."""
    group = require_group(scope, name)
    check_filled(group)
    pending = scope.execute(_count(scope.tables), group=group.id).scalar_one()
    record(
        scope,
        "reset",
        _target(name, stream_ids),
        by,
        before=f"{pending} streams with something to handle",
        after=f"{covered} streams to replay",
    )


def reset_chunk(scope: Scope, name: str, streams: Sequence[int]) -> None:
    """Reset some streams, all at this one instant."""
    group = require_group(scope, name)
    check_filled(group)
    wanted = json.dumps([[stream] for stream in streams])
    rows = scope.execute(_first_and_progress(scope.tables), group=group.id, wanted=wanted).all()
    if not rows:
        return
    epoch = draw_epochs(scope, len(rows))
    changes = [
        {
            "group": group.id,
            "stream": stream,
            "next_seq": first,
            "replay_until": head if at is None else max(replay_until, at - 1),
            "restarted": True,
            "ready_at": scope.now,
            "epoch": epoch + number,
            "attempts": 0,
            "suspect": False,
        }
        for number, (stream, head, first, at, replay_until) in enumerate(rows)
    ]
    scope.execute_many(_restart(scope.tables), changes)
    scope.stirred.add(name)


# --- statements -----------------------------------------------------------------------------------


@cache
def _unpark(tables: Tables, *, named: bool) -> Update:
    d, s = tables.deliveries.c, tables.streams.c
    chosen = select(s.id).where(s.stream_id.in_(select(rows_of("wanted").c.value)))
    return (
        update(tables.deliveries)
        .where(d.group == bindparam("own_group"), d.worker.is_(None))
        .where(or_(d.parked_at.is_not(None), d.ready_at > bindparam("now", type_=Moment)))
        .where(d.stream.in_(chosen) if named else true())
        .values(
            parked_at=None,
            attempts=0,
            error=None,
            ready_at=bindparam("now", type_=Moment),
        )
    )


@cache
def _worker(tables: Tables) -> AnySelect:
    w = tables.workers.c
    return select(w.id).where(w.id == bindparam("worker_id"))


def _own(tables: Tables, stream: Any) -> AnySelect:
    """The messages of a stream that the group handles."""
    m, b = tables.messages.c, tables.subscriptions.c
    types = select(b.type).where(b.group == bindparam("group"))
    return select(m.seq).where(m.stream == stream, m.type.in_(types))


@cache
def _covered(tables: Tables, *, named: bool) -> AnySelect:
    s = tables.streams.c
    return (
        select(s.id)
        .where(exists(_own(tables, s.id).correlate(tables.streams)))
        .where(s.stream_id.in_(select(rows_of("wanted").c.value)) if named else true())
        .order_by(s.id)
    )


@cache
def _count(tables: Tables) -> AnySelect:
    return select(func.count()).where(tables.deliveries.c.group == bindparam("group"))


@cache
def _first_and_progress(tables: Tables) -> AnySelect:
    """Of each stream: key, head, the first message of the group's types, and the delivery."""
    m, s, d = tables.messages.c, tables.streams.c, tables.deliveries.c
    wanted = rows_of("wanted")
    own = _own(tables, s.id).order_by(m.seq).limit(1).correlate(tables.streams)
    first = own.scalar_subquery().label("first")
    rows = (
        select(s.id, s.seq, first, d.next_seq, d.replay_until)
        .select_from(wanted)
        .join(tables.streams, s.id == cell(wanted, 0))
        .join(
            tables.deliveries,
            (d.group == bindparam("group")) & (d.stream == s.id),
            isouter=True,
        )
        .subquery("rows")
    )
    return select(*rows.c).where(rows.c.first.is_not(None))


@cache
def _restart(tables: Tables) -> sqlite.Insert:
    statement = sqlite.insert(tables.deliveries)
    values = {
        name: statement.excluded[name]
        for name in ("next_seq", "replay_until", "restarted", "ready_at", "epoch", "attempts")
    }
    cleared = {"worker": None, "claimed_at": None, "parked_at": None, "error": None}
    return statement.on_conflict_do_update(
        index_elements=["group", "stream"], set_={**values, **cleared, "suspect": False}
    )

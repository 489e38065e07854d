"""Handle now: write a chain that its caller has handled, unless anything stands in its way."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from uuid import UUID

from sqlalchemy import select

from sourced._faults import reach
from sourced._records import NewMessage
from sourced._store import Appended, UnitOfWork
from sourced.errors import BusyError, GroupStoppedError, StreamParkedError, UsageError
from sourced_sqlalchemy._append import Repeats, write
from sourced_sqlalchemy._commit import run_sync, save_snapshots
from sourced_sqlalchemy._deliveries import read_deliveries
from sourced_sqlalchemy._groups import Group, check_filled, require_group
from sourced_sqlalchemy._heads import read_heads
from sourced_sqlalchemy._schedule import insert_scheduled
from sourced_sqlalchemy._scope import AnySelect, Scope, many
from sourced_sqlalchemy._settle import Delivery
from sourced_sqlalchemy._tables import Tables

__all__ = ["handle_now"]


def handle_now(scope: Scope, work: UnitOfWork) -> Appended:
    """Write a handled chain; see the port."""
    if work.sync is not None:
        run_sync(scope, work.sync)
    for group, stream_ids in sorted(_by_group(work).items()):
        _check_idle(scope, group, stream_ids)
    _check_in_order(scope, work)
    heads = read_heads(scope, {*work.expect, *(message.stream_id for message in work.messages)})
    for stream_id, expectation in sorted(work.expect.items()):
        if refusal := heads.refusal(scope, stream_id, expectation):
            raise refusal
    outputs = [*work.messages, *(waiting.message for waiting in work.schedule)]
    if repeat := Repeats(scope, outputs).refusal(outputs):
        raise repeat
    appended = write(scope, heads, work.messages, work.handled)
    insert_scheduled(scope, work.schedule)
    save_snapshots(scope, work.snapshots)
    reach("handle_now.before_commit")
    return appended


def _by_group(work: UnitOfWork) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group, stream_id in sorted(work.handled):
        found.setdefault(group, []).append(stream_id)
    return found


def _check_idle(scope: Scope, name: str, stream_ids: Iterable[str]) -> None:
    group, names = require_group(scope, name), list(stream_ids)
    rows = read_deliveries(scope, name, names)
    for stream_id in names:
        _check_group(group, stream_id)
        if stream_id in rows:
            raise _obstacle(scope, name, stream_id, rows[stream_id])


def _check_group(group: Group, stream_id: str) -> None:
    if group.status == "stopped":
        raise GroupStoppedError(group.name, stream_id)
    check_filled(group, stream_id)


def _obstacle(scope: Scope, group: str, stream_id: str, row: Delivery) -> Exception:
    state = row.state(scope.now)
    if state == "parked":
        return StreamParkedError(group, stream_id)
    if state == "retrying":
        return BusyError(group, stream_id, state, row.ready_at)
    return BusyError(group, stream_id, "held" if state == "claimed" else "pending")


def _check_in_order(scope: Scope, work: UnitOfWork) -> None:
    """Refuse work in which a group leaves a message to workers and handles a later one (I4)."""
    handling = _handling(scope, work.messages)
    left: dict[tuple[str, str], UUID] = {}
    for message in work.messages:
        for group in handling.get(message.type, ()):
            key = (group, message.stream_id)
            handled = message.id in work.handled.get(key, ())
            if handled and key in left:
                raise UsageError(
                    f"group {group!r} handles {message.type!r} in stream {message.stream_id!r} "
                    f"but not message {left[key]} before it; handle a stream's messages in order"
                )
            if not handled:
                left.setdefault(key, message.id)


def _handling(scope: Scope, messages: Iterable[NewMessage]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    types = sorted({message.type for message in messages})
    for type_, group in scope.execute(_groups_by_type(scope.tables), types=types):
        found.setdefault(type_, []).append(group)
    return found


@cache
def _groups_by_type(tables: Tables) -> AnySelect:
    b, g = tables.subscriptions.c, tables.groups.c
    return (
        select(b.type, g.name)
        .join_from(tables.subscriptions, tables.groups, g.id == b.group)
        .where(b.type.in_(many("types")))
    )

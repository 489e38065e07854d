"""Groups as operators change them: stop, start, breaker, unsubscribe and remove."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Delete, Update, bindparam, delete, exists, func, select, update

from sourced._inspect import GroupState
from sourced._store import Operator
from sourced.errors import BusyError, UnknownGroupError
from sourced_sqlalchemy._operations import record
from sourced_sqlalchemy._scope import AnyRow, AnySelect, Scope, many
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import Moment, SoughtText

__all__ = [
    "Group",
    "change_status",
    "check_filled",
    "find_group",
    "remove",
    "require_group",
    "start",
    "stop",
    "trip_breaker",
    "types_of",
    "unsubscribe",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A row of groups; `fill_upto` is None as soon as its fill is complete, stopped or not."""

    id: int
    name: str
    status: GroupState
    reason: str
    since: datetime
    fill_after: int | None
    fill_upto: int | None
    fill_start: datetime | None


def find_group(scope: Scope, name: str) -> Group | None:
    """Return the group of this name."""
    row = scope.execute(_by_name(scope.tables), name=name).one_or_none()
    return None if row is None else _group(row)


def require_group(scope: Scope, name: str) -> Group:
    """Return the group of this name.

    Raises:
        UnknownGroupError: no such group.
    """
    group = find_group(scope, name)
    if group is None:
        raise UnknownGroupError(name)
    return group


def check_filled(group: Group, stream_id: str = "") -> None:
    """Refuse what a group must be filled for.

    Raises:
        BusyError: it is still filling.
    """
    if group.fill_upto is not None:
        raise BusyError(group.name, stream_id, "filling")


def types_of(scope: Scope, group: Group) -> frozenset[str]:
    """Return the types that a group handles."""
    return frozenset(scope.execute(_types(scope.tables), group=group.id).scalars())


def change_status(scope: Scope, group: Group, status: GroupState, reason: str = "") -> None:
    """Write a group's status, with the moment since when it has it."""
    since = group.since if group.status == status else scope.now
    scope.execute(
        _change(scope.tables), key=group.id, to_status=status, to_reason=reason, to_since=since
    )


def stop(scope: Scope, name: str, by: Operator | None) -> None:
    """Let no more be claimed for a group."""
    group = require_group(scope, name)
    change_status(scope, group, "stopped", by.reason if by is not None else "")
    record(scope, "stop", name, by, before=group.status, after="stopped")


def start(scope: Scope, name: str, by: Operator | None) -> None:
    """Let a stopped group be claimed again, or be filled to the end first."""
    group = require_group(scope, name)
    status: GroupState = "active" if group.fill_upto is None else "filling"
    change_status(scope, group, status)
    record(scope, "start", name, by, before=group.status, after=status)
    scope.stirred.add(name)


def trip_breaker(scope: Scope, name: str, more_than: int, within: timedelta) -> bool:
    """Stop an active group if too many of its streams were parked of late."""
    group = find_group(scope, name)
    if group is None or group.status != "active":
        return False
    since = scope.now - within
    parked = scope.execute(_parked_since(scope.tables), group=group.id, since=since).scalar_one()
    if parked <= more_than:
        return False
    reason = f"breaker: {parked} streams parked within {within.total_seconds():g} s"
    stop(scope, name, Operator(actor="breaker", reason=reason))
    return True


def unsubscribe(scope: Scope, name: str, types: Collection[str], by: Operator | None) -> None:
    """Take types from a group; its deliveries move on to the next type it handles."""
    group = require_group(scope, name)
    before = types_of(scope, group)
    left = before - set(types)
    scope.execute(_delete_types(scope.tables), group=group.id, types=sorted(set(types)))
    scope.execute(_delete_done(scope.tables), own_group=group.id)
    moved = scope.execute(_move_on(scope.tables), own_group=group.id, now=scope.now).rowcount
    record(scope, "unsubscribe", name, by, before=_listed(before), after=_listed(left))
    if moved:
        scope.stirred.add(name)


def remove(scope: Scope, name: str, by: Operator | None) -> None:
    """Forget a group: its subscriptions, deliveries, snapshots and former names."""
    group, tables = require_group(scope, name), scope.tables
    gone = scope.execute(_delete_all(tables, "deliveries"), group=group.id).rowcount
    scope.execute(_delete_all(tables, "subscriptions"), group=group.id)
    scope.execute(_delete_all(tables, "snapshots"), group=group.id)
    scope.execute(_delete_all(tables, "former_names"), group=group.id)
    scope.execute(_delete_group(tables), group=group.id)
    before = f"{group.status}, {gone} streams with something to handle"
    record(scope, "remove", name, by, before=before, after="removed")


def _group(row: AnyRow) -> Group:
    return Group(**row._asdict())


def _listed(types: Collection[str]) -> str:
    return ", ".join(sorted(types)) or "nothing"


# --- statements -----------------------------------------------------------------------------------


@cache
def _by_name(tables: Tables) -> AnySelect:
    return select(*tables.groups.c).where(
        tables.groups.c.name == bindparam("name", type_=SoughtText)
    )


@cache
def _types(tables: Tables) -> AnySelect:
    b = tables.subscriptions.c
    return select(b.type).where(b.group == bindparam("group"))


@cache
def _change(tables: Tables) -> Update:
    values: dict[str, Any] = {
        name: bindparam(f"to_{name}") for name in ("status", "reason", "since")
    }
    return update(tables.groups).where(tables.groups.c.id == bindparam("key")).values(values)


@cache
def _parked_since(tables: Tables) -> AnySelect:
    d = tables.deliveries.c
    return select(func.count()).where(
        d.group == bindparam("group"),
        d.parked_at.is_not(None),
        d.parked_at >= bindparam("since", type_=Moment),
    )


@cache
def _delete_types(tables: Tables) -> Delete:
    b = tables.subscriptions.c
    return delete(tables.subscriptions).where(
        b.group == bindparam("group"), b.type.in_(many("types"))
    )


def _next_of_row(tables: Tables) -> Any:
    """The first message, from a delivery's `next_seq` on, of a type that its group handles."""
    d, m, b = tables.deliveries.c, tables.messages.c, tables.subscriptions.c
    types = select(b.type).where(b.group == bindparam("own_group"))
    return (
        select(m.seq)
        .where(m.stream == d.stream, m.seq >= d.next_seq, m.type.in_(types))
        .order_by(m.seq)
        .limit(1)
        .correlate(tables.deliveries)
    )


@cache
def _delete_done(tables: Tables) -> Delete:
    d = tables.deliveries.c
    return delete(tables.deliveries).where(
        d.group == bindparam("own_group"), ~exists(_next_of_row(tables))
    )


@cache
def _move_on(tables: Tables) -> Update:
    """Move what stands at a message that is the group's no more; whoever held it holds it not."""
    d, following = tables.deliveries.c, _next_of_row(tables).scalar_subquery()
    return (
        update(tables.deliveries)
        .where(d.group == bindparam("own_group"), d.next_seq != following)
        .values(
            next_seq=following,
            worker=None,
            claimed_at=None,
            parked_at=None,
            attempts=0,
            error=None,
            ready_at=bindparam("now"),
        )
    )


@cache
def _delete_all(tables: Tables, name: str) -> Delete:
    table = tables.metadata.tables[f"{tables.prefix}{name}"]
    return delete(table).where(table.c.group == bindparam("group"))


@cache
def _delete_group(tables: Tables) -> Delete:
    return delete(tables.groups).where(tables.groups.c.id == bindparam("group"))

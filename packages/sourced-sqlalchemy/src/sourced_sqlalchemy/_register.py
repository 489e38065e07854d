"""Register: make a group visible to every append, then announce the past to it in chunks.

From the commit of the first step on, every append fans out to the group. What was there before is
announced in chunks of streams, each a transaction that checks that the group is still filling; how
far it is stands in the group's row, so a fill that died is resumed by whoever registers next.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache

from sqlalchemy import (
    Executable,
    Insert,
    Update,
    bindparam,
    func,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects import sqlite

from sourced._store import NOW, Registration, Start
from sourced_sqlalchemy._append import FRESH
from sourced_sqlalchemy._groups import Group, change_status, find_group, types_of
from sourced_sqlalchemy._rename import find_renamed, rename
from sourced_sqlalchemy._scope import AnySelect, Scope
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import Moment

__all__ = ["FILL_CHUNK", "fill_chunk", "is_registered", "subscribe"]

FILL_CHUNK = 500
"""Streams per transaction of a fill."""


def is_registered(scope: Scope, name: str, types: Collection[str], was: Sequence[str]) -> bool:
    """Return whether registering would change nothing."""
    group = find_group(scope, name)
    return (
        group is not None
        and (group.fill_upto is None or group.status == "stopped")
        and types_of(scope, group).issuperset(types)
        and not find_renamed(scope, name, was)
    )


def subscribe(
    scope: Scope, name: str, types: Collection[str], start: Start, was: Sequence[str]
) -> Registration:
    """Make a group, filling unless it starts now, or add types to a known one.

    Raises:
        RegistrationError: the group is known under two names, or under a newer one.
    """
    rename(scope, name, was)
    group = find_group(scope, name)
    if group is not None:
        return _add_types(scope, group, frozenset(types))
    fill = None if start == NOW else scope.execute(_last_stream(scope.tables)).scalar_one()
    made = scope.execute(
        _insert_group(scope.tables),
        name=name,
        status="active" if fill is None else "filling",
        reason="",
        since=scope.now,
        fill_after=None if fill is None else 0,
        fill_upto=fill,
        fill_start=start if isinstance(start, datetime) else None,
    )
    _insert_types(scope, made.scalar_one(), frozenset(types))
    return Registration(created=True)


def _add_types(scope: Scope, group: Group, types: frozenset[str]) -> Registration:
    added = types - types_of(scope, group)
    _insert_types(scope, group.id, added)
    if group.fill_upto is None:
        return Registration(created=False, added_types=added)
    if added:
        # A group that is still filling has handled nothing: the fill begins again and covers
        # the new types too.
        upto = scope.execute(_last_stream(scope.tables)).scalar_one()
        scope.execute(_set_fill(scope.tables), key=group.id, after=0, upto=upto)
    return Registration(created=False)


def _insert_types(scope: Scope, key: int, types: frozenset[str]) -> None:
    rows = [{"group": key, "type": type_} for type_ in sorted(types)]
    scope.execute_many(_insert_subscriptions(scope.tables), rows)


# --- the fill -------------------------------------------------------------------------------------


def fill_chunk(scope: Scope, name: str) -> tuple[int, bool]:
    """Announce the past of the next streams to a group that is filling.

    Returns:
        In how many of them there was something to handle, and whether more is to be done.
    """
    group = find_group(scope, name)
    if group is None or group.status != "filling" or group.fill_upto is None:
        return 0, False
    bounds = {"after": group.fill_after or 0, "upto": group.fill_upto}
    end = scope.execute(_end_of_chunk(scope.tables), **bounds, skip=FILL_CHUNK - 1).scalar()
    statement = _announce_past(scope.tables, timed=group.fill_start is not None)
    found = scope.execute(
        statement,
        group=group.id,
        now=scope.now,
        start=group.fill_start,
        after=bounds["after"],
        upto=group.fill_upto if end is None else end,
    ).scalars()
    count = len(found.all())
    if end is not None and end < group.fill_upto:
        scope.execute(_set_fill(scope.tables), key=group.id, after=end, upto=group.fill_upto)
        return count, True
    scope.execute(_set_fill(scope.tables), key=group.id, after=None, upto=None)
    change_status(scope, group, "active")
    scope.stirred.add(name)
    return count, False


# --- statements -----------------------------------------------------------------------------------


@cache
def _last_stream(tables: Tables) -> AnySelect:
    return select(func.coalesce(func.max(tables.streams.c.id), 0))


@cache
def _insert_group(tables: Tables) -> Insert:
    return insert(tables.groups).returning(tables.groups.c.id)


@cache
def _insert_subscriptions(tables: Tables) -> Insert:
    return insert(tables.subscriptions)


@cache
def _set_fill(tables: Tables) -> Update:
    return (
        update(tables.groups)
        .where(tables.groups.c.id == bindparam("key"))
        .values(fill_after=bindparam("after"), fill_upto=bindparam("upto"))
    )


@cache
def _end_of_chunk(tables: Tables) -> AnySelect:
    s = tables.streams.c
    return (
        select(s.id)
        .where(s.id > bindparam("after"), s.id <= bindparam("upto"))
        .order_by(s.id)
        .limit(1)
        .offset(bindparam("skip"))
    )


@cache
def _announce_past(tables: Tables, *, timed: bool) -> Executable:
    """Deliveries at the first message that counts, of streams of a chunk; existing ones go back."""
    m, s, b, d = tables.messages.c, tables.streams.c, tables.subscriptions.c, tables.deliveries.c
    types = select(b.type).where(b.group == bindparam("group"))
    since = m.created_at >= bindparam("start", type_=Moment) if timed else true()
    first = (
        select(m.seq)
        .where(m.stream == s.id, m.type.in_(types), since)
        .order_by(m.seq)
        .limit(1)
        .correlate(tables.streams)
        .scalar_subquery()
        .label("first")
    )
    chunk = (
        select(s.id, first)
        .where(s.id > bindparam("after"), s.id <= bindparam("upto"))
        .subquery("chunk")
    )
    past = (
        select(
            bindparam("group", type_=d.group.type),
            chunk.c.id,
            chunk.c.first,
            bindparam("now", type_=Moment),
            *(literal(value, type_=d[name].type) for name, value in FRESH.items()),
        )
        .where(chunk.c.first.is_not(None))
        .order_by(chunk.c.id)
    )
    statement = sqlite.insert(tables.deliveries).from_select(
        ["group", "stream", "next_seq", "ready_at", *FRESH], past, include_defaults=False
    )
    return statement.on_conflict_do_update(
        index_elements=["group", "stream"],
        set_={"next_seq": statement.excluded.next_seq, "ready_at": statement.excluded.ready_at},
        where=d.next_seq > statement.excluded.next_seq,
    ).returning(d.id)

"""Reading: pages of a stream and of the log, single messages, traces, snapshots."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, func, select, true

from sourced._records import StoredMessage
from sourced._store import LogPage, Snapshot, StreamPage
from sourced_sqlalchemy._keys import group_key
from sourced_sqlalchemy._rows import message_columns, stored
from sourced_sqlalchemy._scope import AnySelect, Scope, listed, rows_of
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import Identifier, SoughtText

__all__ = ["read_all", "read_one", "read_snapshots", "read_stream", "trace"]


def read_stream(
    scope: Scope,
    stream_id: str,
    *,
    after: int,
    upto: int | None,
    types: Collection[str] | None,
    limit: int,
) -> StreamPage:
    """Return messages of a stream with after < seq ≤ upto."""
    head = scope.execute(_head(scope.tables), stream_id=stream_id).scalar()
    if head is None:
        return StreamPage(messages=(), to=0, head=0)
    end = head if upto is None else min(upto, head)
    values: dict[str, Any] = {"stream_id": stream_id, "after": after, "upto": end, "count": limit}
    if types is not None:
        values["types"] = listed(types)
    statement = _of_stream(scope.tables, typed=types is not None)
    messages = tuple(map(stored, scope.execute(statement, **values)))
    if len(messages) < limit:
        return StreamPage(messages=messages, to=end, head=head)
    return StreamPage(messages=messages, to=messages[-1].seq if messages else after, head=head)


def read_all(
    scope: Scope,
    *,
    after: int | None,
    types: Collection[str] | None,
    limit: int,
    backwards: bool,
) -> LogPage:
    """Return messages of the log by position.

    One transaction writes at a time, so positions become visible in their order: what a snapshot
    does not show comes behind everything that it does.
    """
    last = scope.execute(_last_position(scope.tables)).scalar_one()
    start = after if after is not None else (last + 1 if backwards else 0)
    values: dict[str, Any] = {"after": start, "count": limit}
    if types is not None:
        values["types"] = listed(types)
    statement = _of_log(scope.tables, typed=types is not None, backwards=backwards)
    messages = tuple(map(stored, scope.execute(statement, **values)))
    if len(messages) == limit:
        next_after = messages[-1].position if messages else start
    else:
        next_after = 0 if backwards else max(start, last)
    return LogPage(messages=messages, next_after=next_after)


def read_one(scope: Scope, message_id: UUID) -> StoredMessage | None:
    """Return the message of this id."""
    row = scope.execute(_by_id(scope.tables), id=message_id).one_or_none()
    return None if row is None else stored(row)


def trace(scope: Scope, message_id: UUID, limit: int) -> tuple[StoredMessage, ...]:
    """Return all messages of the same correlation, by position."""
    rows = scope.execute(_of_correlation(scope.tables), id=message_id, count=limit)
    return tuple(map(stored, rows))


def read_snapshots(
    scope: Scope, group: str, stream_ids: Collection[str], version: int
) -> Mapping[str, Snapshot]:
    """Return the snapshots of this version, by stream."""
    wanted = listed(stream_ids)
    rows = scope.execute(_snapshots(scope.tables), name=group, wanted=wanted, version=version)
    return {
        row.stream_id: Snapshot(
            group=group, stream_id=row.stream_id, seq=row.seq, version=version, state=row.state
        )
        for row in rows
    }


# --- statements -----------------------------------------------------------------------------------


def _messages(tables: Tables) -> AnySelect:
    # An outer join: SQLite does not turn its order round, so messages are looked up first.
    m, s = tables.messages.c, tables.streams.c
    return select(*message_columns(tables)).join_from(
        tables.messages, tables.streams, s.id == m.stream, isouter=True
    )


def _of_types(tables: Tables, typed: bool) -> Any:
    return tables.messages.c.type.in_(select(rows_of("types").c.value)) if typed else true()


@cache
def _head(tables: Tables) -> AnySelect:
    s = tables.streams.c
    return select(s.seq).where(s.stream_id == bindparam("stream_id", type_=SoughtText))


@cache
def _of_stream(tables: Tables, *, typed: bool) -> AnySelect:
    m, s = tables.messages.c, tables.streams.alias("named").c
    stream = (
        select(s.id)
        .where(s.stream_id == bindparam("stream_id", type_=SoughtText))
        .scalar_subquery()
    )
    return (
        _messages(tables)
        .where(m.stream == stream)
        .where(m.seq > bindparam("after"), m.seq <= bindparam("upto"), _of_types(tables, typed))
        .order_by(m.seq)
        .limit(bindparam("count"))
    )


@cache
def _last_position(tables: Tables) -> AnySelect:
    return select(func.coalesce(func.max(tables.messages.c.position), 0))


@cache
def _of_log(tables: Tables, *, typed: bool, backwards: bool) -> AnySelect:
    position = tables.messages.c.position
    bound = position < bindparam("after") if backwards else position > bindparam("after")
    return (
        _messages(tables)
        .where(bound, _of_types(tables, typed))
        .order_by(position.desc() if backwards else position)
        .limit(bindparam("count"))
    )


@cache
def _by_id(tables: Tables) -> AnySelect:
    return _messages(tables).where(tables.messages.c.id == bindparam("id", type_=Identifier))


@cache
def _of_correlation(tables: Tables) -> AnySelect:
    m, given = tables.messages.c, tables.messages.alias("given").c
    correlation = select(given.correlation_id).where(given.id == bindparam("id", type_=Identifier))
    return (
        _messages(tables)
        .where(m.correlation_id == correlation.scalar_subquery())
        .order_by(m.position)
        .limit(bindparam("count"))
    )


@cache
def _snapshots(tables: Tables) -> AnySelect:
    p, s = tables.snapshots.c, tables.streams.c
    return (
        select(s.stream_id, p.seq, p.state)
        .join_from(
            tables.streams,
            tables.snapshots,
            and_(p.group == group_key(tables), p.stream == s.id),
            isouter=True,
        )
        .where(s.stream_id.in_(select(rows_of("wanted").c.value)))
        .where(p.version == bindparam("version"))
    )

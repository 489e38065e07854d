"""The statements of the read API, each bounded by what is pending or by a limit."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    true,
)

from sourced_sqlalchemy._scope import AnySelect, rows_of
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import Identifier, Moment, SoughtText

__all__ = [
    "deliveries",
    "groups",
    "head",
    "operations",
    "pending",
    "recent_streams",
    "schedule",
    "scheduled",
    "status",
    "streams",
    "subscriptions",
    "workers",
]

_RECENT: Final = 100_000
"""How many of the newest messages are looked through for streams that were appended to last."""


def _now() -> Any:
    return bindparam("now", type_=Moment)


def _listed(name: str) -> Any:
    """Return the texts handed in as a JSON array."""
    return select(rows_of(name).c.value)


@cache
def groups(tables: Tables, *, named: bool) -> AnySelect:
    """Every group with counts of its deliveries and, up to a bound, of what it will handle."""
    g, d, m = tables.groups.c, tables.deliveries.c, tables.messages.c
    running = d.parked_at.is_(None)
    waits = and_(running, d.worker.is_(None), d.ready_at > _now())
    counts = (
        select(
            d.group,
            func.count().filter(running).label("pending_streams"),
            func.count().filter(running, d.worker.is_not(None)).label("claimed"),
            func.count().filter(waits).label("retrying"),
            func.count().filter(d.parked_at.is_not(None)).label("parked"),
            func.min(d.ready_at, type_=d.ready_at.type).filter(running).label("oldest_ready_at"),
        )
        .group_by(d.group)
        .subquery("counts")
    )
    own = select(tables.subscriptions.c.type).where(tables.subscriptions.c.group == g.id)
    to_handle = (
        select(literal(1).label("one"))
        .join_from(
            tables.deliveries,
            tables.messages,
            and_(
                m.stream == d.stream, m.seq >= d.next_seq, m.type.in_(own.correlate(tables.groups))
            ),
        )
        .where(d.group == g.id, running)
        .limit(bindparam("bound"))
        .correlate(tables.groups)
        .subquery("to_handle")
    )
    total = select(func.count()).select_from(to_handle).scalar_subquery()
    return (
        select(
            g.id,
            g.name,
            g.status,
            g.reason,
            g.since,
            total.label("pending"),
            counts.c.pending_streams,
            counts.c.claimed,
            counts.c.retrying,
            counts.c.parked,
            counts.c.oldest_ready_at,
        )
        .join_from(tables.groups, counts, counts.c.group == g.id, isouter=True)
        .where(g.name.in_(_listed("names")) if named else true())
        .order_by(g.name)
    )


@cache
def subscriptions(tables: Tables) -> AnySelect:
    """Every (group, type)."""
    b = tables.subscriptions.c
    return select(b.group, b.type)


@cache
def deliveries(
    tables: Tables, *, group: bool, stream: bool, states: tuple[str, ...] | None
) -> AnySelect:
    """Deliveries with their group, head and holder, by (group, stream)."""
    d, s, g, w = tables.deliveries.c, tables.streams.c, tables.groups.c, tables.workers.c
    columns = [c for c in d if c.name not in {"id", "group", "stream"}]
    return (
        select(
            g.name.label("group"),
            s.stream_id,
            s.seq.label("head"),
            w.name.label("worker_name"),
            *columns,
        )
        .join_from(tables.groups, tables.deliveries, d.group == g.id)
        .join(tables.streams, s.id == d.stream, isouter=True)
        .join(tables.workers, w.id == d.worker, isouter=True)
        .where(g.name == bindparam("group", type_=SoughtText) if group else true())
        .where(*(_of_stream(tables) if stream else ()))
        .where(true() if states is None else or_(*(_is_in(d, state) for state in states)))
        .order_by(g.name, s.stream_id)
        .limit(bindparam("limit"))
    )


def _of_stream(tables: Tables) -> tuple[ColumnElement[bool], ...]:
    """One stream's deliveries, spelled so that each group's is looked up by (group, stream)."""
    d, s, g = tables.deliveries.c, tables.streams.alias("named").c, tables.groups.alias("all").c
    stream = (
        select(s.id)
        .where(s.stream_id == bindparam("stream_id", type_=SoughtText))
        .scalar_subquery()
    )
    return d.group.in_(select(g.id)), d.stream == stream


def _is_in(d: Any, state: str) -> ColumnElement[bool]:
    if state == "parked":
        return and_(d.parked_at.is_not(None))
    if state == "claimed":
        return and_(d.parked_at.is_(None), d.worker.is_not(None))
    moment = d.ready_at > _now() if state == "retrying" else d.ready_at <= _now()
    return and_(d.parked_at.is_(None), d.worker.is_(None), moment)


def _stream_statuses(tables: Tables) -> AnySelect:
    s, m = tables.streams.c, tables.messages.c
    return select(
        s.stream_id,
        s.seq,
        m.type.label("last_type"),
        m.created_at.label("last_at"),
        m.position.label("last_position"),
    ).join_from(tables.streams, tables.messages, and_(m.stream == s.id, m.seq == s.seq))


@cache
def streams(tables: Tables, *, ends: bool) -> AnySelect:
    """Streams from one name on, up to another."""
    s = tables.streams.c
    return (
        _stream_statuses(tables)
        .where(s.stream_id > bindparam("after"), s.stream_id >= bindparam("prefix"))
        .where(s.stream_id < bindparam("end") if ends else true())
        .order_by(s.stream_id)
        .limit(bindparam("limit"))
    )


@cache
def recent_streams(tables: Tables) -> AnySelect:
    """Streams by their last message, newest first."""
    m = tables.messages.c
    last = select(func.max(m.position)).scalar_subquery()
    return (
        _stream_statuses(tables)
        .where(m.position > last - _RECENT)
        .order_by(m.position.desc())
        .limit(bindparam("limit"))
    )


@cache
def workers(tables: Tables) -> AnySelect:
    """Workers with the number of their claims."""
    w, d = tables.workers.c, tables.deliveries.c
    claims = select(func.count()).where(d.worker == w.id).correlate(tables.workers)
    return select(*tables.workers.c, claims.scalar_subquery().label("claims")).order_by(
        w.started_at, w.id
    )


@cache
def schedule(tables: Tables) -> AnySelect:
    """Scheduled messages, those set aside included."""
    w = tables.schedule.c
    return select(*tables.schedule.c).order_by(w.due_at, w.id).limit(bindparam("limit"))


@cache
def scheduled(tables: Tables) -> AnySelect:
    """One scheduled message."""
    w = tables.schedule.c
    return select(*tables.schedule.c).where(w.message_id == bindparam("id"))


@cache
def operations(tables: Tables) -> AnySelect:
    """What operators did, newest first."""
    o = tables.operations.c
    return select(*tables.operations.c).order_by(o.id.desc()).limit(bindparam("limit"))


@cache
def pending(tables: Tables, *, named: bool) -> AnySelect:
    """Messages of a correlation that groups have still to handle, by (position, group)."""
    m, b, g = tables.messages.c, tables.subscriptions.c, tables.groups.c
    s, d, w = tables.streams.c, tables.deliveries.c, tables.workers.c
    return (
        select(
            g.name.label("group"),
            g.status,
            s.stream_id,
            m.seq,
            m.type,
            m.id.label("message_id"),
            d.next_seq,
            d.parked_at,
            d.worker,
            d.ready_at,
            w.name.label("worker_name"),
        )
        .join_from(tables.messages, tables.subscriptions, b.type == m.type, isouter=True)
        .join(tables.groups, g.id == b.group, isouter=True)
        .join(tables.streams, s.id == m.stream, isouter=True)
        .join(tables.deliveries, and_(d.group == g.id, d.stream == m.stream), isouter=True)
        .join(tables.workers, w.id == d.worker, isouter=True)
        .where(m.correlation_id == bindparam("correlation_id", type_=Identifier))
        .where(m.position >= bindparam("from_position"))
        .where(g.name.in_(_listed("names")) if named else true())
        .where(or_(d.next_seq <= m.seq, _is_unfilled(tables)))
        .order_by(m.position, g.name)
        .limit(bindparam("limit"))
    )


def _is_unfilled(tables: Tables) -> ColumnElement[bool]:
    """Whether a message is what the group's fill will still come by."""
    m, g = tables.messages.c, tables.groups.c
    x = tables.messages.alias("x").c
    b = tables.subscriptions.alias("b").c
    own = select(b.type).where(b.group == g.id).correlate(tables.groups)
    counted = (
        exists()
        .where(x.stream == m.stream, x.seq <= m.seq, x.type.in_(own), x.created_at >= g.fill_start)
        .correlate(tables.messages, tables.groups)
    )
    return and_(
        g.fill_upto.is_not(None),
        m.stream > g.fill_after,
        m.stream <= g.fill_upto,
        or_(g.fill_start.is_(None), counted),
    )


@cache
def head(tables: Tables) -> AnySelect:
    """The head of a stream."""
    s = tables.streams.c
    return select(s.seq).where(s.stream_id == bindparam("stream_id", type_=SoughtText))


@cache
def status(tables: Tables) -> AnySelect:
    """The size of the store.

    Streams and messages are numbered without holes and never deleted, so the last number is how
    many there are; counting would read the whole log.
    """
    last_stream = select(func.coalesce(func.max(tables.streams.c.id), 0)).scalar_subquery()
    last = select(func.coalesce(func.max(tables.messages.c.position), 0)).scalar_subquery()
    return select(
        last_stream.label("streams"),
        last.label("messages"),
        last.label("last_position"),
        _count(tables, "deliveries").label("deliveries"),
        _count(tables, "schedule").label("scheduled"),
    )


def _count(tables: Tables, name: str) -> Any:
    table = tables.metadata.tables[f"{tables.prefix}{name}"]
    return select(func.count()).select_from(table).scalar_subquery()

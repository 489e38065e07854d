"""Workers: their rows, their heartbeats, what becomes of what a dead one held, and the poll."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache

from sqlalchemy import (
    Delete,
    Executable,
    Update,
    bindparam,
    delete,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import sqlite

from sourced._faults import reach
from sourced._store import Poll, WorkerInfo
from sourced_sqlalchemy._keys import group_names
from sourced_sqlalchemy._scope import AnySelect, Scope
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import Moment

__all__ = ["heartbeat", "join", "leave", "poll", "reap"]


def join(scope: Scope, worker: WorkerInfo) -> None:
    """Write a worker's row."""
    handles = {group: sorted(types) for group, types in worker.handles.items()}
    scope.execute(
        _save(scope.tables),
        id=worker.id,
        name=worker.name,
        host=worker.host,
        pid=worker.pid,
        code_version=worker.code_version,
        started_at=scope.now,
        seen_at=scope.now,
        handles=json.dumps(handles),
    )


def heartbeat(scope: Scope, worker_id: str) -> bool:
    """Say that a worker lives, unless it has been declared dead."""
    return scope.execute(_beat(scope.tables), key=worker_id, at=scope.now).rowcount == 1


def leave(scope: Scope, worker_id: str) -> None:
    """Free a worker's claims, no attempt counted, and delete its row."""
    freed = scope.execute(_let_go(scope.tables), holder=worker_id).scalars().all()
    scope.stirred.update(group_names(scope, set(freed)))
    scope.execute(_delete(scope.tables), key=worker_id)


def reap(scope: Scope, lease: timedelta) -> int:
    """Delete overdue workers and free claims without a worker; return how many."""
    scope.execute(_delete_overdue(scope.tables), before=scope.now - lease)
    freed = scope.execute(_free_orphans(scope.tables), at=scope.now).scalars().all()
    reach("reap.before_commit")
    scope.stirred.update(group_names(scope, set(freed)))
    return len(freed)


def poll(scope: Scope, lease: timedelta) -> Poll:
    """Say what there is to do; see the port."""
    values = {"now": scope.now, "before": scope.now - lease}
    rows = scope.execute(_poll(scope.tables), **values).all()
    *groups, last = rows
    moments = [row.next_at for row in rows if row.next_at is not None]
    return Poll(
        ready=frozenset(row.name for row in groups if row.is_due),
        due=bool(last.is_due),
        overdue=bool(last.is_overdue),
        next_at=min(moments, default=None),
    )


# --- statements -----------------------------------------------------------------------------------


@cache
def _save(tables: Tables) -> sqlite.Insert:
    statement = sqlite.insert(tables.workers)
    changed = {c.name: statement.excluded[c.name] for c in tables.workers.c if c.name != "id"}
    return statement.on_conflict_do_update(index_elements=["id"], set_=changed)


@cache
def _beat(tables: Tables) -> Update:
    w = tables.workers.c
    return update(tables.workers).where(w.id == bindparam("key")).values(seen_at=bindparam("at"))


@cache
def _delete(tables: Tables) -> Delete:
    return delete(tables.workers).where(tables.workers.c.id == bindparam("key"))


@cache
def _let_go(tables: Tables) -> Update:
    d = tables.deliveries.c
    return (
        update(tables.deliveries)
        .where(d.worker == bindparam("holder"))
        .values(worker=None, claimed_at=None, attempts=func.max(d.attempts - 1, 0))
        .returning(d.group)
    )


@cache
def _delete_overdue(tables: Tables) -> Delete:
    w = tables.workers.c
    return delete(tables.workers).where(w.seen_at < bindparam("before", type_=Moment))


@cache
def _free_orphans(tables: Tables) -> Update:
    d, w = tables.deliveries.c, tables.workers.c
    return (
        update(tables.deliveries)
        .where(d.worker.is_not(None), ~exists().where(w.id == d.worker))
        .values(worker=None, claimed_at=None, suspect=True, ready_at=bindparam("at"))
        .returning(d.group)
    )


@cache
def _poll(tables: Tables) -> Executable:
    """A row for each active group, then one for the schedule and the workers."""
    return union_all(_poll_groups(tables), _poll_rest(tables))


def _poll_groups(tables: Tables) -> AnySelect:
    g, d = tables.groups.c, tables.deliveries.c
    waiting = (d.group == g.id, d.worker.is_(None), d.parked_at.is_(None))
    now = bindparam("now", type_=Moment)
    ready = exists().where(*waiting, d.ready_at <= now)
    following = select(d.ready_at).where(*waiting, d.ready_at > now).order_by(d.ready_at).limit(1)
    return select(
        g.name,
        ready.label("is_due"),
        following.scalar_subquery().label("next_at"),
        null().label("is_overdue"),
    ).where(g.status == "active")


def _poll_rest(tables: Tables) -> AnySelect:
    s, w, d = tables.schedule.c, tables.workers.c, tables.deliveries.c
    now = bindparam("now", type_=Moment)
    due = exists().where(s.error.is_(None), s.due_at <= now)
    following = (
        select(s.due_at).where(s.error.is_(None), s.due_at > now).order_by(s.due_at).limit(1)
    )
    overdue = or_(
        exists().where(w.seen_at < bindparam("before", type_=Moment)),
        exists().where(
            d.worker.is_not(None), ~exists().where(w.id == d.worker).correlate(tables.deliveries)
        ),
    )
    return select(literal(""), due, following.scalar_subquery(), overdue)

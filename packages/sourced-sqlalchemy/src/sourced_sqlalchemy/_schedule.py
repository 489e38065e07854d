"""The schedule: keep messages until they are due, take them back, move them into the log."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from sqlalchemy import (
    Delete,
    Executable,
    Insert,
    Update,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from sourced._faults import reach
from sourced._limits import check_sizes
from sourced._records import NewMessage, ScheduledMessage
from sourced._store import Operator, Promoted
from sourced.errors import SourcedError
from sourced_sqlalchemy._append import write
from sourced_sqlalchemy._heads import read_heads
from sourced_sqlalchemy._operations import record
from sourced_sqlalchemy._rows import schedule_row, waiting
from sourced_sqlalchemy._scope import AnyRow, AnySelect, Scope, many
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import Identifier, Moment

__all__ = ["cancel", "insert_scheduled", "promote_due"]

_CHUNK = 500


def insert_scheduled(scope: Scope, messages: Sequence[ScheduledMessage]) -> None:
    """Write messages whose ids were checked into the schedule."""
    scope.execute_many(_insert(scope.tables), [schedule_row(one) for one in messages])


def cancel(scope: Scope, message_id: UUID, by: Operator | None) -> bool:
    """Take a scheduled message back, also one that was set aside."""
    row = scope.execute(_delete_by_id(scope.tables), message_id=message_id).one_or_none()
    if row is None:
        return False
    before = f"{row.type} to {row.stream_id}, due {row.due_at.isoformat()}"
    record(scope, "cancel", str(message_id), by, before=before, after="cancelled")
    return True


def promote_due(scope: Scope, limit: int) -> Promoted:
    """Move due messages into the log; see the port."""
    rows = scope.execute(_due(scope.tables), now=scope.now, count=limit).all()
    if not rows:
        return Promoted()
    known = _in_log(scope, [row.message_id for row in rows])
    fit: list[AnyRow] = []
    failed: list[tuple[AnyRow, SourcedError]] = []
    for row in rows:
        if row.message_id in known:
            continue
        error = _misfit(scope, waiting(row))
        if error is None:
            fit.append(row)
        else:
            failed.append((row, error))
    gone = [row for row in rows if row.message_id in known]
    groups = _append(scope, [waiting(row) for row in fit])
    scope.execute_many(_delete(scope.tables), [{"key": row.id} for row in (*gone, *fit)])
    scope.execute_many(
        _set_aside(scope.tables),
        [{"key": row.id, "why": f"{type(error).__name__}: {error}"} for row, error in failed],
    )
    reach("schedule.after_move")
    return Promoted(moved=len(fit), dropped=len(gone), failed=len(failed), groups=groups)


def _append(scope: Scope, messages: Sequence[NewMessage]) -> frozenset[str]:
    heads = read_heads(scope, {message.stream_id for message in messages})
    return write(scope, heads, messages).groups


def _misfit(scope: Scope, message: NewMessage) -> SourcedError | None:
    """Return why a message cannot be appended: after it was scheduled, only its size can be."""
    try:
        check_sizes([message], scope.max_message_bytes)
    except SourcedError as error:
        return error
    return None


def _in_log(scope: Scope, ids: Sequence[UUID]) -> set[UUID]:
    known: set[UUID] = set()
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        known.update(scope.execute(_known_ids(scope.tables), ids=chunk).scalars())
    return known


# --- statements -----------------------------------------------------------------------------------


@cache
def _insert(tables: Tables) -> Insert:
    return insert(tables.schedule)


@cache
def _delete_by_id(tables: Tables) -> Executable:
    w = tables.schedule.c
    return (
        delete(tables.schedule)
        .where(w.message_id == bindparam("message_id", type_=Identifier))
        .returning(w.type, w.stream_id, w.due_at)
    )


@cache
def _due(tables: Tables) -> AnySelect:
    w = tables.schedule.c
    return (
        select(*tables.schedule.c)
        .where(w.error.is_(None), w.due_at <= bindparam("now", type_=Moment))
        .order_by(w.due_at, w.id)
        .limit(bindparam("count"))
    )


@cache
def _known_ids(tables: Tables) -> AnySelect:
    m = tables.messages.c
    return select(m.id).where(m.id.in_(many("ids", Identifier)))


@cache
def _delete(tables: Tables) -> Delete:
    return delete(tables.schedule).where(tables.schedule.c.id == bindparam("key"))


@cache
def _set_aside(tables: Tables) -> Update:
    w = tables.schedule.c
    return update(tables.schedule).where(w.id == bindparam("key")).values(error=bindparam("why"))

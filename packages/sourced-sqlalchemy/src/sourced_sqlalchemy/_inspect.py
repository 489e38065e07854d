"""The read API over the tables: frozen snapshots for people, dashboards, health and metrics."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

from sourced._arguments import checked_limit, checked_place
from sourced._inspect import (
    PENDING_BOUND,
    DeliveryState,
    DeliveryStatus,
    GroupStatus,
    OperationRecord,
    PendingMessage,
    Progress,
    ScheduledStatus,
    StoreStatus,
    StreamStatus,
    WorkerStatus,
)
from sourced._json_text import text_problem
from sourced_sqlalchemy import _inspect_statements as statements
from sourced_sqlalchemy._deliveries import read_deliveries
from sourced_sqlalchemy._groups import require_group
from sourced_sqlalchemy._rows import waiting
from sourced_sqlalchemy._scope import AnyRow, Scope, listed

__all__ = ["SQLAlchemyInspect"]


class SQLAlchemyInspect:
    """What can be seen of a store; implements `sourced._inspect.Inspect`.

    Args:
        reading: opens a scope on one snapshot.
    """

    def __init__(self, reading: Callable[[], AbstractContextManager[Scope]]) -> None:
        self._reading = reading

    def groups(self, names: Collection[str] | None = None) -> tuple[GroupStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as scope:
            statement = statements.groups(scope.tables, named=names is not None)
            values = {} if names is None else {"names": listed(names)}
            rows = scope.execute(statement, now=scope.now, bound=PENDING_BOUND + 1, **values).all()
            types: dict[int, set[str]] = {}
            for group, type_ in scope.execute(statements.subscriptions(scope.tables)):
                types.setdefault(group, set()).add(type_)
        return tuple(_group(row, frozenset(types.get(row.id, ()))) for row in rows)

    def deliveries(
        self,
        *,
        group: str | None = None,
        stream_id: str | None = None,
        states: Collection[DeliveryState] | None = None,
        limit: int = 200,
    ) -> tuple[DeliveryStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        chosen = None if states is None else tuple(sorted(set(states)))
        values = {"group": group, "stream_id": stream_id, "limit": limit}
        given = {name: value for name, value in values.items() if value is not None}
        with self._reading() as scope:
            statement = statements.deliveries(
                scope.tables, group=group is not None, stream=stream_id is not None, states=chosen
            )
            rows = scope.execute(statement, now=scope.now, **given).all()
            return tuple(_delivery(row, scope.now) for row in rows)

    def streams(
        self, *, prefix: str = "", after: str = "", limit: int = 200
    ) -> tuple[StreamStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        if text_problem(prefix) or text_problem(after):
            return ()  # no stream can be called so, and not every store can compare with it
        end = _past(prefix)
        values: dict[str, Any] = {"prefix": prefix, "after": after, "limit": limit}
        if end is not None:
            values["end"] = end
        with self._reading() as scope:
            rows = scope.execute(statements.streams(scope.tables, ends=end is not None), **values)
            return tuple(StreamStatus(**row._asdict()) for row in rows)

    def recent_streams(self, *, limit: int = 50) -> tuple[StreamStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        with self._reading() as scope:
            rows = scope.execute(statements.recent_streams(scope.tables), limit=limit)
            return tuple(StreamStatus(**row._asdict()) for row in rows)

    def workers(self) -> tuple[WorkerStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as scope:
            return tuple(_worker(row) for row in scope.execute(statements.workers(scope.tables)))

    def schedule(self, *, limit: int = 200) -> tuple[ScheduledStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        with self._reading() as scope:
            rows = scope.execute(statements.schedule(scope.tables), limit=limit)
            return tuple(_scheduled(row) for row in rows)

    def scheduled(self, message_id: UUID) -> ScheduledStatus | None:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as scope:
            row = scope.execute(statements.scheduled(scope.tables), id=message_id).first()
            return None if row is None else _scheduled(row)

    def operations(self, *, limit: int = 200) -> tuple[OperationRecord, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        with self._reading() as scope:
            rows = scope.execute(statements.operations(scope.tables), limit=limit)
            return tuple(OperationRecord(**row._asdict()) for row in rows)

    def pending(
        self,
        correlation_id: UUID,
        *,
        from_position: int = 0,
        groups: Collection[str] | None = None,
        limit: int = 100,
    ) -> tuple[PendingMessage, ...]:
        """See `sourced._inspect.Inspect`."""
        from_position = checked_place(from_position, "from_position")
        limit = checked_limit(limit)
        values: dict[str, Any] = {
            "correlation_id": correlation_id,
            "from_position": from_position,
            "limit": limit,
        }
        if groups is not None:
            values["names"] = listed(groups)
        with self._reading() as scope:
            statement = statements.pending(scope.tables, named=groups is not None)
            rows = scope.execute(statement, **values).all()
            return tuple(_pending(row, scope.now) for row in rows)

    def progress(self, group: str, stream_id: str) -> Progress:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as scope:
            status = require_group(scope, group).status
            row = read_deliveries(scope, group, [stream_id]).get(stream_id)
            head = scope.execute(statements.head(scope.tables), stream_id=stream_id).scalar() or 0
            return Progress(
                group=group,
                stream_id=stream_id,
                seq=head if row is None else row.next_seq - 1,
                head=head,
                state="drained" if row is None else row.state(scope.now),
                group_status=status,
            )

    def status(self) -> StoreStatus:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as scope:
            row = scope.execute(statements.status(scope.tables)).one()
            return StoreStatus(**row._asdict())


def _scheduled(row: AnyRow) -> ScheduledStatus:
    return ScheduledStatus(message=waiting(row), due_at=row.due_at, error=row.error)


def _group(row: AnyRow, types: frozenset[str]) -> GroupStatus:
    return GroupStatus(
        name=row.name,
        status=row.status,
        reason=row.reason,
        since=row.since,
        types=types,
        pending=min(row.pending, PENDING_BOUND),
        pending_is_exact=row.pending <= PENDING_BOUND,
        pending_streams=row.pending_streams or 0,
        claimed=row.claimed or 0,
        retrying=row.retrying or 0,
        parked=row.parked or 0,
        oldest_ready_at=row.oldest_ready_at,
    )


def _delivery(row: AnyRow, now: datetime) -> DeliveryStatus:
    return DeliveryStatus(
        group=row.group,
        stream_id=row.stream_id,
        state=_state(row, now),
        next_seq=row.next_seq,
        head=row.head,
        replay_until=row.replay_until,
        restarted=row.restarted,
        ready_at=row.ready_at,
        worker=row.worker,
        worker_name=row.worker_name or "",
        worker_alive=row.worker_name is not None,
        epoch=row.epoch,
        claimed_at=row.claimed_at,
        attempts=row.attempts,
        suspect=row.suspect,
        parked_at=row.parked_at,
        error=row.error,
    )


def _pending(row: AnyRow, now: datetime) -> PendingMessage:
    announced = row.next_seq is not None and row.next_seq <= row.seq
    state: DeliveryState = _state(row, now) if announced else "ready"
    return PendingMessage(
        group=row.group,
        stream_id=row.stream_id,
        seq=row.seq,
        type=row.type,
        message_id=row.message_id,
        state=state if row.status == "active" else row.status,
        worker_name=row.worker_name or "",
        until=row.ready_at if state == "retrying" else None,
    )


def _worker(row: AnyRow) -> WorkerStatus:
    handles = {group: frozenset(types) for group, types in json.loads(row.handles).items()}
    return WorkerStatus(**{**row._asdict(), "handles": handles})


def _state(row: AnyRow, now: datetime) -> DeliveryState:
    if row.parked_at is not None:
        return "parked"
    if row.worker is not None:
        return "claimed"
    return "retrying" if row.ready_at > now else "ready"


def _past(prefix: str) -> str | None:
    """Return the least text beyond all that begin with a prefix, if there is one."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)

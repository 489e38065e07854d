"""The read API over the tables: frozen snapshots for people, dashboards, health and metrics."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import namedtuple_row

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
from sourced._records import NewMessage
from sourced.errors import UnknownGroupError
from sourced_postgres import _inspect_statements as statements
from sourced_postgres._connections import Connection
from sourced_postgres._names import findable, known, listed
from sourced_postgres._rows import plain_array
from sourced_postgres._statements import bound
from sourced_postgres._translate import translated

__all__ = ["PostgresInspect"]

Found = Any  # a named tuple of a statement's columns


class PostgresInspect:
    """What can be seen of a store; implements `sourced._inspect.Inspect`.

    Args:
        reading: gives a connection for one statement.
        name: of the database, for messages.
        schema: of the store.
    """

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[Connection]],
        name: str,
        schema: str,
    ) -> None:
        self._reading, self._name, self._schema = reading, name, schema

    def groups(self, names: Collection[str] | None = None) -> tuple[GroupStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        rows = self._rows(
            statements.GROUPS,
            names=None if names is None else listed(names),
            bound=str(PENDING_BOUND + 1),
        )
        return tuple(_group(row) for row in rows)

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
        if any(name is not None and findable(name) is None for name in (group, stream_id)):
            return ()
        rows = self._rows(
            statements.DELIVERIES,
            group=group,
            stream_id=stream_id,
            states=None if states is None else plain_array(states),
            limit=str(limit),
        )
        return tuple(_delivery(row) for row in rows)

    def streams(
        self, *, prefix: str = "", after: str = "", limit: int = 200
    ) -> tuple[StreamStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        if findable(prefix) is None or findable(after) is None:
            return ()
        rows = self._rows(
            statements.STREAMS, prefix=prefix, after=after, past=_past(prefix), limit=str(limit)
        )
        return tuple(_stream(row) for row in rows)

    def recent_streams(self, *, limit: int = 50) -> tuple[StreamStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        rows = self._rows(statements.RECENT_STREAMS, limit=str(checked_limit(limit)))
        return tuple(_stream(row) for row in rows)

    def workers(self) -> tuple[WorkerStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        return tuple(_worker(row) for row in self._rows(statements.WORKERS))

    def schedule(self, *, limit: int = 200) -> tuple[ScheduledStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        rows = self._rows(statements.SCHEDULE, id=None, limit=str(checked_limit(limit)))
        return tuple(_scheduled(row) for row in rows)

    def scheduled(self, message_id: UUID) -> ScheduledStatus | None:
        """See `sourced._inspect.Inspect`."""
        rows = self._rows(statements.SCHEDULE, id=message_id.hex, limit="1")
        return _scheduled(rows[0]) if rows else None

    def operations(self, *, limit: int = 200) -> tuple[OperationRecord, ...]:
        """See `sourced._inspect.Inspect`."""
        rows = self._rows(statements.OPERATIONS, limit=str(checked_limit(limit)))
        return tuple(OperationRecord(**{**row._asdict(), "at": _utc(row.at)}) for row in rows)

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
        rows = self._rows(
            statements.PENDING,
            correlation_id=correlation_id.hex,
            from_position=str(from_position),
            names=None if groups is None else listed(groups),
            limit=str(limit),
        )
        return tuple(_pending(row) for row in rows)

    def progress(self, group: str, stream_id: str) -> Progress:
        """See `sourced._inspect.Inspect`."""
        rows = self._rows(statements.PROGRESS, group=known(group), stream_id=findable(stream_id))
        if not rows:
            raise UnknownGroupError(group)
        row = rows[0]
        return Progress(
            group=group,
            stream_id=stream_id,
            seq=row.head if row.next_seq is None else row.next_seq - 1,
            head=row.head,
            state="drained" if row.next_seq is None else row.state,
            group_status=row.status,
        )

    def status(self) -> StoreStatus:
        """See `sourced._inspect.Inspect`. Large tables are counted by the planner's estimate."""
        (row,) = self._rows(statements.STATUS, bound=str(_EXACTLY))
        return StoreStatus(**row._asdict())

    def _rows(self, statement: LiteralString, **values: str | None) -> list[Found]:
        with (
            translated(self._name),
            self._reading() as connection,
            connection.cursor(row_factory=namedtuple_row) as cursor,
        ):
            cursor.execute(bound(self._schema, statement), values)
            return list(cursor.fetchall())


_EXACTLY = 100_000
"""Rows of a table that are counted one by one; beyond, the planner's estimate is told."""


def _group(row: Found) -> GroupStatus:
    return GroupStatus(
        name=row.name,
        status=row.status,
        reason=row.reason,
        since=_utc(row.since),
        types=frozenset(row.types),
        pending=min(row.pending, PENDING_BOUND),
        pending_is_exact=row.pending <= PENDING_BOUND,
        pending_streams=row.pending_streams,
        claimed=row.claimed,
        retrying=row.retrying,
        parked=row.parked,
        oldest_ready_at=_utc_or_none(row.oldest_ready_at),
    )


def _delivery(row: Found) -> DeliveryStatus:
    return DeliveryStatus(
        group=row.group_name,
        stream_id=row.stream_id,
        state=row.state,
        next_seq=row.next_seq,
        head=row.head,
        replay_until=row.replay_until,
        restarted=row.restarted,
        ready_at=_utc(row.ready_at),
        worker=row.worker,
        worker_name=row.worker_name or "",
        worker_alive=row.worker_name is not None,
        epoch=row.epoch,
        claimed_at=_utc_or_none(row.claimed_at),
        attempts=row.attempts,
        suspect=row.suspect,
        parked_at=_utc_or_none(row.parked_at),
        error=row.error,
    )


def _stream(row: Found) -> StreamStatus:
    return StreamStatus(
        stream_id=row.stream_id,
        seq=row.seq,
        last_type=row.last_type,
        last_at=_utc(row.last_at),
        last_position=row.last_position,
    )


def _worker(row: Found) -> WorkerStatus:
    return WorkerStatus(
        id=row.id,
        name=row.name,
        host=row.host,
        pid=row.pid,
        code_version=row.code_version,
        started_at=_utc(row.started_at),
        seen_at=_utc(row.seen_at),
        handles={group: frozenset(types) for group, types in row.handles.items()},
        claims=row.claims,
    )


def _scheduled(row: Found) -> ScheduledStatus:
    message = NewMessage(
        id=row.message_id,
        type=row.type,
        stream_id=row.stream_id,
        payload=row.payload,
        meta=row.meta,
        created_at=_utc(row.created_at),
        causation_id=row.causation_id,
        correlation_id=row.correlation_id,
        version=row.version,
    )
    return ScheduledStatus(message=message, due_at=_utc(row.due_at), error=row.error)


def _pending(row: Found) -> PendingMessage:
    found = PendingMessage(
        group=row.group_name,
        stream_id=row.stream_id,
        seq=row.seq,
        type=row.type,
        message_id=row.message_id,
        state=row.state,
        worker_name=row.worker_name or "",
        until=_utc(row.ready_at) if row.state == "retrying" else None,
    )
    return found if row.status == "active" else replace(found, state=row.status)


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def _utc_or_none(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)


def _past(prefix: str) -> str | None:
    """Return the least text beyond all that begin with a prefix, if there is one."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)

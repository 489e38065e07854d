"""The read API over tables in memory."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import chain, islice
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
from sourced._records import StoredMessage
from sourced.memory._groups import first_past
from sourced.memory._log import Stream
from sourced.memory._tables import Delivery, Group, Tables, Worker

__all__ = ["MemoryInspect"]


class MemoryInspect:
    """What can be seen of a memory store; implements `sourced._inspect.Inspect`.

    Args:
        reading: opens the tables to be read.
        now: the store's clock.
    """

    def __init__(
        self, reading: Callable[[], AbstractContextManager[Tables]], now: Callable[[], datetime]
    ) -> None:
        self._reading = reading
        self._now = now

    def groups(self, names: Collection[str] | None = None) -> tuple[GroupStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as tables:
            chosen = [row for row in tables.groups if names is None or row.name in names]
            chosen.sort(key=lambda row: row.name)
            return tuple(_group_status(tables, row, self._now()) for row in chosen)

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
        now = self._now()
        with self._reading() as tables:
            chosen = (
                row
                for row in _deliveries_of(tables, group, stream_id)
                if states is None or row.state(now) in states
            )
            first = heapq.nsmallest(limit, chosen, key=lambda row: (row.group, row.stream_id))
            return tuple(_delivery_status(tables, row, now) for row in first)

    def streams(
        self, *, prefix: str = "", after: str = "", limit: int = 200
    ) -> tuple[StreamStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        if text_problem(prefix) or text_problem(after):
            return ()  # no stream can be called so, and not every store can compare with it
        with self._reading() as tables:
            ids = tables.log.stream_ids
            start = max(bisect_right(ids, after), bisect_left(ids, prefix))
            page = ids[start : start + limit]
            named = (tables.log.stream(id) for id in page if id.startswith(prefix))
            return tuple(_stream_status(stream) for stream in named if stream is not None)

    def recent_streams(self, *, limit: int = 50) -> tuple[StreamStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        with self._reading() as tables:
            newest = heapq.nlargest(
                limit, tables.log.streams, key=lambda stream: stream.messages[-1].position
            )
            return tuple(_stream_status(stream) for stream in newest)

    def workers(self) -> tuple[WorkerStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as tables:
            rows = sorted(tables.workers, key=lambda row: (row.started_at, row.number))
            return tuple(_worker_status(tables, row) for row in rows)

    def schedule(self, *, limit: int = 200) -> tuple[ScheduledStatus, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        with self._reading() as tables:
            rows = heapq.nsmallest(limit, tables.schedule, key=lambda row: (row.due_at, row.number))
            return tuple(
                ScheduledStatus(message=row.message, due_at=row.due_at, error=row.error)
                for row in rows
            )

    def scheduled(self, message_id: UUID) -> ScheduledStatus | None:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as tables:
            row = tables.schedule.get(message_id)
            if row is None:
                return None
            return ScheduledStatus(message=row.message, due_at=row.due_at, error=row.error)

    def operations(self, *, limit: int = 200) -> tuple[OperationRecord, ...]:
        """See `sourced._inspect.Inspect`."""
        limit = checked_limit(limit)
        with self._reading() as tables:
            return tuple(heapq.nlargest(limit, tables.operations, key=lambda row: row.id))

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
        now = self._now()
        with self._reading() as tables:
            messages = tables.log.by_correlation(correlation_id, from_position)
            found = chain.from_iterable(
                _pending_of(tables, message, groups, now) for message in messages
            )
            return tuple(islice(found, limit))

    def progress(self, group: str, stream_id: str) -> Progress:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as tables:
            status = tables.groups.require(group).status
            row = tables.deliveries.get((group, stream_id))
            head = tables.log.head(stream_id)
            return Progress(
                group=group,
                stream_id=stream_id,
                seq=head if row is None else row.next_seq - 1,
                head=head,
                state="drained" if row is None else row.state(self._now()),
                group_status=status,
            )

    def status(self) -> StoreStatus:
        """See `sourced._inspect.Inspect`."""
        with self._reading() as tables:
            return StoreStatus(
                streams=len(tables.log.streams),
                messages=len(tables.log.messages),
                last_position=len(tables.log.messages),
                deliveries=len(tables.deliveries),
                scheduled=len(tables.schedule),
            )


def _group_status(tables: Tables, group: Group, now: datetime) -> GroupStatus:
    part = tables.deliveries.of(group.name)
    running = (row for row in part.rows.values() if row.parked_at is None)
    pending = 0
    for row in running:
        stream = tables.log.stream(row.stream_id)
        pending += stream.count(group.types, row.next_seq) if stream is not None else 0
        if pending > PENDING_BOUND:
            break
    moments = [part.rows[stream_id].ready_at for stream_id in part.held]
    first = part.waiting.first()
    return GroupStatus(
        name=group.name,
        status=group.status,
        reason=group.reason,
        since=group.since,
        types=group.types,
        pending=min(pending, PENDING_BOUND),
        pending_is_exact=pending <= PENDING_BOUND,
        pending_streams=len(part.rows) - len(part.parked),
        claimed=len(part.held),
        retrying=part.waiting.count_after(now),
        parked=len(part.parked),
        oldest_ready_at=min(moments if first is None else [*moments, first], default=None),
    )


def _deliveries_of(tables: Tables, group: str | None, stream_id: str | None) -> Iterator[Delivery]:
    names = [group] if group is not None else [row.name for row in tables.groups]
    if stream_id is None:
        return chain.from_iterable(tables.deliveries.of(name).rows.values() for name in names)
    rows = (tables.deliveries.get((name, stream_id)) for name in names)
    return (row for row in rows if row is not None)


def _delivery_status(tables: Tables, row: Delivery, now: datetime) -> DeliveryStatus:
    holder = tables.workers.get(row.worker) if row.worker is not None else None
    return DeliveryStatus(
        group=row.group,
        stream_id=row.stream_id,
        state=row.state(now),
        next_seq=row.next_seq,
        head=tables.log.head(row.stream_id),
        replay_until=row.replay_until,
        restarted=row.restarted,
        ready_at=row.ready_at,
        worker=row.worker,
        worker_name=holder.info.name if holder is not None else "",
        worker_alive=holder is not None,
        epoch=row.epoch,
        claimed_at=row.claimed_at,
        attempts=row.attempts,
        suspect=row.suspect,
        parked_at=row.parked_at,
        error=row.error,
    )


def _stream_status(stream: Stream) -> StreamStatus:
    last = stream.messages[-1]
    return StreamStatus(
        stream_id=stream.id,
        seq=last.seq,
        last_type=last.type,
        last_at=last.created_at,
        last_position=last.position,
    )


def _worker_status(tables: Tables, row: Worker) -> WorkerStatus:
    return WorkerStatus(
        id=row.info.id,
        name=row.info.name,
        host=row.info.host,
        pid=row.info.pid,
        code_version=row.info.code_version,
        started_at=row.started_at,
        seen_at=row.seen_at,
        handles=row.info.handles,
        claims=len(tables.deliveries.holders.get(row.info.id, ())),
    )


def _pending_of(
    tables: Tables, message: StoredMessage, groups: Collection[str] | None, now: datetime
) -> Iterator[PendingMessage]:
    for name in sorted(tables.groups.handling(message.type)):
        if groups is not None and name not in groups:
            continue
        group = tables.groups.require(name)
        row = tables.deliveries.get((name, message.stream_id))
        if row is not None and row.next_seq <= message.seq:
            state = row.state(now)
        elif _is_unfilled(tables, group, message):
            state = "ready"
        else:
            continue
        holder = tables.workers.get(row.worker) if row is not None and row.worker else None
        yield PendingMessage(
            group=name,
            stream_id=message.stream_id,
            seq=message.seq,
            type=message.type,
            message_id=message.id,
            state=state if group.status == "active" else group.status,
            worker_name=holder.info.name if holder is not None else "",
            until=row.ready_at if row is not None and state == "retrying" else None,
        )


def _is_unfilled(tables: Tables, group: Group, message: StoredMessage) -> bool:
    """Return whether a message is what the group's back-fill will still come by."""
    stream = tables.log.stream(message.stream_id)
    if group.fill is None or stream is None:
        return False
    if not group.fill.done < stream.number <= group.fill.upto:
        return False
    first = first_past(stream, group.types, group.fill.start)
    return first is not None and first <= message.seq

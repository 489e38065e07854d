"""The read API of a store: frozen snapshots for people, dashboards, health and metrics.

Every method is one bounded, read-only statement (or a fixed small number of them).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from sourced._records import NewMessage

__all__ = [
    "PENDING_BOUND",
    "DeliveryState",
    "DeliveryStatus",
    "GroupState",
    "GroupStatus",
    "Inspect",
    "OperationRecord",
    "PendingMessage",
    "Progress",
    "ScheduledStatus",
    "StoreStatus",
    "StreamStatus",
    "WorkerStatus",
]

PENDING_BOUND = 10_000
"""Pending messages are counted exactly up to here; beyond, `pending_is_exact` is False."""

GroupState = Literal["filling", "active", "stopped"]
DeliveryState = Literal["ready", "claimed", "retrying", "parked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """A consumer group and its lag.

    `pending` counts the messages that the group would still handle in streams that are not parked;
    it is zero if and only if nothing is pending. `parked` counts streams.

    Attributes:
        oldest_ready_at: since when the oldest delivery that is not parked has been ready.
    """

    name: str
    status: GroupState
    reason: str
    since: datetime
    types: frozenset[str]
    pending: int
    pending_is_exact: bool
    pending_streams: int
    claimed: int
    retrying: int
    parked: int
    oldest_ready_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStatus:
    """One delivery: what a group has to handle in a stream, and who is at it.

    Attributes:
        worker: id of the holder, if claimed; `worker_alive`: whether it has a row.
        error: what was kept of the last failure, as a JSON object, or None.
        head: the stream's head.
    """

    group: str
    stream_id: str
    state: DeliveryState
    next_seq: int
    head: int
    replay_until: int
    restarted: bool
    ready_at: datetime
    worker: str | None
    worker_name: str
    worker_alive: bool
    epoch: int
    claimed_at: datetime | None
    attempts: int
    suspect: bool
    parked_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """A stream and its head."""

    stream_id: str
    seq: int
    last_type: str
    last_at: datetime
    last_position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker process that has a row."""

    id: str
    name: str
    host: str
    pid: int
    code_version: str
    started_at: datetime
    seen_at: datetime
    handles: Mapping[str, frozenset[str]]
    claims: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledStatus:
    """A message that waits for its time, or was set aside when it came.

    Attributes:
        error: why it could not be appended, if it was due and could not.
    """

    message: NewMessage
    due_at: datetime
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRecord:
    """What an operator did."""

    id: int
    at: datetime
    actor: str
    host: str
    verb: str
    target: str
    reason: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingMessage:
    """A stored message that a group has still to handle, and why it has not.

    Attributes:
        state: of the delivery, or `"stopped"` or `"filling"` of the group.
        worker_name: the holder, if claimed.
        until: when it is ready again, if it waits for a retry.
    """

    group: str
    stream_id: str
    seq: int
    type: str
    message_id: UUID
    state: Literal["ready", "claimed", "retrying", "parked", "stopped", "filling"]
    worker_name: str
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a group is in a stream: all of its messages up to `seq` are handled or skipped."""

    group: str
    stream_id: str
    seq: int
    head: int
    state: Literal["drained", "ready", "claimed", "retrying", "parked"]
    group_status: GroupState


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """The size of a store.

    Attributes:
        last_position: of the newest message, 0 if there is none.
    """

    streams: int
    messages: int
    last_position: int
    deliveries: int
    scheduled: int


class Inspect(Protocol):
    """What can be seen of a store."""

    def groups(self, names: Collection[str] | None = None) -> tuple[GroupStatus, ...]:
        """Return the groups by name: all, or those named that exist."""
        ...

    def deliveries(
        self,
        *,
        group: str | None = None,
        stream_id: str | None = None,
        states: Collection[DeliveryState] | None = None,
        limit: int = 200,
    ) -> tuple[DeliveryStatus, ...]:
        """Return deliveries by (group, stream): locks, parked streams, what waits for a retry."""
        ...

    def streams(
        self, *, prefix: str = "", after: str = "", limit: int = 200
    ) -> tuple[StreamStatus, ...]:
        """Return streams by id, from `after` (exclusive) on."""
        ...

    def recent_streams(self, *, limit: int = 50) -> tuple[StreamStatus, ...]:
        """Return the streams appended to last, newest first."""
        ...

    def workers(self) -> tuple[WorkerStatus, ...]:
        """Return the workers by start, oldest first."""
        ...

    def schedule(self, *, limit: int = 200) -> tuple[ScheduledStatus, ...]:
        """Return scheduled messages in (due, insertion) order, those set aside included."""
        ...

    def scheduled(self, message_id: UUID) -> ScheduledStatus | None:
        """Return the scheduled message of this id, or None."""
        ...

    def operations(self, *, limit: int = 200) -> tuple[OperationRecord, ...]:
        """Return what operators did, newest first."""
        ...

    def pending(
        self,
        correlation_id: UUID,
        *,
        from_position: int = 0,
        groups: Collection[str] | None = None,
        limit: int = 100,
    ) -> tuple[PendingMessage, ...]:
        """Return what groups have still to handle of a correlation, by (position, group).

        That includes what a filling group will come by.
        """
        ...

    def progress(self, group: str, stream_id: str) -> Progress:
        """Return how far a group is in a stream.

        Raises:
            UnknownGroupError: no such group.
        """
        ...

    def status(self) -> StoreStatus:
        """Return the size of the store."""
        ...

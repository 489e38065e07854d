"""The rows of the memory store and its tables: frozen rows, indexed, each write noted for undo."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Generic, TypeVar
from uuid import UUID

from sourced._inspect import DeliveryState, GroupState, OperationRecord
from sourced._records import NewMessage
from sourced._store import Operator, Snapshot, WorkerInfo
from sourced.errors import UnknownGroupError
from sourced.memory._journal import Journal
from sourced.memory._log import Log
from sourced.memory._timeline import Timeline

__all__ = [
    "Deliveries",
    "Delivery",
    "Fill",
    "Group",
    "GroupDeliveries",
    "Groups",
    "Schedule",
    "Scheduled",
    "Table",
    "Tables",
    "Worker",
]

K = TypeVar("K")
V = TypeVar("V")


# --- rows -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """How far the back-fill of a new group is.

    Attributes:
        done: number of the last stream that was looked at.
        upto: number of the last stream there was when the group was subscribed.
        start: messages created before this moment do not count, if given.
    """

    done: int
    upto: int
    start: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A consumer group; `fill` is None as soon as its back-fill is complete, stopped or not.

    Attributes:
        former: the names it had before; no other group may take them.
    """

    name: str
    types: frozenset[str]
    status: GroupState
    since: datetime
    reason: str = ""
    fill: Fill | None = None
    former: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a group has to handle in a stream; exists only while there is something (I2).

    Attributes:
        born: unique; deliveries that are ready since the same moment are claimed in this order.
    """

    group: str
    stream_id: str
    born: int
    next_seq: int
    ready_at: datetime
    replay_until: int = 0
    restarted: bool = False
    worker: str | None = None
    epoch: int = 0
    claimed_at: datetime | None = None
    attempts: int = 0
    suspect: bool = False
    parked_at: datetime | None = None
    error: str | None = None

    def state(self, now: datetime) -> DeliveryState:
        """Return what the delivery waits for."""
        if self.parked_at is not None:
            return "parked"
        if self.worker is not None:
            return "claimed"
        return "retrying" if self.ready_at > now else "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker process that lives, as far as the store knows; `number` says who joined first."""

    info: WorkerInfo
    number: int
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A message that waits for its time, or was set aside with its error when it came."""

    message: NewMessage
    due_at: datetime
    number: int
    error: str | None = None


# --- tables ---------------------------------------------------------------------------------------


class Table(Generic[K, V]):
    """Rows by key. Every write notes how to take it back."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[K, V] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[V]:
        return iter(self._rows.values())

    def get(self, key: K) -> V | None:
        """Return the row of this key."""
        return self._rows.get(key)

    def put(self, key: K, row: V) -> None:
        """Write a row."""
        self._journal.note(partial(self._swap, key, self._rows.get(key)))
        self._swap(key, row)

    def delete(self, key: K) -> None:
        """Take a row away."""
        self._journal.note(partial(self._swap, key, self._rows.get(key)))
        self._swap(key, None)

    def _swap(self, key: K, new: V | None) -> None:
        old = self._rows.pop(key, None) if new is None else self._rows.get(key)
        if new is not None:
            self._rows[key] = new
        self._reindex(old, new)

    def _reindex(self, old: V | None, new: V | None) -> None:
        """Keep what is derived from the rows in step; undo comes by here too."""


class Groups(Table[str, Group]):
    """The groups, and by type those that handle it."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self._handling: dict[str, dict[str, None]] = {}

    def handling(self, type: str) -> Iterable[str]:
        """Return the names of the groups that handle a type."""
        return self._handling.get(type, ())

    def require(self, name: str) -> Group:
        """Return a group's row.

        Raises:
            UnknownGroupError: no such group.
        """
        group = self.get(name)
        if group is None:
            raise UnknownGroupError(name)
        return group

    def types(self, name: str) -> frozenset[str]:
        """Return the types that a group handles; none if there is no such group."""
        group = self.get(name)
        return group.types if group is not None else frozenset()

    def change(self, group: Group, status: GroupState, reason: str, now: datetime) -> None:
        """Write a group's status, with the moment since when it has it."""
        since = group.since if group.status == status else now
        self.put(group.name, replace(group, status=status, reason=reason, since=since))

    def _reindex(self, old: Group | None, new: Group | None) -> None:
        if old is not None:
            for type in old.types:
                del self._handling[type][old.name]
        if new is not None:
            for type in new.types:
                self._handling.setdefault(type, {})[new.name] = None


class GroupDeliveries:
    """The deliveries of one group, by what they wait for.

    Attributes:
        rows: by stream id.
        waiting: neither held nor parked, by (`ready_at`, `born`).
        parked: by (`parked_at`, `born`).
        held: those that a worker holds.
    """

    __slots__ = ("held", "parked", "rows", "waiting")

    def __init__(self) -> None:
        self.rows: dict[str, Delivery] = {}
        self.waiting: Timeline[str] = Timeline()
        self.parked: Timeline[str] = Timeline()
        self.held: dict[str, None] = {}

    def take(self, row: Delivery) -> None:
        """Take a row out of the indexes."""
        del self.rows[row.stream_id]
        if row.parked_at is not None:
            self.parked.remove(row.parked_at, row.born)
        elif row.worker is not None:
            del self.held[row.stream_id]
        else:
            self.waiting.remove(row.ready_at, row.born)

    def add(self, row: Delivery) -> None:
        """Put a row into the indexes."""
        self.rows[row.stream_id] = row
        if row.parked_at is not None:
            self.parked.add(row.parked_at, row.born, row.stream_id)
        elif row.worker is not None:
            self.held[row.stream_id] = None
        else:
            self.waiting.add(row.ready_at, row.born, row.stream_id)


class Deliveries(Table[tuple[str, str], Delivery]):
    """The deliveries by (group, stream), by group and by the worker that holds them.

    Attributes:
        stirred: groups for which a delivery became ready in the open transaction, for hints.
        holders: worker id → what it holds.
    """

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.stirred: set[str] = set()
        self.holders: dict[str, dict[tuple[str, str], None]] = {}
        self._groups: dict[str, GroupDeliveries] = {}
        self._nothing = GroupDeliveries()

    def of(self, group: str) -> GroupDeliveries:
        """Return the deliveries of a group, to be read."""
        return self._groups.get(group, self._nothing)

    def save(self, row: Delivery) -> None:
        """Write a delivery."""
        self.put((row.group, row.stream_id), row)

    def drop(self, row: Delivery) -> None:
        """Delete a delivery."""
        self.delete((row.group, row.stream_id))

    def held_by(self, worker_id: str) -> list[Delivery]:
        """Return what a worker holds."""
        return [self._rows[key] for key in self.holders.get(worker_id, ())]

    def _reindex(self, old: Delivery | None, new: Delivery | None) -> None:
        if old is not None:
            self._groups[old.group].take(old)
            self._let_go(old)
        if new is not None:
            self._groups.setdefault(new.group, GroupDeliveries()).add(new)
            if new.worker is not None:
                self.holders.setdefault(new.worker, {})[new.group, new.stream_id] = None

    def _let_go(self, row: Delivery) -> None:
        if row.worker is not None:
            held = self.holders[row.worker]
            del held[row.group, row.stream_id]
            if not held:
                del self.holders[row.worker]


class Schedule(Table[UUID, Scheduled]):
    """The scheduled messages by id; those not set aside by (`due_at`, insertion)."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.waiting: Timeline[UUID] = Timeline()

    def _reindex(self, old: Scheduled | None, new: Scheduled | None) -> None:
        if old is not None and old.error is None:
            self.waiting.remove(old.due_at, old.number)
        if new is not None and new.error is None:
            self.waiting.add(new.due_at, new.number, new.message.id)


class Tables:
    """All that a store holds, and the open transaction.

    Attributes:
        now: the moment of the open transaction.
        numbers: never used twice, also when a transaction is taken back: epochs (I3), the order of
            rows, ids of operations.
    """

    def __init__(self) -> None:
        self.journal = Journal()
        self.now = datetime.min.replace(tzinfo=UTC)
        self.numbers = count(1)
        self.log = Log(self.journal)
        self.groups = Groups(self.journal)
        self.deliveries = Deliveries(self.journal)
        self.schedule = Schedule(self.journal)
        self.workers: Table[str, Worker] = Table(self.journal)
        self.snapshots: Table[tuple[str, str], Snapshot] = Table(self.journal)
        self.operations: Table[int, OperationRecord] = Table(self.journal)

    def make_ready(self, row: Delivery) -> None:
        """Write a delivery that can be claimed, with a hint to its group if that is so now."""
        self.deliveries.save(row)
        if row.ready_at <= self.now:
            self.deliveries.stirred.add(row.group)

    def announce(self, group: str, stream_id: str, seq: int) -> None:
        """Make the delivery of a stream in which a group had nothing to handle until now."""
        self.make_ready(
            Delivery(
                group=group,
                stream_id=stream_id,
                born=next(self.numbers),
                next_seq=seq,
                ready_at=self.now,
            )
        )

    def first_pending(self, group: str, stream_id: str, since: int) -> int | None:
        """Return the first seq at or after `since` that a group handles in a stream."""
        stream = self.log.stream(stream_id)
        return stream.first(self.groups.types(group), since) if stream is not None else None

    def record(
        self, verb: str, target: str, by: Operator | None, *, before: str = "", after: str = ""
    ) -> None:
        """Write into the operations log."""
        operator = by or Operator()
        number = next(self.numbers)
        self.operations.put(
            number,
            OperationRecord(
                id=number,
                at=self.now,
                actor=operator.actor,
                host=operator.host,
                verb=verb,
                target=target,
                reason=operator.reason,
                before=before,
                after=after,
            ),
        )

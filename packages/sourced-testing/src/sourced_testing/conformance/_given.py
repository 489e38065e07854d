"""What the conformance tests arrange: messages, groups, workers and claims, in a line each."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from sourced._ids import new_id, new_worker_id
from sourced._inspect import DeliveryStatus, GroupStatus
from sourced._records import NewMessage, ScheduledMessage, StoredMessage
from sourced._store import (
    BEGINNING,
    Claim,
    Committed,
    Done,
    Operator,
    Park,
    Pending,
    ReadLimits,
    Release,
    Retry,
    Start,
    Store,
    StreamCommit,
    Then,
    WorkerInfo,
)
from sourced_testing._clock import FakeClock

__all__ = ["LEASE", "MOMENT", "OPERATOR", "Given", "Handled", "Suite", "error_text", "message"]

MOMENT = datetime(2025, 12, 31, 23, 59, 59, 123456, tzinfo=UTC)
"""When a message was made, unless a test says otherwise."""

LEASE = timedelta(seconds=15)

OPERATOR = Operator(actor="ada", host="desk", reason="because")
"""Who mends what is broken."""


class Handled(NamedTuple):
    """A message that was handled and acked, and whether it was handled before."""

    stream_id: str
    seq: int
    replaying: bool = False


def message(
    stream_id: str = "a",
    type: str = "added",
    *,
    id: UUID | None = None,
    payload: str = "{}",
    meta: str = "{}",
    created_at: datetime = MOMENT,
    correlation_id: UUID | None = None,
    causation_id: UUID | None = None,
) -> NewMessage:
    """Return a message to append, with an id of its own."""
    own = id or new_id()
    return NewMessage(
        id=own,
        type=type,
        stream_id=stream_id,
        payload=payload,
        meta=meta,
        created_at=created_at,
        causation_id=causation_id or own,
        correlation_id=correlation_id or own,
    )


def error_text(text: str) -> str:
    """Return what is stored of a failure with this text."""
    return json.dumps({"text": text})


class Given:
    """A store, its clock, and short ways to bring the store into a state.

    Groups handle the type `added` and workers know it, unless a test says otherwise.
    """

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock

    def appended(self, stream_id: str, *types: str) -> list[StoredMessage]:
        """Append one message per type (by default one `added`) to a stream."""
        new = [message(stream_id, each) for each in types or ("added",)]
        return list(self.store.append(new).messages)

    def group(self, name: str = "G", *types: str, start: Start = BEGINNING) -> str:
        """Register a group."""
        self.store.register(name, types or ("added",), start=start)
        return name

    def worker(self, name: str = "", handles: Mapping[str, Collection[str]] | None = None) -> str:
        """Let a worker join; return its id."""
        worker_id = new_worker_id()
        known = {group: frozenset(types) for group, types in (handles or {}).items()}
        self.store.join(WorkerInfo(id=worker_id, name=name, host="host", pid=1, handles=known))
        return worker_id

    def claimed(self, group: str = "G", worker: str | None = None, stream_id: str = "a") -> Claim:
        """Claim one stream, by a new worker unless one is given."""
        claims = self.store.claim(group, worker or self.worker(), stream_ids=[stream_id])
        assert len(claims) == 1, f"no claim of {stream_id!r}: {self.delivery(group, stream_id)}"
        return claims[0]

    def pending(self, claim: Claim, *known: str, limits: ReadLimits | None = None) -> Pending:
        """Read what a claim has to handle."""
        types = known or self.group_status(claim.group).types
        (found,) = self.store.read_pending(
            [claim], known_types=types, limits=limits or ReadLimits()
        )
        return found

    def seqs(self, claim: Claim) -> list[int]:
        """Read the seqs that a claim has to handle."""
        return [message.seq for message in self.pending(claim).messages]

    def acked(self, claim: Claim, upto: int, then: Then | None = None, **more: Any) -> Committed:
        """Commit one claim up to a seq."""
        part = StreamCommit(claim=claim, ack_seq=upto, then=then or Done(), **more)
        return self.store.commit(claim.worker, [part])

    def retrying(self, group: str = "G", stream_id: str = "a", **after: float) -> None:
        """Let a stream wait for a retry, by default for a minute."""
        claim = self.claimed(group, stream_id=stream_id)
        delay = timedelta(**after) if after else timedelta(minutes=1)
        self.store.retry(claim, Retry(after=delay, error=error_text("broken")))

    def parked(self, group: str = "G", stream_id: str = "a") -> None:
        """Park a stream."""
        self.store.park(self.claimed(group, stream_id=stream_id), Park(error=error_text("broken")))

    def dead(self, group: str = "G", stream_id: str = "a") -> Claim:
        """Let a worker claim a stream and die, the others live; its claim is reaped."""
        living = [worker.id for worker in self.store.inspect.workers()]
        claim = self.claimed(group, stream_id=stream_id)
        self.lease_over(living)
        return claim

    def lease_over(self, living: Iterable[str] = ()) -> int:
        """Let the lease of every worker pass but those that live, and reap."""
        self.clock.advance((LEASE * 2).total_seconds())
        for worker in living:
            self.store.heartbeat(worker)
        return self.store.reap(LEASE)

    def due(self, after: float = 60, stream_id: str = "a", type: str = "added") -> NewMessage:
        """Schedule a message, in so many seconds."""
        new = message(stream_id, type)
        moment = self.store.now() + timedelta(seconds=after)
        self.store.schedule([ScheduledMessage(message=new, due_at=moment)])
        return new

    def drained(self, group: str = "G", max_streams: int = 50) -> list[tuple[str, int]]:
        """Handle all that is pending for a group; return (stream, seq) in the order handled."""
        return [(one.stream_id, one.seq) for one in self.replayed(group, max_streams)]

    def replayed(self, group: str = "G", max_streams: int = 50) -> list[Handled]:
        """Handle all that is pending for a group; return it in the order handled."""
        worker = self.worker()
        handled: list[Handled] = []
        while claims := self.store.claim(group, worker, max_streams=max_streams):
            handled += self._handled(group, claims)
        self.store.leave(worker)
        return handled

    def log(self) -> list[StoredMessage]:
        """Read the whole log."""
        return list(self.store.read_all(limit=100_000).messages)

    def stream(self, stream_id: str = "a") -> list[StoredMessage]:
        """Read a whole stream."""
        return list(self.store.read_stream(stream_id, limit=100_000).messages)

    def delivery(self, group: str = "G", stream_id: str = "a") -> DeliveryStatus | None:
        """Return the delivery of a stream to a group, if there is one."""
        found = self.store.inspect.deliveries(group=group, stream_id=stream_id)
        return found[0] if found else None

    def row(self, group: str = "G", stream_id: str = "a") -> DeliveryStatus:
        """Return the delivery of a stream to a group, which must be there."""
        found = self.delivery(group, stream_id)
        assert found is not None, f"no delivery of {stream_id!r} to {group!r}"
        return found

    def group_status(self, group: str = "G") -> GroupStatus:
        """Return what can be seen of a group."""
        (found,) = self.store.inspect.groups([group])
        return found

    def _handled(self, group: str, claims: list[Claim]) -> list[Handled]:
        types = self.group_status(group).types
        found = self.store.read_pending(claims, known_types=types, limits=ReadLimits())
        self.store.commit(claims[0].worker, [_all_of(one) for one in found])
        return [
            Handled(one.claim.stream_id, each.seq, each.seq <= one.claim.replay_until)
            for one in found
            for each in one.messages
        ]


class Suite:
    """The fixtures that every class of the suite builds on an adapter's `store` and `clock`."""

    @pytest.fixture
    def given(self, store: Store, clock: FakeClock) -> Given:
        """The store and its clock, to arrange with."""
        return Given(store, clock)

    @pytest.fixture
    def other(self, request: pytest.FixtureRequest, store: Store) -> Store:
        """A second handle on the same data: the adapter's `other_store`, or the store itself."""
        if not _is_defined(request, "other_store"):
            return store
        other: Store = request.getfixturevalue("other_store")
        return other


def _all_of(pending: Pending) -> StreamCommit:
    if pending.looked_to < pending.claim.next_seq:
        return StreamCommit(claim=pending.claim, then=Release())
    return StreamCommit(claim=pending.claim, ack_seq=pending.looked_to)


def _is_defined(request: pytest.FixtureRequest, name: str) -> bool:
    try:
        request.getfixturevalue(name)
    except pytest.FixtureLookupError as error:
        if error.argname == name:
            return False
        raise
    return True

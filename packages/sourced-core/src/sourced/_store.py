"""The store port: order, exclusion, exactly-once effects and bounded cost, as one protocol.

A store keeps the log and, for every consumer group, what it still has to handle. It knows messages
only as encoded records: it never decodes a payload. Its own tables, described on the "Storage" page
of the documentation, are: streams (head and lock of each stream), messages (the log), groups with
their former names, subscriptions (who handles what), deliveries ("group G has to handle stream S
from seq N": a row exists only while there is something to handle), schedule, snapshots, workers and
operations.

What every store keeps, named I1 to I12 and checked by the conformance suite:

* I1   `seq` of a stream is 1, 2, 3 … without holes, whoever appends, however concurrently.
* I2   A message and the deliveries it causes commit together. A delivery of (G, S) exists if and
       only if S holds a message of a type G subscribes to beyond G's progress in S.
* I3   At most one worker's effects for (G, S) commit between two acks: commit, release, retry and
       park name worker, epoch and next_seq of the claim, and fail as a whole if one has changed.
* I4   For each (G, S), messages are handled in seq order; a failed one holds back that stream only.
* I5   Outputs, schedules, syncs on the store's connection, and the ack are one transaction.
* I6   A message of (G, S) is replaying if its seq is at most `replay_until`.
* I7   An append that names an expectation fails whole when it does not hold; one without lands.
* I8   Locks are taken in one order: streams by id, then deliveries by (group, stream).
* I9   Leases, retries and schedules use the store's clock; order never depends on a clock.
* I10  Cost does not grow with the log, the stream, or the number of drained streams.
* I11  A payload is refused before any statement runs, or read back equal.
* I12  What a dead worker leaves behind is taken over within lease + one poll.

Progress of G in S is `next_seq - 1` where a delivery exists, and the stream's head where none does.
Methods raise `StoreUnavailableError` when the store cannot be reached and `SchemaError` when it is
not installed. They raise `UsageError` for a limit that is no integer of 1 or more and for a seq or
position that is none of 0 or more; names that could never be stored are names that nothing has.
A method that is refused has written nothing. Every method may be called from any
thread; each is one transaction unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from sourced._clock import Clock
from sourced._inspect import Inspect
from sourced._records import NewMessage, ScheduledMessage, StoredMessage
from sourced._store_values import (
    BEGINNING,
    NOW,
    Appended,
    Claim,
    Committed,
    Connection,
    Done,
    Expectation,
    ExpectedSeq,
    Keep,
    LogPage,
    Operator,
    Park,
    Pending,
    Poll,
    Promoted,
    ReadLimits,
    Registration,
    Release,
    ResetProgress,
    Retry,
    Snapshot,
    Start,
    StreamCommit,
    StreamPage,
    Tails,
    Then,
    UnitOfWork,
    UnknownPending,
    UnlessSince,
    WorkerInfo,
)

__all__ = [
    "BEGINNING",
    "NOW",
    "Appended",
    "Claim",
    "Committed",
    "Connection",
    "Done",
    "Expectation",
    "ExpectedSeq",
    "Keep",
    "LogPage",
    "Operator",
    "Park",
    "Pending",
    "Poll",
    "Promoted",
    "ReadLimits",
    "Registration",
    "Release",
    "ResetProgress",
    "Retry",
    "Snapshot",
    "Start",
    "Store",
    "StreamCommit",
    "StreamPage",
    "Tails",
    "Then",
    "Transaction",
    "UnitOfWork",
    "UnknownPending",
    "UnlessSince",
    "Verbs",
    "WorkerInfo",
]


class Verbs(Protocol):
    """What may be done both on its own and inside a caller's transaction."""

    def append(
        self, messages: Sequence[NewMessage], *, expect: Mapping[str, Expectation] | None = None
    ) -> Appended:
        """Write messages to the ends of their streams, with the deliveries they cause.

        One transaction, any number of streams, all or nothing: lock the streams in order of id,
        check expectations and ids, insert, fan out. A group gains a delivery with the seq of the
        first new message of a type it handles, unless it has one for the stream.

        Raises:
            ConcurrencyError: an expectation does not hold.
            DuplicateMessageError: an id is stored or scheduled already, or stands twice in
                `messages`.
            PayloadError: a message is larger than the store takes.
        """
        ...

    def schedule(self, messages: Sequence[ScheduledMessage]) -> None:
        """Keep messages until they are due; each then enters the log with its own id.

        Raises:
            DuplicateMessageError: an id is stored or scheduled already.
            PayloadError: a message is larger than the store takes.
        """
        ...

    def handle_now(self, work: UnitOfWork) -> Appended:
        """Write a chain that was handled by its caller, in one transaction.

        Syncs run first; then all streams are locked in order; then, for each (group, stream) of
        `work.handled`, the group must be active and without a delivery there; then expectations and
        ids are checked; then all is written.

        Raises:
            UnknownGroupError: a group is not registered.
            GroupStoppedError: a group is stopped.
            StreamParkedError: the stream is parked for the group.
            BusyError: the group is filling, or has a delivery: `reason` is `"filling"`, `"held"`
                (a worker holds it), `"retrying"` (it waits, `until` says when) or `"pending"`.
            ConcurrencyError, DuplicateMessageError, PayloadError: as with `append`.
            UsageError: a message was handled that comes after one, of the same stream and group,
                that is left to the workers: they would handle it out of order.
        """
        ...

    def read_stream(
        self,
        stream_id: str,
        *,
        after: int = 0,
        upto: int | None = None,
        types: Collection[str] | None = None,
        limit: int = 500,
    ) -> StreamPage:
        """Return messages of a stream with after < seq ≤ upto, the first `limit` of them."""
        ...

    def read_one(self, message_id: UUID) -> StoredMessage | None:
        """Return the message of this id, or None."""
        ...

    def read_snapshots(
        self, group: str, stream_ids: Collection[str], *, version: int
    ) -> Mapping[str, Snapshot]:
        """Return the snapshots of this version, by stream."""
        ...


class Transaction(Verbs, Protocol):
    """The verbs inside a caller's transaction: they commit and roll back with the caller's rows.

    Each verb runs in a savepoint, so a refusal leaves the transaction usable.
    """

    @property
    def connection(self) -> Connection:
        """The connection of the transaction, for the caller's own statements."""
        ...


class Store(Verbs, Protocol):
    """One log with its groups. See the module's docstring for what it guarantees."""

    @property
    def inspect(self) -> Inspect:
        """The read API for people and tools."""
        ...

    @property
    def clock(self) -> Clock:
        """What an app over this store waits by, and stamps messages with."""
        ...

    # schema and life

    def install(self) -> bool:
        """Make what is missing; idempotent and safe when several processes do it at once.

        Returns:
            Whether anything was made.
        """
        ...

    def installed(self) -> bool:
        """Return whether the schema is there, in this package's version."""
        ...

    def uninstall(self) -> None:
        """Drop everything that `install` made, with all data."""
        ...

    def close(self) -> None:
        """Let go of connections; the store can be used again afterwards."""
        ...

    def now(self) -> datetime:
        """Return the time by the store's clock, aware, in UTC."""
        ...

    # groups

    def register(
        self,
        group: str,
        types: Collection[str],
        *,
        start: Start = BEGINNING,
        was: Sequence[str] = (),
    ) -> Registration:
        """Make a group, or add types to it; from here on every append fans out to it.

        A known group with these types costs one read. A new one is first made visible with status
        filling, then filled in chunks of streams, each its own transaction; a fill that died is
        resumed by whoever registers next. Types are never removed. Types added to a known group
        count from its `next_seq` where something is pending, else from the head.

        A group known under a name in `was` is renamed, with its progress; claims of it are lost
        and free. The store remembers its former names until the group is removed, so an old worker
        cannot bring the old group back, which would handle all of history again: to register one
        is refused, unless `was` has the name that the group has now, which renames it once more.
        Elsewhere a former name is unknown: nothing is claimed for it, nothing fans out to it.

        Raises:
            RegistrationError: the group is known both as `group` and by a name in `was`, or by two
                of these; or there is no `group` yet, and it or a name in `was` was renamed to
                something that `was` does not have; or a name that could not be stored is given, or
                a `start` that is none of the three. Nothing is written.
        """
        ...

    def unsubscribe(
        self, group: str, types: Collection[str], *, by: Operator | None = None
    ) -> None:
        """Take types from a group; its deliveries move on to the next type it handles.

        Raises:
            UnknownGroupError: no such group.
        """
        ...

    def remove(self, group: str, *, by: Operator | None = None) -> None:
        """Forget a group: its subscriptions, deliveries, snapshots and former names.

        Raises:
            UnknownGroupError: no such group.
        """
        ...

    def stop(self, group: str, *, by: Operator | None = None) -> None:
        """Let no more be claimed for a group; what is claimed may still be committed.

        Raises:
            UnknownGroupError: no such group.
        """
        ...

    def start(self, group: str, *, by: Operator | None = None) -> None:
        """Let a stopped group be claimed again.

        Raises:
            UnknownGroupError: no such group.
        """
        ...

    def trip_breaker(self, group: str, *, more_than: int, within: timedelta) -> bool:
        """Stop an active group if more than so many of its streams were parked within that time.

        Returns:
            Whether this call stopped it.
        """
        ...

    def reset(
        self,
        group: str,
        stream_ids: Collection[str] | None = None,
        *,
        by: Operator | None = None,
        chunk: int = 500,
    ) -> Iterator[ResetProgress]:
        """Let a group handle again what it has handled: all streams, or those named.

        In chunks of streams, each its own transaction, done as the iterator is consumed; run it
        again to finish one that died. Per stream, under its lock: `next_seq` is its first
        message of the group's types, `replay_until` the group's progress there (or what it was,
        if that is more), unclaimed, a new epoch, ready now, attempts 0, neither parked nor suspect,
        `restarted` set. Streams without such a message are passed over.

        Raises:
            UnknownGroupError: no such group.
            BusyError: the group is still filling.
        """
        ...

    # workers

    def join(self, worker: WorkerInfo) -> None:
        """Write a worker's row; without it nothing can be claimed."""
        ...

    def heartbeat(self, worker_id: str) -> bool:
        """Say that a worker lives; False: it was declared dead and has lost its claims."""
        ...

    def leave(self, worker_id: str) -> None:
        """Free a worker's claims, no attempt counted, and delete its row."""
        ...

    def reap(self, lease: timedelta) -> int:
        """Delete the rows of workers not seen within the lease; free claims without a worker.

        A freed delivery is ready now and suspect; its attempts stay as counted.

        Returns:
            How many deliveries were freed.
        """
        ...

    def poll(self, lease: timedelta) -> Poll:
        """Say in one bounded read what there is to do."""
        ...

    # claim, read, commit

    def claim(
        self,
        group: str,
        worker_id: str,
        *,
        max_streams: int = 50,
        stream_ids: Collection[str] | None = None,
        suspects: bool = True,
    ) -> list[Claim]:
        """Take hold of up to `max_streams` ready deliveries of a group, oldest `ready_at` first.

        Counts the attempt and draws an epoch for each. A suspect delivery is claimed alone. Nothing
        for a group that is not active or unknown, or for a worker without a row.

        Args:
            group: the consumer group.
            worker_id: the worker, which has joined.
            max_streams: at most so many.
            stream_ids: only these streams, if given.
            suspects: False leaves suspect deliveries to others: for a process that is at one.
        """
        ...

    def read_pending(
        self,
        claims: Sequence[Claim],
        *,
        known_types: Collection[str],
        limits: ReadLimits = ...,
        tails: Tails | None = None,
    ) -> list[Pending]:
        """Return what each claim has to handle, in the order of the claims; takes no lock."""
        ...

    def commit(
        self,
        worker_id: str,
        streams: Sequence[StreamCommit],
        *,
        sync: Callable[[Connection], None] | None = None,
    ) -> Committed:
        """Write outputs and acks of a batch of claimed streams of one group; all or nothing.

        In this order: check the claims, run each stream's sync and then `sync`; lock all streams,
        claimed and written to, in order; check claims and expectations; write outputs, fan out,
        schedule; ack.

        Raises:
            CommitRefusedError: names every stream that fails, with its error: `ClaimLostError`,
                `ConcurrencyError`, `DuplicateMessageError`, `PayloadError`, or what its own sync
                raised, a `StatementTimeoutError` if a statement of its waited too long. What `sync`
                raises is raised likewise.
            StreamLockedError: somebody's transaction has kept one of the streams locked for longer
                than a worker should wait, which holds up whoever wants the others.
        """
        ...

    def commit_locked(
        self, claim: Claim, decide: Callable[[Transaction], StreamCommit | None]
    ) -> Committed | None:
        """Commit what is decided for a claimed stream while nobody else can append to it.

        For a stream to which others append faster than `commit` can be repeated: there the stream
        is locked last, so that no lock is held while handlers run; here it is locked first. One
        transaction: lock the stream, check the claim, call `decide` in the caller's thread, then go
        on as `commit` does. `decide` reads by the verbs it is given and writes nothing by itself;
        while it runs, appends to this stream wait (in some stores, all writers do), so it is short.
        It may be called again where the transaction is repeated; the last call counts.

        Returns:
            What the commit did; None, with nothing written, if `decide` returned None.

        Raises:
            CommitRefusedError: as `commit` does.
            UsageError: what was decided is for another claim, or writes to another stream, whose
                lock would be taken out of order (I8).
            Exception: what `decide` raises is raised as it is; nothing is written.
        """
        ...

    def release(self, claims: Sequence[Claim]) -> int:
        """Give claims back untouched, no attempt counted; those lost are passed over.

        Returns:
            How many were given back.
        """
        ...

    def retry(self, claim: Claim, retry: Retry) -> None:
        """Give a claim back until later.

        Raises:
            ClaimLostError: it is not the worker's any more.
        """
        ...

    def park(self, claim: Claim, park: Park) -> None:
        """Set a claimed stream aside.

        Raises:
            ClaimLostError: it is not the worker's any more.
        """
        ...

    def unpark(
        self,
        group: str,
        stream_ids: Collection[str] | None = None,
        *,
        by: Operator | None = None,
    ) -> int:
        """Make parked and waiting deliveries ready now, attempts 0: all of a group, or those named.

        Returns:
            How many.

        Raises:
            UnknownGroupError: no such group.
        """
        ...

    def skip(self, group: str, stream_id: str, seq: int, *, by: Operator | None = None) -> None:
        """Count the next pending message of a stream as handled, unrun; a parked stream goes on.

        Raises:
            UnknownGroupError: no such group.
            NotFoundError: `seq` is not the next message that the group has to handle there.
            BusyError: a worker holds the stream.
        """
        ...

    # time

    def cancel(self, message_id: UUID, *, by: Operator | None = None) -> bool:
        """Take a scheduled message back; False if it is not waiting any more."""
        ...

    def promote_due(self, limit: int = 1000) -> Promoted:
        """Move due messages into the log in (due, insertion) order, ids kept.

        One housekeeper at a time; others return at once with nothing. One whose id is in the
        log already is dropped; one that cannot be appended is set aside with its error.
        """
        ...

    # reading

    def read_all(
        self,
        *,
        after: int | None = None,
        types: Collection[str] | None = None,
        limit: int = 500,
        backwards: bool = False,
    ) -> LogPage:
        """Return messages of the log by position, from `after` (exclusive) on.

        Never skips: no message with a position up to `next_after` can appear later. Backwards,
        `after` is an upper bound (exclusive), None the end of the log.
        """
        ...

    def trace(self, message_id: UUID, *, limit: int = 1000) -> tuple[StoredMessage, ...]:
        """Return all messages of the same correlation, by position; empty if there is none."""
        ...

    # the caller's transaction, the reader's connection, hints

    def connection(self) -> AbstractContextManager[Connection]:
        """Give the store's own connection for reads outside the commit's transaction.

        Raises:
            StoreUnavailableError: trouble of the database befell the connection inside the block.
            Exception: all else that the block raises is raised as it is.
        """
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open a transaction in which messages and the caller's rows commit together."""
        ...

    def bind(self, connection: Connection) -> Transaction:
        """Give the verbs inside a transaction that the caller has begun and will end.

        Raises:
            IsolationError: the transaction has the wrong isolation level.
            UsageError: the connection is not one of this store's kind.
        """
        ...

    def subscribe(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call back with group names when they may have work; hints may be lost or late.

        A store that listens for hints over a connection may count in an attribute `reconnects` how
        often it had to connect again; the metrics show it.

        Returns:
            A function that ends the subscription.
        """
        ...

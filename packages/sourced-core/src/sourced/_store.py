"""The store port: order, exclusion, exactly-once effects and bounded cost, as one protocol.

A store keeps the log and, for every consumer group, what it still has to handle. It knows messages
only as encoded records: it never decodes a payload. Its own tables, described on the "Storage" page
of the documentation, are: streams (head and lock of each stream), messages (the log), groups and
subscriptions (who handles what), deliveries ("group G has to handle stream S from seq N": a row
exists only while there is something to handle), schedule, snapshots, workers and operations.

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
not installed. A method that is refused has written nothing. Every method may be called from any
thread; each is one transaction unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

from sourced._clock import Clock
from sourced._inspect import Inspect
from sourced._records import NewMessage, ScheduledMessage, StoredMessage

__all__ = [
    "BEGINNING",
    "NOW",
    "Appended",
    "Claim",
    "Committed",
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

BEGINNING: Literal["beginning"] = "beginning"
NOW: Literal["now"] = "now"
Start = Literal["beginning", "now"] | datetime
"""Where a new group starts: with all there is, with what comes, or with what was created since."""


# --- appending ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExpectedSeq:
    """Append only if the stream's head is exactly this seq (0: the stream does not exist)."""

    seq: int


@dataclass(frozen=True, slots=True)
class UnlessSince:
    """Append only if no message of these types came after this seq."""

    seq: int
    types: frozenset[str]


Expectation = ExpectedSeq | UnlessSince


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What an append did: the messages with their places, in the order given.

    Attributes:
        messages: the stored messages.
        groups: the groups for which a delivery row was made, for hints.
    """

    messages: tuple[StoredMessage, ...]
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A reactor's encoded state of one stream as of a seq."""

    group: str
    stream_id: str
    seq: int
    version: int
    state: str


# --- groups and workers ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who does an operation, and why; kept in the operations log."""

    actor: str = ""
    host: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What registering a group did.

    Attributes:
        created: the group is new.
        added_types: types that were added to a known group; what is stored of them before the
            group's progress is not handled unless the group is reset.
        past_streams: of a new group, how many streams hold messages that it will handle live.
    """

    created: bool
    added_types: frozenset[str] = frozenset()
    past_streams: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """One start of one worker process.

    Attributes:
        id: random; never a pid or a host name alone.
        handles: group → the message types that this process knows how to handle.
    """

    id: str
    name: str = ""
    host: str = ""
    pid: int = 0
    code_version: str = ""
    handles: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What there is to do, by one bounded read.

    Attributes:
        ready: active groups with a delivery that could be claimed now.
        due: a scheduled message is due.
        overdue: a worker has not been seen within the lease, or a claim's worker is gone.
        next_at: the next moment at which a delivery or a scheduled message becomes ready, if any.
    """

    ready: frozenset[str]
    due: bool
    overdue: bool
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What a promotion did: messages moved into the log, dropped as repeats, or set aside."""

    moved: int = 0
    dropped: int = 0
    failed: int = 0
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetProgress:
    """How far a reset is, in streams."""

    done: int
    total: int


# --- claiming and reading -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's exclusive hold on the delivery of one stream to one group.

    Attributes:
        worker: the holder's id.
        epoch: the fencing number, drawn from one counter of the store by every claim and reset.
        next_seq: where handling goes on.
        attempts: how often the message at `next_seq` is being tried, this time included; from 1.
        replay_until: messages with a seq up to this one have been handled before (I6).
        restarted: the group was reset and this stream has not been handled since.
        suspect: a worker died while holding this stream: handle it message by message.
    """

    group: str
    stream_id: str
    worker: str
    epoch: int
    next_seq: int
    attempts: int = 1
    replay_until: int = 0
    restarted: bool = False
    suspect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """How much one `read_pending` returns at most.

    The first pending message of the first claim is returned however large it is; a claim whose
    turn does not come within `bytes` has no messages and `looked_to = next_seq - 1`.

    Attributes:
        messages: per stream.
        bytes: of payloads and meta, in all.
        tail: messages of history, per stream.
    """

    messages: int = 50
    bytes: int = 16 * 1024 * 1024
    tail: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Tails:
    """Which history to bring along: messages of `types` after a seq, for the streams named."""

    types: frozenset[str]
    after: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPending:
    """The next pending message has a type that this worker does not know.

    Attributes:
        type: the type.
        seq: its seq.
        known_elsewhere: a live worker lists the type for this group.
    """

    type: str
    seq: int
    known_elsewhere: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What a claim has to handle, read by one snapshot.

    Attributes:
        claim: the claim.
        messages: pending messages from `claim.next_seq` on, in seq order, of known types only: they
            end before the first one of an unknown type.
        looked_to: every subscribed message up to this seq is in `messages` or does not exist.
        head: the stream's head in that snapshot.
        unknown: set if the very next subscribed message is of an unknown type and `messages` is
            empty.
        tail: history asked for, in seq order.
        tail_to: every message of the asked types in (after, tail_to] is in `tail`.
    """

    claim: Claim
    messages: tuple[StoredMessage, ...]
    looked_to: int
    head: int
    unknown: UnknownPending | None = None
    tail: tuple[StoredMessage, ...] = ()
    tail_to: int = 0


# --- committing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """Handled up to `ack_seq`: give the claim back; a row stays only if more is pending.

    The row that stays has attempts 0 and is no longer suspect.
    """


@dataclass(frozen=True, slots=True)
class Keep:
    """Handled up to `ack_seq`: hold the claim for the rest, which counts as its first attempt.

    If nothing is pending after `ack_seq`, the row is deleted as with `Done`.
    """


@dataclass(frozen=True, slots=True)
class Release:
    """Give the claim back; without an `ack_seq` the attempt is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Give the claim back until a moment, by the store's clock: `at`, or `after` from now.

    Attributes:
        error: what is kept of the failure, as JSON; None leaves what is there.
        counts: False if this was no attempt of the message (the attempt is taken back).
    """

    at: datetime | None = None
    after: timedelta | None = None
    error: str | None = None
    counts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Set the stream aside until an operator retries or skips.

    Attributes:
        error: what is kept of the failure, as JSON.
    """

    error: str


Then = Done | Keep | Release | Retry | Park

Connection = Any  # the store's own connection: psycopg's, SQLAlchemy's, or None in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCommit:
    """What is committed for one claimed stream.

    Attributes:
        claim: the claim it is done under.
        ack_seq: every message of the group up to here is handled; None: none was.
        then: what becomes of the claim. `Done` and `Keep` need an `ack_seq`. After an ack that is
            followed by `Retry` or `Park` the next message counts one attempt.
        append: outputs, in order, to any stream.
        schedule: outputs for later.
        expect: stream → expectation, checked with what earlier streams of this batch append.
        sync: writes the user's rows through the store's connection, inside the transaction.
        snapshot: state to keep.
    """

    claim: Claim
    ack_seq: int | None = None
    then: Then = field(default_factory=Done)
    append: tuple[NewMessage, ...] = ()
    schedule: tuple[ScheduledMessage, ...] = ()
    expect: Mapping[str, Expectation] = field(default_factory=dict)
    sync: Callable[[Connection], None] | None = None
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a commit did.

    Attributes:
        messages: outputs with their places, in the order of the batch.
        kept: stream → the claim for the rest, where `Keep` was asked and something is pending.
        groups: the groups for which a delivery row was made or became ready, for hints.
    """

    messages: tuple[StoredMessage, ...]
    kept: Mapping[str, Claim]
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitOfWork:
    """A chain that was decided in memory and is written in one transaction.

    Attributes:
        messages: new messages in order, over any number of streams.
        handled: (group, stream) → ids of those of `messages` that the group has handled itself. The
            group must be active and have no delivery for the stream; no delivery of these
            messages to it is made, of all others it is.
        expect: stream → expectation.
        schedule: for later.
        sync: writes the user's rows, first, inside the transaction.
        snapshots: states to keep.
    """

    messages: tuple[NewMessage, ...]
    handled: Mapping[tuple[str, str], frozenset[UUID]]
    expect: Mapping[str, Expectation] = field(default_factory=dict)
    schedule: tuple[ScheduledMessage, ...] = ()
    sync: Callable[[Connection], None] | None = None
    snapshots: tuple[Snapshot, ...] = ()


# --- reading the log ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPage:
    """Messages of one stream, and how far the page looked.

    Attributes:
        messages: in seq order.
        to: every message asked for in (after, to] is in `messages`; equal to `head`, or to `upto`,
            or to the last message's seq when `limit` ended the page.
        head: the stream's head in the same snapshot; 0 if there is no such stream.
    """

    messages: tuple[StoredMessage, ...]
    to: int
    head: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Messages of the whole log by position.

    Attributes:
        messages: in position order (descending when read backwards).
        next_after: pass this to read on; nothing can appear behind it later.
        waiting_for: who holds back what comes next (pid, application, age), if somebody does.
    """

    messages: tuple[StoredMessage, ...]
    next_after: int
    waiting_for: tuple[str, ...] = ()


# --- the port -------------------------------------------------------------------------------------


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
        resumed by whoever registers next. Types are never removed. A group known under a former
        name in `was` is renamed. Types added to a known group count from its `next_seq` where
        something is pending, else from the head.
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
        """Forget a group: its subscriptions, deliveries and snapshots.

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
    ) -> list[Claim]:
        """Take hold of up to `max_streams` ready deliveries of a group, oldest `ready_at` first.

        Counts the attempt and draws an epoch for each. A suspect delivery is claimed alone. Nothing
        for a group that is not active or unknown, or for a worker without a row.

        Args:
            group: the consumer group.
            worker_id: the worker, which has joined.
            max_streams: at most so many.
            stream_ids: only these streams, if given.
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
                raised. What `sync` raises is raised as it is.
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

    def read_snapshots(
        self, group: str, stream_ids: Collection[str], *, version: int
    ) -> Mapping[str, Snapshot]:
        """Return the snapshots of this version, by stream."""
        ...

    # the caller's transaction, the reader's connection, hints

    def connection(self) -> AbstractContextManager[Connection]:
        """Give the store's own connection for reads outside the commit's transaction."""
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

        Returns:
            A function that ends the subscription.
        """
        ...

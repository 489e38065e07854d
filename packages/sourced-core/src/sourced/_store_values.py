"""What the store port takes and gives: frozen values, without behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sourced._numbers import checked_place
from sourced._records import NewMessage, ScheduledMessage, StoredMessage

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
    "StreamCommit",
    "StreamPage",
    "Tails",
    "Then",
    "UnitOfWork",
    "UnknownPending",
    "UnlessSince",
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

    def __post_init__(self) -> None:
        _check_seq(self)


@dataclass(frozen=True, slots=True)
class UnlessSince:
    """Append only if no message of these types came after this seq."""

    seq: int
    types: frozenset[str]

    def __post_init__(self) -> None:
        _check_seq(self)


def _check_seq(expectation: ExpectedSeq | UnlessSince) -> None:
    """Refuse what is no seq here, so that no store compares it in its own way."""
    checked = checked_place(expectation.seq, "expected_seq")
    if checked is not expectation.seq:  # it was beyond every database
        object.__setattr__(expectation, "seq", checked)


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

"""What reactors ask for, as values: append, schedule, sync, ack, fail.

A reactor never acts. `handle_batch` returns outcomes in order, and the engine turns them into one
transaction. `Ack(seq)` closes a prefix: what stands before it is committed if everything up to it
can be. What follows the last ack of a list that ends in `Fail` is dropped. A list without `Ack` and
`Fail` acknowledges the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sourced._messages import Message
from sourced._records import NewMessage

__all__ = [
    "Ack",
    "AfterCommit",
    "Append",
    "Dispatch",
    "Evolved",
    "Expect",
    "Fail",
    "Outcome",
    "Outcomes",
    "Schedule",
    "SnapshotTaken",
    "Sync",
    "SyncTogether",
    "Yielded",
]

M_co = TypeVar("M_co", bound=Message, covariant=True)


@dataclass(frozen=True, slots=True)
class Dispatch(Generic[M_co]):
    """A message that a reaction sends elsewhere, later, or with more meta.

    Attributes:
        message: the message, usually a command.
        to: the stream; the source's own when None.
        at: not before this moment (aware).
        after: not before so long from now; one of `at` and `after` at most.
        meta: user keys to add to the envelope.
    """

    message: M_co
    to: str | None = None
    at: datetime | None = None
    after: timedelta | None = None
    meta: Mapping[str, Any] | None = None


Yielded = Iterator["Message | Dispatch[Message]"]


@dataclass(frozen=True, slots=True)
class Append:
    """Record a message, complete with causation, at the end of a stream.

    Attributes:
        encoded: the message as it was when it was yielded, addressed to `to`; what is stored. Left
            out, the message is encoded when the outcomes are taken.
    """

    message: Message
    to: str
    encoded: NewMessage | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Record a message when it is due: at a moment, or so long after the commit.

    Attributes:
        encoded: as in `Append`.
    """

    message: Message
    to: str
    at: datetime | None = None
    after: timedelta | None = None
    encoded: NewMessage | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Sync:
    """Run inside the commit's transaction, with the store's connection; may return an awaitable."""

    run: Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class SyncTogether:
    """Join the syncs of all streams of the commit: one call for those with an equal `key`.

    Attributes:
        key: what makes calls joinable; the reactor itself.
        run: called once with the items of all streams, in order, and the connection.
        item: this stream's part.
    """

    key: object
    run: Callable[[Sequence[Any], Any], object]
    item: Any


@dataclass(frozen=True, slots=True)
class AfterCommit:
    """Run after the commit, at most once; may return an awaitable; errors are logged."""

    run: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Expect:
    """Commit only if nothing of these types came to the reactor's own stream after this seq."""

    seq: int
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Evolved:
    """State to remember once the commit has happened, thrown away otherwise.

    Attributes:
        role: `"decide"` for the newest state, `"react"` for the state as of the last reaction: they
            are two evolutions, kept apart.
        state: the state; the reactor has let go of it.
        seq: as of this seq of the stream, not counting what `includes_appended` says.
        includes_appended: the state includes the events appended to the own stream by this list.
        snapshot_seq: the seq of the last snapshot known, 0 if none.
    """

    role: str
    state: Any
    seq: int
    includes_appended: bool = False
    snapshot_seq: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """An encoded state of the own stream, as of a seq, to be stored with the ack."""

    seq: int
    version: int
    state: str


@dataclass(frozen=True, slots=True)
class Ack:
    """Everything up to this seq is handled, with all that stands before in the list."""

    seq: int


@dataclass(frozen=True, slots=True)
class Fail:
    """The message at this seq failed; nothing after it was tried."""

    seq: int
    error: BaseException


Outcome = (
    Append
    | Schedule
    | Sync
    | SyncTogether
    | AfterCommit
    | Expect
    | Evolved
    | SnapshotTaken
    | Ack
    | Fail
)
Outcomes = Sequence[Outcome]

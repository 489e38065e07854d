"""Every error that Sourced raises: one base, one leaf per different reaction of the caller.

```
SourcedError
├── DefinitionError (TypeError)        a class or handler is written wrongly: mend the code
│   ├── DuplicateTypeError             one type string, two message classes
│   └── HandlerError                   a handler's signature does not fit
├── UsageError (TypeError)             a call that can never be right, wherever it is made
├── MessageError (ValueError)          the data of a message is refused; nothing was written
│   ├── UnknownTypeError               no message class has this type
│   └── PayloadError                   fields that do not fit, all of them, by path
├── ConfigurationError                 app, groups, stores: mend the wiring
│   ├── RegistrationError              two reactors under one group, two deciders of one command
│   ├── UnknownGroupError              no such consumer group
│   └── StoreUrlError                  a store URL that no installed package understands
├── StoreError                         what the store answers
│   ├── StoreUnavailableError          cannot be reached: try again later
│   │   ├── StatementTimeoutError      a statement of your own waited too long: see for what
│   │   └── StreamLockedError          somebody's transaction keeps a stream locked: end it
│   ├── SchemaError                    not installed, or of another version: install or migrate
│   ├── IsolationError                 the caller's transaction has the wrong isolation level
│   ├── ConcurrencyError               an append's expectation does not hold: load and decide again
│   ├── DuplicateMessageError          the message id is stored already
│   ├── ClaimLostError                 another worker holds the claim now: drop what you have
│   ├── CommitRefusedError             some streams of a batch were refused; names each, and why
│   └── NotFoundError                  no such message, stream, delivery or scheduled message
└── HandlingError                      a command cannot be handled here and now
    ├── BusyError (TimeoutError)       somebody else is at it: try again
    ├── StreamParkedError              the stream waits for an operator
    ├── GroupStoppedError              the group waits for an operator
    ├── LoopError                      a unit or a drain that does not come to rest
    ├── WorkerDiedError                the process died while it handled the message, each time
    └── WaitTimeoutError (TimeoutError) what was waited for is still pending
```

Facts are attributes (and positional `args`, so errors survive pickling); the sentence is
`str(error)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

__all__ = [
    "BusyError",
    "ClaimLostError",
    "CommitRefusedError",
    "ConcurrencyError",
    "ConfigurationError",
    "DefinitionError",
    "DuplicateMessageError",
    "DuplicateTypeError",
    "GroupStoppedError",
    "HandlerError",
    "HandlingError",
    "IsolationError",
    "LoopError",
    "MessageError",
    "NotFoundError",
    "PayloadError",
    "RegistrationError",
    "SchemaError",
    "SourcedError",
    "StatementTimeoutError",
    "StoreError",
    "StoreUnavailableError",
    "StoreUrlError",
    "StreamLockedError",
    "StreamParkedError",
    "UnknownGroupError",
    "UnknownTypeError",
    "UsageError",
    "WaitTimeoutError",
    "WorkerDiedError",
]


class SourcedError(Exception):
    """The base of every error that Sourced raises on purpose."""


# --- definitions and usage ------------------------------------------------------------------------


class DefinitionError(SourcedError, TypeError):
    """A class or a handler is written wrongly; raised when it is defined.

    Attributes:
        where: the class or function, by qualified name.
        problem: what is wrong and what would be right, one sentence.
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(where, problem)
        self.where = where
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


class DuplicateTypeError(DefinitionError):
    """Two different message classes claim the same type string."""


class HandlerError(DefinitionError):
    """A handler's signature or annotation does not fit its decorator."""


class UsageError(SourcedError, TypeError):
    """A call that can never be right, such as performing a command inside a handler.

    Attributes:
        problem: what is wrong and what to do instead, one sentence.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


# --- messages -------------------------------------------------------------------------------------


class MessageError(SourcedError, ValueError):
    """The data of a message is refused; nothing was written."""


class UnknownTypeError(MessageError):
    """No message class of this branch has this type.

    Attributes:
        type: the type asked for.
        registry: the branch that was searched, such as `Command`.
        suggestion: the nearest known type, if one is near.
    """

    def __init__(self, type: str, registry: str, suggestion: str | None = None) -> None:
        super().__init__(type, registry, suggestion)
        self.type = type
        self.registry = registry
        self.suggestion = suggestion

    def __str__(self) -> str:
        text = f"unknown type {self.type!r} in {self.registry}"
        if self.suggestion is not None:
            return f"{text}; did you mean {self.suggestion!r}?"
        return f"{text}; is the module that defines it imported?"


class PayloadError(MessageError):
    """A payload does not fit its message class; names every problem by field path.

    Attributes:
        type: the message type, or the class's name.
        problems: field path → what is wrong with it, such as
            `{"price": ["expected an integer, got 'abc'"]}`.
    """

    def __init__(self, type: str, problems: Mapping[str, Sequence[str]]) -> None:
        super().__init__(type, dict(problems))
        self.type = type
        self.problems: dict[str, list[str]] = {path: list(p) for path, p in problems.items()}

    def __str__(self) -> str:
        listed = "; ".join(f"{path}: {', '.join(texts)}" for path, texts in self.problems.items())
        return f"{self.type}: {listed}"


# --- configuration --------------------------------------------------------------------------------


class ConfigurationError(SourcedError):
    """The wiring of an app is wrong.

    Attributes:
        problem: what is wrong and what to do, one sentence.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class RegistrationError(ConfigurationError):
    """A reactor cannot be registered beside those that are."""


class UnknownGroupError(ConfigurationError):
    """No consumer group of this name is registered.

    Attributes:
        group: the name asked for.
        suggestion: the nearest known name, if one is near.
    """

    def __init__(self, group: str, suggestion: str | None = None) -> None:
        Exception.__init__(self, group, suggestion)
        self.group = group
        self.suggestion = suggestion

    def __str__(self) -> str:
        if self.suggestion is not None:
            return f"unknown group {self.group!r}; did you mean {self.suggestion!r}?"
        return f"unknown group {self.group!r}; register its reactor with app.register(...)"


class StoreUrlError(ConfigurationError):
    """A store URL that no installed package understands; says which one to install."""


# --- the store ------------------------------------------------------------------------------------


class StoreError(SourcedError):
    """What a store answers when it cannot do as it was asked; nothing was written.

    Attributes:
        problem: what happened and what to do, one sentence.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class StoreUnavailableError(StoreError):
    """The store cannot be reached or did not answer; trying again later may help."""


class StatementTimeoutError(StoreUnavailableError):
    """A statement of a handler's own, in a `sync` or `load`, waited longer than the store's limits.

    Most often somebody else holds the rows it wants. The runtime tries again later: the first ten
    times in a row are no attempt of the message, what comes after them is, with the error that the
    handler raised (`__cause__`).
    """


class StreamLockedError(StoreUnavailableError):
    """Somebody else's transaction keeps a stream of a commit locked; nothing was written.

    The runtime commits the other streams of the batch one by one, and comes back to this one later:
    no attempt of its message.
    """


class SchemaError(StoreError):
    """The store's tables are missing, or of another version than this package."""


class IsolationError(StoreError):
    """A writing verb was called in a transaction that is not READ COMMITTED."""


class ConcurrencyError(StoreError):
    """An append's expectation does not hold; nothing was written.

    Attributes:
        stream_id: the stream.
        expected_seq: the seq that the caller decided on.
        actual_seq: the stream's head now.
    """

    def __init__(self, stream_id: str, expected_seq: int, actual_seq: int) -> None:
        Exception.__init__(self, stream_id, expected_seq, actual_seq)
        self.stream_id = stream_id
        self.expected_seq = expected_seq
        self.actual_seq = actual_seq

    def __str__(self) -> str:
        return (
            f"stream {self.stream_id!r} is at seq {self.actual_seq}, not {self.expected_seq}: "
            "somebody else appended; load it again and decide again"
        )


class DuplicateMessageError(StoreError):
    """A message with this id is stored already; nothing was written.

    Attributes:
        message_id: the id.
        stream_id: the stream of the stored message; empty for one that is still scheduled.
        seq: its seq there; 0 for one that is still scheduled.
        type: its type.
    """

    def __init__(self, message_id: UUID, stream_id: str, seq: int, type: str) -> None:
        Exception.__init__(self, message_id, stream_id, seq, type)
        self.message_id = message_id
        self.stream_id = stream_id
        self.seq = seq
        self.type = type

    def __str__(self) -> str:
        return (
            f"message {self.message_id} is stored already: "
            f"{self.type!r} in stream {self.stream_id!r} at seq {self.seq}"
        )


class ClaimLostError(StoreError):
    """The claim is no longer the worker's: its lease ended or the group was reset.

    Attributes:
        group: the consumer group.
        stream_id: the stream.
    """

    def __init__(self, group: str, stream_id: str) -> None:
        Exception.__init__(self, group, stream_id)
        self.group = group
        self.stream_id = stream_id

    def __str__(self) -> str:
        return (
            f"the claim of group {self.group!r} on stream {self.stream_id!r} was lost: "
            "drop what was done for it; the present holder does it again"
        )


class CommitRefusedError(StoreError):
    """Some streams of a batch cannot be committed; the whole batch was rolled back.

    Attributes:
        failures: stream → its own error (`ClaimLostError`, `ConcurrencyError`,
            `DuplicateMessageError`, or what its sync raised). Commit the others again without them.
    """

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        Exception.__init__(self, dict(failures))
        self.failures: dict[str, Exception] = dict(failures)

    def __str__(self) -> str:
        named = "; ".join(f"{stream!r}: {error}" for stream, error in self.failures.items())
        count = len(self.failures)
        return f"commit refused for {count} stream{'' if count == 1 else 's'}: {named}"


class NotFoundError(StoreError):
    """No such message, stream, delivery or scheduled message."""


# --- handling here and now ------------------------------------------------------------------------


class HandlingError(SourcedError):
    """A command cannot be handled here and now; nothing was written for it.

    Attributes:
        group: the consumer group in the way.
        stream_id: the stream.
    """

    def __init__(self, group: str, stream_id: str) -> None:
        super().__init__(group, stream_id)
        self.group = group
        self.stream_id = stream_id


class BusyError(HandlingError, TimeoutError):
    """Somebody else works on this stream, or older messages wait there.

    Attributes:
        reason: `"held"`, `"retrying"`, `"filling"` or `"pending"`.
        until: when the delivery is ready again, if it waits for a retry.
    """

    def __init__(
        self, group: str, stream_id: str, reason: str, until: datetime | None = None
    ) -> None:
        Exception.__init__(self, group, stream_id, reason, until)
        self.group = group
        self.stream_id = stream_id
        self.reason = reason
        self.until = until

    def __str__(self) -> str:
        why = {
            "held": "a worker is handling it",
            "retrying": f"it waits for a retry until {self.until}",
            "filling": "the group is still being registered",
            "pending": "older messages are pending",
        }.get(self.reason, self.reason)
        return f"stream {self.stream_id!r} of group {self.group!r} is busy: {why}; try again"


class StreamParkedError(HandlingError):
    """The stream was set aside after failures and waits for an operator."""

    def __str__(self) -> str:
        return (
            f"stream {self.stream_id!r} of group {self.group!r} is parked; mend the cause, then "
            f"app.groups.retry({self.group!r}, {self.stream_id!r})"
        )


class GroupStoppedError(HandlingError):
    """The group was stopped and waits for an operator."""

    def __str__(self) -> str:
        return f"group {self.group!r} is stopped; app.groups.start({self.group!r}) starts it again"


class LoopError(HandlingError):
    """A unit or a drain did not come to rest within its bound.

    Attributes:
        steps: the bound, in messages handled.
        cycle: the last message types, oldest first.
    """

    def __init__(self, steps: int, cycle: Sequence[str]) -> None:
        Exception.__init__(self, steps, tuple(cycle))
        self.steps = steps
        self.cycle: tuple[str, ...] = tuple(cycle)
        self.group = ""
        self.stream_id = ""

    def __str__(self) -> str:
        return f"no rest after {self.steps} messages; the last were {' → '.join(self.cycle)}"


class WorkerDiedError(HandlingError):
    """The process died while it handled a message, each time it was tried.

    Attributes:
        attempts: how often it was tried.
    """

    def __init__(self, group: str, stream_id: str, attempts: int) -> None:
        Exception.__init__(self, group, stream_id, attempts)
        self.group = group
        self.stream_id = stream_id
        self.attempts = attempts

    def __str__(self) -> str:
        return (
            f"the worker's process died in each of {self.attempts} attempts of group "
            f"{self.group!r} at the next message of stream {self.stream_id!r}: look for a crash, "
            "an endless loop or a kill for lack of memory in its handler"
        )


class WaitTimeoutError(HandlingError, TimeoutError):
    """What was waited for is still pending.

    Attributes:
        pending: what is pending, one readable line each, such as
            `"group 'Listings' has not handled carts.item_added (cart-1 #2): held by web-1"`.
        seconds: how long was waited.
    """

    def __init__(self, pending: Sequence[str], seconds: float) -> None:
        Exception.__init__(self, tuple(pending), seconds)
        self.pending: tuple[str, ...] = tuple(pending)
        self.seconds = seconds
        self.group = ""
        self.stream_id = ""

    def __str__(self) -> str:
        return f"still pending after {self.seconds:g} s: {'; '.join(self.pending)}"

"""What happens to a message that fails: retry, park, stop or skip, decided per (group, stream)."""

from __future__ import annotations

import json
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from inspect import iscoroutinefunction
from typing import Literal

from sourced._failures import safe_repr
from sourced._messages import Message
from sourced._moments import due
from sourced._numbers import is_integer
from sourced.errors import ConfigurationError, UsageError

__all__ = [
    "Decision",
    "ErrorPolicy",
    "Failure",
    "Park",
    "Policy",
    "Retry",
    "Skip",
    "Stop",
    "checked_decision",
    "exponential",
    "failure_record",
    "policy_problem",
    "storable_text",
]

TEXT_BOUND = 8_000
TRACEBACK_BOUND = 32_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A message that could not be handled.

    Attributes:
        exception: what was raised, unwrapped.
        message: the message that failed; None if it could not even be decoded.
        seq: its seq.
        type: its type.
        attempt: how often it has been tried, this time included; from 1.
        correlation_id: of the message, empty if it is not known.
    """

    exception: BaseException
    message: Message | None
    message_id: str
    type: str
    seq: int
    group: str
    stream_id: str
    attempt: int
    correlation_id: str = ""

    def named(self) -> dict[str, str]:
        """Return whose failure it is, as log records carry it."""
        return {
            "group": self.group,
            "stream": self.stream_id,
            "message_id": self.message_id,
            "message_type": self.type,
            "correlation_id": self.correlation_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try again at a moment, or so long from now by the store's clock."""

    at: datetime | None = None
    after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Park:
    """Set the stream aside until an operator retries or skips; other streams go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop the whole group until an operator starts it."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Count the message as handled, unrun; leaves a row in the operations log."""

    reason: str = ""


Decision = Retry | Park | Stop | Skip
Policy = Callable[[Failure], Decision]
Callback = Callable[[Failure], None]


def exponential(
    base: timedelta = timedelta(seconds=1),
    *,
    cap: timedelta = timedelta(minutes=5),
    jitter: bool = True,
) -> Callable[[int], timedelta]:
    """Return a backoff that doubles with every attempt, from `base` up to `cap`.

    With `jitter` each delay is drawn evenly between half of it and all of it, so that streams that
    failed together do not come back together.
    """

    def delay(attempt: int) -> timedelta:
        doublings = min(attempt - 1, 40)
        full: timedelta = min(base * (1 << doublings), cap)
        return full * random.uniform(0.5, 1.0) if jitter else full

    return delay


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPolicy:
    """Retries with backoff, then parks the stream (or stops the group, or skips the message).

    Attributes:
        retries: how often a message is tried again after its first failure.
        backoff: attempt (from 1) → delay before the next one.
        then: what follows the last retry.
        on_retry, on_park, on_stop, on_skip: told of each such decision; their errors are logged.

    Raises:
        ConfigurationError: one of them is not of its kind.
    """

    retries: int = 5
    backoff: Callable[[int], timedelta] = field(default_factory=exponential)
    then: Literal["park", "stop", "skip"] = "park"
    on_retry: Callback | None = None
    on_park: Callback | None = None
    on_stop: Callback | None = None
    on_skip: Callback | None = None

    def __post_init__(self) -> None:
        if not is_integer(self.retries, least=0):
            raise _wrong("retries", "an integer of 0 or more", self.retries)
        if not callable(self.backoff):
            raise _wrong("backoff", "a function such as exponential()", self.backoff)
        if self.then not in ("park", "stop", "skip"):
            raise _wrong("then", "'park', 'stop' or 'skip'", self.then)
        for name in ("on_retry", "on_park", "on_stop", "on_skip"):
            told = getattr(self, name)
            if told is not None and not callable(told):
                raise _wrong(name, "a function of the failure", told)

    def __call__(self, failure: Failure) -> Decision:
        """Decide what happens to a message that failed."""
        if failure.attempt <= self.retries:
            return Retry(after=self.backoff(failure.attempt))
        if self.then == "stop":
            return Stop(reason=f"{failure.type} failed {_times(failure.attempt)}")
        if self.then == "skip":
            what = safe_repr(failure.exception)
            return Skip(reason=f"failed {_times(failure.attempt)}: {what}")
        return Park()

    def told(self, decision: Decision) -> Callback | None:
        """Return the callback that wants to know of this decision."""
        if isinstance(decision, Retry):
            return self.on_retry
        if isinstance(decision, Park):
            return self.on_park
        return self.on_stop if isinstance(decision, Stop) else self.on_skip


def policy_problem(policy: object) -> str | None:
    """Return why something is no error policy and what would be one, if it is none."""
    if isinstance(policy, type):
        got = f"the class {policy.__name__}; write {policy.__name__}(…)"
    elif iscoroutinefunction(policy):
        got = f"an async function, {policy.__name__}"
    elif not callable(policy):
        got = safe_repr(policy)
    else:
        return None
    return (
        "must be an ErrorPolicy(retries=…), or a function of the failure that returns "
        f"Retry(after=…), Park(), Stop() or Skip(), got {got}"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _wrong(name: str, wanted: str, got: object) -> ConfigurationError:
    return ConfigurationError(f"an error policy's {name} must be {wanted}, got {safe_repr(got)}")


def checked_decision(decision: object, now: datetime) -> Decision:
    """Return what a policy decided.

    Raises:
        UsageError: it is none of the four decisions, or a retry at no sensible moment.
    """
    if not isinstance(decision, Retry | Park | Stop | Skip):
        raise UsageError(
            f"an error policy returned {safe_repr(decision)}; "
            "return Retry(after=…), Park(), Stop() or Skip()"
        )
    if isinstance(decision, Retry):
        due(lambda: now, at=decision.at, after=decision.after)
    return decision


def failure_record(failure: Failure, *, worker: str, code_version: str, at: datetime) -> str:
    """Return what is stored of a failure, as the JSON text of an object.

    Texts are free of NUL and lone surrogates and bounded: 8,000 characters of message, 32,000 of
    traceback (its end, where the cause is).
    """
    error = failure.exception
    return json.dumps(
        {
            "class": f"{type(error).__module__}.{type(error).__qualname__}",
            "text": storable_text(_text_of(error), TEXT_BOUND),
            "traceback": storable_text(_traceback_of(error), TRACEBACK_BOUND, keep_end=True),
            "message_id": failure.message_id,
            "type": failure.type,
            "seq": failure.seq,
            "attempt": failure.attempt,
            "worker": worker,
            "code_version": code_version,
            "at": at.isoformat(),
        },
        ensure_ascii=False,
    )


def storable_text(text: str, bound: int, *, keep_end: bool = False) -> str:
    """Return a text that every store and terminal takes: no NUL, no lone surrogate, bounded."""
    if len(text) > bound:
        text = "… " + text[-bound:] if keep_end else text[:bound] + " …"
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - a broken __str__ must not cost the failure path
        return f"<{type(error).__qualname__} whose __str__ raised {type(broken).__qualname__}>"


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001 - as above
        return f"<no traceback: {type(broken).__qualname__}>"

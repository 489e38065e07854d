"""The numbers an app runs by, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from sourced._errors_policy import ErrorPolicy, Policy, policy_problem
from sourced._failures import safe_repr
from sourced._numbers import is_integer
from sourced.errors import ConfigurationError

__all__ = ["Settings", "check_app"]

_SPANS = (
    "lease",
    "heartbeat",
    "poll_interval",
    "breaker_window",
    "batch_budget",
    "stalled_after",
)
_LEAST = {"breaker": 1, "max_streams": 1, "max_messages": 1, "cache_size": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an app's workers behave.

    Attributes:
        lease: how long a worker that is not heard of keeps its claims; at least 3 × `heartbeat`.
        heartbeat: how often a worker says that it lives.
        poll_interval: how often an idle worker looks for work.
        errors: what happens to messages that fail, unless a reactor says otherwise.
        breaker: a group is stopped when more than so many of its streams park ...
        breaker_window: ... within this time.
        max_streams: streams per claim, unless a reactor says otherwise.
        max_messages: messages per stream and claim, unless a reactor says otherwise.
        batch_budget: after so long of handling, what is done is committed.
        cache_size: states remembered per process.
        stalled_after: the progress check is red when something has been ready for so long and
            nothing of its group was acked meanwhile.
        code_version: kept with worker rows and failures.

    Raises:
        ConfigurationError: one of them is not of its kind, or too small.
    """

    lease: timedelta = timedelta(seconds=15)
    heartbeat: timedelta = timedelta(seconds=5)
    poll_interval: timedelta = timedelta(seconds=1)
    errors: Policy = field(default_factory=ErrorPolicy)
    breaker: int = 20
    breaker_window: timedelta = timedelta(minutes=1)
    max_streams: int = 50
    max_messages: int = 50
    batch_budget: timedelta = timedelta(milliseconds=200)
    cache_size: int = 2_000
    stalled_after: timedelta = timedelta(minutes=1)
    code_version: str = ""

    def __post_init__(self) -> None:
        for name in _SPANS:
            self._check_span(name)
        for name, least in _LEAST.items():
            if not is_integer(getattr(self, name), least=least):
                raise self._wrong(name, f"an integer of {least} or more")
        if not isinstance(self.code_version, str):
            raise self._wrong("code_version", "a text")
        if (problem := policy_problem(self.errors)) is not None:
            raise ConfigurationError(f"errors {problem}")
        if self.lease / 3 < self.heartbeat:
            raise ConfigurationError(
                f"lease ({self.lease}) must be at least three heartbeats ({self.heartbeat} each): "
                "otherwise one late beat costs a living worker its claims"
            )

    def _check_span(self, name: str) -> None:
        span = getattr(self, name)
        if not isinstance(span, timedelta):
            raise self._wrong(name, "a timedelta such as timedelta(seconds=15)")
        if span < timedelta(0) or (name != "batch_budget" and not span):
            raise self._wrong(name, "0 or more" if name == "batch_budget" else "positive")

    def _wrong(self, name: str, wanted: str) -> ConfigurationError:
        got = getattr(self, name)
        shown = str(got) if isinstance(got, timedelta) else safe_repr(got)
        return ConfigurationError(f"{name} must be {wanted}, got {shown}")


def check_app(store: object, clock: object, settings: object) -> None:
    """Refuse what no app can be made of.

    Raises:
        ConfigurationError: the store is neither a URL nor a store, or one of the others is not what
            it should be.
    """
    if not (store is None or isinstance(store, str) or _has(store, "append", "claim", "inspect")):
        raise _no_part("a URL such as 'sqlite:///shop.db' or a store such as MemoryStore()", store)
    if not (clock is None or _has(clock, "now", "monotonic", "sleep")):
        raise _no_part("a clock such as FakeClock()", clock)
    if not (settings is None or isinstance(settings, Settings)):
        raise _no_part("Settings(…)", settings)


def _has(value: object, *names: str) -> bool:
    return not isinstance(value, type) and all(hasattr(value, name) for name in names)


def _no_part(wanted: str, got: object) -> ConfigurationError:
    shown = f"the class {got.__name__}" if isinstance(got, type) else safe_repr(got)
    return ConfigurationError(f"an app takes {wanted}, got {shown}")

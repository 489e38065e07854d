"""The numbers an app runs by, checked once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from sourced._errors_policy import ErrorPolicy, Policy
from sourced.errors import ConfigurationError

__all__ = ["Settings"]


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
        code_version: kept with worker rows and failures.
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
    code_version: str = ""

    def __post_init__(self) -> None:
        for name in ("lease", "heartbeat", "poll_interval"):
            if getattr(self, name) <= timedelta(0):
                raise ConfigurationError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("breaker", "max_streams", "max_messages"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.lease < 3 * self.heartbeat:
            raise ConfigurationError(
                f"lease ({self.lease}) must be at least three heartbeats ({self.heartbeat} each): "
                "otherwise one late beat costs a living worker its claims"
            )

"""The clock port: what time it is, how time passes, and who stamps messages being made."""

from __future__ import annotations

import time
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "SystemClock", "ambient_clock", "from_micros", "to_micros"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC) - _EPOCH
_LAST = datetime.max.replace(tzinfo=UTC) - _EPOCH
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Whatever waits or stamps asks a clock, so that tests may turn it by hand."""

    def now(self) -> datetime:
        """Return the present as an aware UTC datetime with microseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment; never goes backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for as long as that, in seconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic time in seconds."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)


ambient_clock: ContextVar[Clock] = ContextVar("sourced_clock", default=SystemClock())
"""The clock that stamps `created_at` of messages made here; an app sets its own while it works."""


def to_micros(moment: datetime) -> int:
    """Return whole microseconds since 1970-01-01 UTC, exact for the years 1 to 9999.

    Raises:
        ValueError: the datetime is naive, or in UTC not within those years: `from_micros` could
            not return it.
    """
    if moment.tzinfo is None:
        raise ValueError(f"expected an aware datetime, got the naive {moment!r}")
    since = moment - _EPOCH
    if not _FIRST <= since <= _LAST:
        raise ValueError(f"expected a moment within the years 1 to 9999 in UTC, got {moment!r}")
    return since // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC datetime of whole microseconds since 1970-01-01."""
    return _EPOCH + timedelta(microseconds=micros)

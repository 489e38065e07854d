"""A clock that moves only when it is told to, so that tests of what takes time need no sleep."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

__all__ = ["FakeClock"]

_START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A `sourced` clock turned by hand; safe to share between threads.

    Give it to a store or an app in place of the machine's clock. Nothing passes by itself; `sleep`
    returns at once and moves the clock by what would have been slept.

    Args:
        start: what the clock shows at first: aware, by default 2026-01-01 in UTC.
    """

    def __init__(self, start: datetime = _START) -> None:
        self._lock = threading.Lock()
        self._start = _in_utc(start)
        self._now = self._start

    def now(self) -> datetime:
        """Return what the clock shows, in UTC."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Return the seconds that have passed since the clock was made."""
        return (self.now() - self._start).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Move the clock by what a sleeper would have waited; do not wait."""
        self._move(timedelta(seconds=max(seconds, 0)))

    def advance(
        self,
        seconds: float = 0,
        *,
        microseconds: float = 0,
        milliseconds: float = 0,
        minutes: float = 0,
        hours: float = 0,
        days: float = 0,
    ) -> datetime:
        """Move the clock forward.

        Returns:
            What it shows now.

        Raises:
            ValueError: the sum is negative; time does not go backwards.
        """
        step = timedelta(
            days=days,
            hours=hours,
            minutes=minutes,
            seconds=seconds,
            milliseconds=milliseconds,
            microseconds=microseconds,
        )
        if step < timedelta(0):
            raise ValueError(f"cannot advance by {step}: time does not go backwards")
        return self._move(step)

    def advance_to(self, moment: datetime) -> datetime:
        """Move the clock forward to a moment.

        Returns:
            What it shows now, in UTC.

        Raises:
            ValueError: the moment is naive, or has passed.
        """
        target = _in_utc(moment)
        with self._lock:
            if target < self._now:
                raise ValueError(
                    f"cannot advance to {target}: it is {self._now} already "
                    "and time does not go backwards"
                )
            self._now = target
            return self._now

    def _move(self, step: timedelta) -> datetime:
        with self._lock:
            self._now += step
            return self._now


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"expected an aware datetime, got the naive {moment!r}")
    return moment.astimezone(UTC)

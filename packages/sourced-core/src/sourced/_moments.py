"""Moments and delays that users name: aware, in the years 1 to 9999, and said in one way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sourced._failures import safe_repr
from sourced.errors import UsageError

__all__ = ["checked_delay", "checked_moment", "due"]


def checked_moment(at: object) -> datetime:
    """Return a moment in UTC.

    Raises:
        UsageError: it is no aware datetime, or not within the years 1 to 9999 in UTC.
    """
    if not isinstance(at, datetime) or at.tzinfo is None or at.utcoffset() is None:
        raise UsageError(f"at= must be an aware datetime, got {safe_repr(at)}")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(f"at= must be within the years 1 to 9999 in UTC, got {at!r}") from error


def checked_delay(after: object) -> timedelta:
    """Return a delay.

    Raises:
        UsageError: it is no timedelta of 0 or more.
    """
    if not isinstance(after, timedelta) or after < timedelta(0):
        raise UsageError(f"after= must be a timedelta of 0 or more, got {safe_repr(after)}")
    return after


def due(now: Callable[[], datetime], *, at: object, after: object) -> datetime:
    """Return the moment meant by one of `at` and `after`.

    Raises:
        UsageError: neither or both are given, or the one that is makes no sense.
    """
    if (at is None) == (after is None):
        raise UsageError("give at= or after=, one of them")
    if at is not None:
        return checked_moment(at)
    delay = checked_delay(after)
    try:
        return now() + delay
    except OverflowError as error:
        raise UsageError(f"after= reaches beyond the year 9999, got {delay!r}") from error

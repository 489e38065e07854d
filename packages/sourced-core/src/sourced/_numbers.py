"""Numbers that users name: places in the log, limits, seconds; each said in one way."""

from __future__ import annotations

from math import isnan

from sourced._failures import safe_repr
from sourced.errors import UsageError

__all__ = ["checked_bound", "checked_limit", "checked_place", "checked_seconds", "is_integer"]

MOST = 2**63 - 1
"""The largest number that databases know. Nothing is beyond it, so larger ones mean the same."""


def is_integer(number: object, *, least: int) -> bool:
    """Return whether something is an integer of so much or more; True and False are none."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


def checked_limit(limit: object, name: str = "limit") -> int:
    """Return how many there may be at most.

    Raises:
        UsageError: it is no integer of 1 or more.
    """
    return _checked_integer(limit, name, least=1)


def checked_place(place: object, name: str) -> int:
    """Return a seq or a position, or a bound of them.

    Raises:
        UsageError: it is no integer of 0 or more.
    """
    return _checked_integer(place, name, least=0)


def checked_bound(bound: object, name: str) -> int | None:
    """Return a seq or a position, or None for no bound.

    Raises:
        UsageError: it is neither None nor an integer of 0 or more.
    """
    return None if bound is None else checked_place(bound, name)


def checked_seconds(seconds: object, name: str) -> float:
    """Return how long something may take; less than 0 is no time at all.

    Raises:
        UsageError: it is no number.
    """
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or isnan(seconds):
        raise UsageError(f"{name}= must be a number of seconds, got {safe_repr(seconds)}")
    return float(seconds)


def _checked_integer(number: object, name: str, *, least: int) -> int:
    if not is_integer(number, least=least):
        raise UsageError(f"{name}= must be an integer of {least} or more, got {safe_repr(number)}")
    assert isinstance(number, int)
    return min(number, MOST)

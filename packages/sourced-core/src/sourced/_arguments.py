"""What every store refuses before it looks at anything: numbers, names and starts without sense."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sourced._failures import safe_repr
from sourced._json_text import name_problem
from sourced._moments import checked_moment
from sourced._store_values import BEGINNING, NOW, Start
from sourced.errors import RegistrationError, UsageError

__all__ = ["check_group", "checked_bound", "checked_limit", "checked_place", "checked_start"]

MOST = 2**63 - 1
"""The largest number that databases know. Nothing is beyond it, so larger ones mean the same."""


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


def checked_start(start: object) -> Start:
    """Return where a new group starts, a moment in UTC.

    Raises:
        RegistrationError: it is neither of the two words nor a moment.
    """
    for word in (BEGINNING, NOW):
        if isinstance(start, str) and start == word:
            return word
    try:
        if isinstance(start, datetime):
            return checked_moment(start)
    except UsageError as error:
        raise RegistrationError(_no_start(start)) from error
    raise RegistrationError(_no_start(start))


def check_group(name: object, was: Iterable[object] = ()) -> None:
    """Refuse names of a group, present or former, that could not be stored.

    Raises:
        RegistrationError: says why.
    """
    for each in (name, *was):
        if (problem := name_problem(each)) is not None:
            raise RegistrationError(
                f"the group name {safe_repr(each)} {problem}; name it with a text of 1 to 255 "
                "characters"
            )


def _checked_integer(number: object, name: str, *, least: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise UsageError(f"{name}= must be an integer of {least} or more, got {safe_repr(number)}")
    return min(number, MOST)


def _no_start(start: object) -> str:
    return (
        f"start= must be {BEGINNING!r}, {NOW!r} or an aware datetime within the years 1 to 9999, "
        f"got {safe_repr(start)}"
    )

"""Names to look something up by: one that could never be stored is a name that nothing has."""

from __future__ import annotations

from collections.abc import Iterable

from sourced._json_text import text_problem
from sourced.errors import UnknownGroupError
from sourced_postgres._rows import text_array

__all__ = ["findable", "known", "listed"]


def findable(name: str) -> str | None:
    """Return the name of what may be there; None, which equals nothing, if nothing can be."""
    return name if text_problem(name) is None else None


def known(group: str) -> str:
    """Return the name of a group that may be there.

    Raises:
        UnknownGroupError: none can be.
    """
    if findable(group) is None:
        raise UnknownGroupError(group)
    return group


def listed(names: Iterable[str]) -> str:
    """Return the literal of an array of the names that may be there, each once."""
    return text_array(name for name in sorted(set(names)) if findable(name) is not None)

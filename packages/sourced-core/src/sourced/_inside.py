"""Who is inside a transaction: the thread that opened it, and all that runs in its context.

A thread's id is not enough: an async sync runs in the thread of an event loop, while the thread of
the transaction waits for it. Whoever is inside must never wait for the transaction to end, so a
store refuses it at once what it would let others wait for.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import Final

__all__ = ["Inside"]


class _Mark:
    """One transaction, in the context of those that are inside; `is_open` until it ends."""

    __slots__ = ("is_open",)

    def __init__(self) -> None:
        self.is_open = True


_marks: Final[ContextVar[frozenset[_Mark]]] = ContextVar("sourced_inside", default=frozenset())


class Inside:
    """Knows who is inside the one transaction that something has open, if any."""

    __slots__ = ("_opened",)

    def __init__(self) -> None:
        # One value, so that other threads never see a half of it.
        self._opened: tuple[int, _Mark] | None = None

    @property
    def is_here(self) -> bool:
        """Whether this code runs in the transaction's thread, or in a copy of its context."""
        opened = self._opened
        if opened is None:
            return False
        thread, mark = opened
        return thread == threading.get_ident() or mark in _marks.get()

    def enter(self) -> None:
        """Note that this thread and context have opened the transaction."""
        mark = _Mark()
        # A transaction may be ended in another context, which leaves its mark behind in this one.
        _marks.set(frozenset({*filter(_is_open, _marks.get()), mark}))
        self._opened = threading.get_ident(), mark

    def leave(self) -> None:
        """Note that the transaction has ended: copies of its context are not inside any more."""
        opened, self._opened = self._opened, None
        if opened is not None:
            _, mark = opened
            mark.is_open = False
            _marks.set(_marks.get() - {mark})


def _is_open(mark: _Mark) -> bool:
    return mark.is_open

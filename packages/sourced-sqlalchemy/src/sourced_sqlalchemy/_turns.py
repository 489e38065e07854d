"""One writer at a time within a process, served in the order of asking.

SQLite lets one transaction write at a time, and lets those that wait poll for their turn: with
many threads some would starve. So the threads of a process queue up here first, and only the one
at the head of the queue competes for the file with other processes.
"""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path
from weakref import WeakValueDictionary

from sourced._inside import Inside

__all__ = ["Turns", "turns_of"]


class Turns:
    """A lock that is handed over in the order of asking, and knows who has it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew, as a forked child must: whoever waited or held is not there any more."""
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._holder = Inside()
        self._taken = False

    @property
    def is_mine(self) -> bool:
        """Whether this code is inside the turn: in its thread, or in a copy of its context."""
        return self._holder.is_here

    def take(self, timeout: float) -> bool:
        """Wait for one's turn for so many seconds; False if it did not come."""
        if not self._take_or_queue(timeout):
            return False
        self._holder.enter()
        return True

    def give(self) -> None:
        """Hand the turn to whoever has waited longest."""
        with self._mutex:
            self._holder.leave()
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

    def _take_or_queue(self, timeout: float) -> bool:
        with self._mutex:
            if not self._taken:
                self._taken = True
                return True
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
        try:
            if gate.acquire(timeout=timeout):
                return True
        except BaseException:
            if not self._leave_queue(gate):
                self.give()
            raise
        # If it is not in the queue any more, it was handed over at the moment of giving up.
        return not self._leave_queue(gate)

    def _leave_queue(self, gate: threading.Lock) -> bool:
        with self._mutex:
            if gate not in self._waiting:
                return False
            self._waiting.remove(gate)
            return True


_turns: WeakValueDictionary[Path, Turns] = WeakValueDictionary()
_turns_mutex = threading.Lock()


def turns_of(file: Path | None) -> Turns:
    """Return the turns of a database: one object per file in this process, however opened."""
    if file is None:
        return Turns()
    with _turns_mutex:
        return _turns.setdefault(file.resolve(), Turns())

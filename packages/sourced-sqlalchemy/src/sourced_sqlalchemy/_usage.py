"""Which threads use connections just now, so that a fork can wait until none does.

SQLite keeps what it has locked in the memory of the process, while the kernel keeps the locks
themselves per process: a child that inherits an open connection believes to hold locks that it does
not have, or is shut out by ones that nobody will ever give back. So a fork waits, for a moment, for
the transactions of other threads to end, and then all connections are closed before it happens.
"""

from __future__ import annotations

import threading
from collections import Counter

__all__ = ["Usage"]


class Usage:
    """Counts the connections that each thread uses; new ones wait while a fork is on.

    Attributes:
        is_forking: whether one is on.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start anew, as a forked child must."""
        self._changed = threading.Condition()
        self._counts: Counter[int] = Counter()
        self.is_forking = False

    def enter(self) -> None:
        """Note that this thread is about to use a connection, one more."""
        mine = threading.get_ident()
        with self._changed:
            # Who has one already may take a second: the fork waits for it to finish.
            while self.is_forking and not self._counts[mine]:
                self._changed.wait()
            self._counts[mine] += 1

    def leave(self) -> None:
        """Note that this thread uses one less."""
        mine = threading.get_ident()
        with self._changed:
            self._counts[mine] -= 1
            if not self._counts[mine]:
                del self._counts[mine]
                self._changed.notify_all()

    def begin_fork(self, timeout: float) -> bool:
        """Let no more begin, and wait so many seconds until no other thread uses any."""
        mine = threading.get_ident()
        with self._changed:
            self.is_forking = True
            return self._changed.wait_for(lambda: set(self._counts) <= {mine}, timeout)

    def end_fork(self) -> None:
        """Let everybody begin again."""
        with self._changed:
            self.is_forking = False
            self._changed.notify_all()

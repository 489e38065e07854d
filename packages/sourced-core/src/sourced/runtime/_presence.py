"""The process's row in the store, renewed when a claim may have been left over.

A worker that lives keeps its claims. So a claim of which the process does not know (its answer was
lost with the connection, or it could not be given back) would be kept for as long as the process
lives. After a round that leaves doubt, later rounds therefore claim as another worker, and the
former one leaves, which frees what it still holds, once the last round that began under it has
ended.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from sourced._session import Session

__all__ = ["Presence"]


class Presence:
    """The session in use, and those that are waiting for their last round.

    Args:
        make: makes a session that has not joined.
    """

    def __init__(self, make: Callable[[], Session]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._current = make()
        self._former: list[Session] = []
        self._rounds: Counter[Session] = Counter()
        self._is_doubtful = False

    def join(self) -> None:
        """Write the process's row; nothing can be claimed before.

        Raises:
            StoreUnavailableError, SchemaError: the store is not there, or not ready.
        """
        self._current.__enter__()

    def begin(self) -> Session:
        """Return the session of a round that begins."""
        with self._lock:
            self._rounds[self._current] += 1
            return self._current

    def end(self, session: Session, *, in_doubt: bool = False) -> None:
        """Note that a round has ended, and whether it may have left a claim over."""
        with self._lock:
            self._rounds[session] -= 1
            self._is_doubtful |= in_doubt and session is self._current

    def mend(self) -> None:
        """Take another session if the present one is in doubt; let former ones leave.

        Raises:
            StoreUnavailableError: the store is away; try again later.
        """
        if self._is_doubtful:
            fresh = self._make()
            fresh.__enter__()
            with self._lock:
                self._former.append(self._current)
                self._current, self._is_doubtful = fresh, False
        for session in self._ended():
            session.__exit__(None, None, None)

    def beat(self) -> None:
        """Say that this process lives, before it counts the dead: it may have been frozen."""
        self._current.beat()

    def leave(self) -> None:
        """Free all claims of the process and delete its rows."""
        for session in [*self._former, self._current]:
            session.__exit__(None, None, None)

    def _ended(self) -> list[Session]:
        with self._lock:
            ended = [session for session in self._former if not self._rounds[session]]
            self._former = [session for session in self._former if self._rounds[session]]
        return ended

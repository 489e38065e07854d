"""The memory store's lock: whoever is inside it passes again, also from another thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sourced._inside import Inside

__all__ = ["StoreLock"]


class StoreLock:
    """Lets one in at a time, and with it all that runs in its context: it waits for those.

    Those who share a context are not kept from one another, as with a database's connection.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = Inside()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock while the body runs; at once where it is held around this already."""
        if self._inside.is_here:
            yield
            return
        with self._lock:
            self._inside.enter()
            try:
                yield
            finally:
                self._inside.leave()

"""States that this process remembers, so that a long stream is not read for every command."""

from __future__ import annotations

import threading
from collections import OrderedDict

from sourced._batch import Remembered

__all__ = ["StateCache"]

Key = tuple[str, str, str]


class StateCache:
    """A bounded, thread-safe map of (group, stream, role) → state as of a seq.

    A state is taken out while it is in use and put back only after its commit, so nobody ever sees
    one that was not stored. Streams are append-only, hence an entry never becomes wrong, only old.
    """

    def __init__(self, size: int = 2_000) -> None:
        self._size = size
        self._entries: OrderedDict[Key, Remembered] = OrderedDict()
        self._lock = threading.Lock()

    def take(
        self, group: str, stream_id: str, role: str, *, below: int | None
    ) -> Remembered | None:
        """Take a state out, if there is one with a seq less than `below`."""
        key = (group, stream_id, role)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or (below is not None and entry.seq >= below):
                return None
            return self._entries.pop(key)

    def put(self, group: str, stream_id: str, role: str, entry: Remembered) -> None:
        """Put a state in that was committed; the oldest unused one goes when it is full."""
        if self._size <= 0:
            return
        key = (group, stream_id, role)
        with self._lock:
            self._entries[key] = entry
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def seq_of(self, group: str, stream_id: str, role: str) -> int | None:
        """Return the seq of a remembered state, which stays where it is."""
        with self._lock:
            entry = self._entries.get((group, stream_id, role))
            return None if entry is None else entry.seq

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

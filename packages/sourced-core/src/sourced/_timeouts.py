"""How often in a row statements of a message's handler have waited for too long.

Whoever holds a row for long delays those who want it and is no failure of theirs, so the first
waits cost a message no attempt. A handler that never gets through must not go on unseen, so the
later ones do. The count is this process's own: nothing has to be written for what is not counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import timedelta

from sourced._errors_policy import exponential

__all__ = ["FREE", "Timeouts"]

FREE = 10
"""How many in a row are no attempt of their message."""

_SIZE = 10_000
"""Streams that are remembered; the one that waited least lately goes first."""

_pause = exponential(timedelta(seconds=1), cap=timedelta(minutes=1))


class Timeouts:
    """A bounded, thread-safe map of (group, stream) → how often its message in hand has waited."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def next_of(self, group: str, stream_id: str, seq: int) -> int:
        """Return which one in a row the next is, from 1; of another message, the first."""
        with self._lock:
            counted, count = self._counts.get((group, stream_id), (seq, 0))
        return count + 1 if counted == seq else 1

    def note(self, group: str, stream_id: str, seq: int, count: int) -> None:
        """Remember that there were so many; 0 if the row has ended."""
        with self._lock:
            if not count:
                self._counts.pop((group, stream_id), None)
                return
            self._counts[group, stream_id] = seq, count
            self._counts.move_to_end((group, stream_id))
            while len(self._counts) > _SIZE:
                self._counts.popitem(last=False)

    def pause(self, count: int) -> timedelta:
        """Return for how long to leave the stream alone: from a second to a minute, jittered."""
        return _pause(count)

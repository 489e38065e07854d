"""Which group is next: first come, first served, with bursts of hints counted once."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable

__all__ = ["WorkQueue"]


class WorkQueue:
    """Groups that may have work.

    A group waits in at most `places` places, so a thousand hints cost no more than a few; whoever
    has had its turn goes to the back, so a busy group keeps no other waiting. Every method may be
    called from any thread.

    Args:
        groups: the groups served; all others are ignored.
        places: how many threads may be at one group at once.
        monotonic: tells the time for `rest`.
    """

    def __init__(
        self,
        groups: Collection[str],
        *,
        places: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._served = frozenset(groups)
        self._places = places
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._count: Counter[str] = Counter()
        self._resting: dict[str, float] = {}
        self._closed = False

    def add(self, groups: Iterable[str], *, times: int = 1) -> None:
        """Let groups wait for their turn, each `times` times if it has so many places left."""
        with self._changed:
            for group in groups:
                if group in self._served and not self._rests(group):
                    free = self._places - self._count[group]
                    self._enter(group, min(times, free))

    def take(self) -> str | None:
        """Return the group whose turn it is, as soon as there is one; None once closed."""
        with self._changed:
            while not self._closed:
                while self._waiting:
                    group = self._waiting.popleft()
                    self._count[group] -= 1
                    if not self._rests(group):
                        return group
                self._changed.wait()
            return None

    def rest(self, group: str, seconds: float) -> None:
        """Give a group no turn for so long; whoever adds it afterwards wakes it."""
        with self._changed:
            self._resting[group] = self._monotonic() + seconds

    def close(self) -> None:
        """Give no more turns; those who wait for one are told."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _enter(self, group: str, times: int) -> None:
        for _ in range(times):
            self._waiting.append(group)
            self._count[group] += 1
            self._changed.notify()

    def _rests(self, group: str) -> bool:
        until = self._resting.get(group)
        if until is None:
            return False
        if self._monotonic() < until:
            return True
        del self._resting[group]
        return False

"""How far back claims have to look for what is ready: past the dead entries that a snapshot keeps.

A claim walks the index of claimable deliveries from the oldest `ready_at` on. Entries of deliveries
that were handled are dead, but while anybody holds a snapshot open (a report, a backup, a forgotten
console) they stay, at the very head of the index, and every claim would walk past all of them.

So each process remembers, for each group, since when there can be something ready, from the rows
that its last claim returned, oldest first. Whatever makes a delivery ready sets `ready_at` to now,
with three exceptions, and for these everything is looked at once a second, and whenever this
process gave something back: a claim given back untouched keeps its place in the queue; so does what
a group had ready when it was stopped; and a caller's transaction may commit long after it appended.

A claim that got less than it asked for is followed by one that looks at everything, so that nothing
is said to be left only when nothing is; so is the first claim of every worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sourced_postgres._rows import Row

__all__ = ["LowWater"]

_FULL_LOOK: Final = 1.0
"""Seconds after which everything is looked at again: the pollers' interval."""

_IN_FLIGHT: Final = timedelta(milliseconds=250)
"""How much older than what was seen something may be that commits later."""

_READY_AT: Final = 7

Look = Callable[[datetime | None], list[Row]]
"""Claims what has been ready since a moment, or whatever is ready."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is known of one group.

    Attributes:
        since: nothing that was seen to be ready has been so for longer.
        looked_at: when everything was looked at, by the process's clock.
    """

    since: datetime
    looked_at: float


class LowWater:
    """The marks of all groups of one process; any thread may use it.

    Args:
        monotonic: the process's clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._marks: dict[str, _Mark] = {}
        self._unsure: set[str] = set()
        self._forgotten = 0
        self._mutex = threading.Lock()

    def claim(self, group: str, most: int, look: Look) -> list[Row]:
        """Claim at most so many by as short a look as will do."""
        mark, forgotten, now = self._marks.get(group), self._forgotten, self._monotonic()
        if mark is None or group in self._unsure or now - mark.looked_at >= _FULL_LOOK:
            rows = look(None)
            known = _Mark(mark.since, now) if mark is not None else None
            self._remember(group, forgotten, _Mark(_since(rows), now) if rows else known)
            self._doubt(group, 0 < len(rows) < most)
            return rows
        rows = look(mark.since)
        if rows:
            since = max(mark.since, _since(rows))
            self._remember(group, forgotten, _Mark(since, mark.looked_at))
        self._doubt(group, 0 < len(rows) < most)
        return rows

    def forget(self, groups: Iterable[str] | None = None) -> None:
        """Look at everything next time: of these groups, or of all."""
        with self._mutex:
            self._forgotten += 1
            if groups is None:
                self._marks.clear()
            else:
                for group in groups:
                    self._marks.pop(group, None)

    def _remember(self, group: str, forgotten: int, mark: _Mark | None) -> None:
        with self._mutex:
            if mark is not None and forgotten == self._forgotten:  # else something was given back
                self._marks[group] = mark

    def _doubt(self, group: str, is_unsure: bool) -> None:
        """Note whether the next claim has to look at everything before it finds nothing."""
        with self._mutex:
            (self._unsure.add if is_unsure else self._unsure.discard)(group)


def _since(rows: Sequence[Row]) -> datetime:
    """Return since when something can be ready that comes after what was claimed just now."""
    newest: datetime = rows[-1][_READY_AT]
    return newest - _IN_FLIGHT

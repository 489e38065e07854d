"""How far back claims have to look for what is ready: past the dead entries that a snapshot keeps.

A claim walks the index of claimable deliveries from the oldest `ready_at` on. Entries of deliveries
that were handled are dead, but while anybody holds a snapshot open (a report, a backup, a forgotten
console) they stay, at the very head of the index, and every claim would walk past all of them.

So each process remembers, for each group, since when there can be something ready: since what its
last claim returned, oldest first. Whatever makes a delivery ready sets `ready_at` to now, with
three exceptions: a claim given back untouched keeps its place in the queue; so does what a group
had ready when it was stopped; and a caller's transaction may commit long after it appended. What
this process gives back makes it forget. For the rest every poll looks at everything, once for all
groups: it says since when something of each has been ready, and whoever drains polls before the
claims that may find nothing. Where nobody polls, a claim looks at everything now and then itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sourced_postgres._rows import Row

__all__ = ["LowWater"]

_FULL_LOOK: Final = 2.0
"""Seconds after which a claim looks at everything: more than pollers leave between two polls."""

_IN_FLIGHT: Final = timedelta(milliseconds=250)
"""How much older than what was seen something may be that commits later."""

_FIRST: Final = datetime.min.replace(tzinfo=UTC) + _IN_FLIGHT

_READY_AT: Final = 7
"""Where a claimed row says since when it was ready."""

_GROUP: Final = 0
_SINCE: Final = 1
"""Where a row of a poll has its group, none for the last one; and since when something is ready."""

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
        self._marks: dict[str | None, _Mark] = {}  # None: of the row of a poll that is no group's
        self._forgotten = 0
        self._mutex = threading.Lock()

    def claim(self, group: str, look: Look) -> list[Row]:
        """Claim by as short a look as will do."""
        known, forgotten, now = self._marks.get(group), self._forgotten, self._monotonic()
        if known is None or now - known.looked_at >= _FULL_LOOK:
            rows = look(None)
            since = _since(rows) if rows else known.since if known is not None else None
            mark = _Mark(since, now) if since is not None else None
        else:
            rows = look(known.since)
            since = max(known.since, _since(rows)) if rows else known.since
            mark = _Mark(since, known.looked_at)
        with self._mutex:
            if mark is not None and self._is_as_before(group, known, forgotten):
                self._marks[group] = mark
        return rows

    def poll(self, look: Callable[[], list[Row]]) -> list[Row]:
        """Poll, and learn since when something of each group has been ready."""
        forgotten, now = self._forgotten, self._monotonic()
        rows = look()
        (at,) = (row[_SINCE] for row in rows if row[_GROUP] is None)
        marks = {row[_GROUP]: _Mark(_before(row[_SINCE] or at), now) for row in rows}
        with self._mutex:
            if forgotten == self._forgotten:
                self._marks |= marks
        return rows

    def forget(self, groups: Iterable[str] | None = None) -> None:
        """Look at everything next time: of these groups, or of all."""
        named = None if groups is None else set(groups)
        if named == set():
            return
        with self._mutex:
            self._forgotten += 1
            for group in list(self._marks) if named is None else named:
                self._marks.pop(group, None)

    def _is_as_before(self, group: str, known: _Mark | None, forgotten: int) -> bool:
        """Return whether nothing was given back, and no poll told anything, in the meantime."""
        return forgotten == self._forgotten and self._marks.get(group) is known


def _since(rows: Sequence[Row]) -> datetime:
    """Return since when something can be ready that comes after what was claimed just now."""
    return _before(rows[-1][_READY_AT])


def _before(moment: datetime) -> datetime:
    """Return a moment, read without its zone, less what may commit later."""
    return max(moment.replace(tzinfo=UTC), _FIRST) - _IN_FLIGHT

"""Whether groups get on: ready work that nobody acks for some time is trouble, whatever the cause.

A group is stalled when its oldest delivery has been ready for longer than a limit and no sign of
progress was seen for as long. A sign is an ack by this process, or that between two looks the
oldest delivery is another one or fewer messages are pending, so that others' acks count too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sourced._inspect import GroupStatus
from sourced._metrics import Metrics

__all__ = ["Progress", "Stalled"]


@dataclass(frozen=True, slots=True)
class Stalled:
    """A group that does not get on.

    Attributes:
        oldest: for how many seconds its oldest delivery has been ready.
        since: seconds since the last sign of progress.
    """

    status: GroupStatus
    oldest: float
    since: float


@dataclass(slots=True)
class _Seen:
    moved_at: float
    acked: int
    oldest_ready_at: datetime | None = None
    pending: int = 0


class Progress:
    """Compares each look at the groups with the one before.

    Args:
        metrics: of this process.
        limit: for how many seconds work may be ready without an ack.
        monotonic: tells the time.
        groups: those that are looked at.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        limit: float,
        monotonic: Callable[[], float],
        groups: Collection[str],
    ) -> None:
        self._metrics = metrics
        self._limit = limit
        self._monotonic = monotonic
        began = monotonic()
        self._seen = {group: _Seen(began, metrics.acked(group)) for group in groups}

    def look(self, statuses: Sequence[GroupStatus], now: datetime) -> tuple[Stalled, ...]:
        """Return the groups that are stalled, the one with the oldest work first.

        Args:
            statuses: the groups, as of now.
            now: the store's time.
        """
        found = [stalled for status in statuses if (stalled := self._stalled(status, now))]
        return tuple(sorted(found, key=lambda stalled: -stalled.oldest))

    def _stalled(self, status: GroupStatus, now: datetime) -> Stalled | None:
        at, seen = self._monotonic(), self._seen.get(status.name)
        acked = self._metrics.acked(status.name)
        if seen is None:
            seen = self._seen[status.name] = _Seen(at, acked)
        if acked != seen.acked or _has_moved(seen, status):
            seen.moved_at = at
        seen.acked = acked
        seen.oldest_ready_at, seen.pending = status.oldest_ready_at, status.pending
        if status.oldest_ready_at is None:
            return None
        oldest, since = (now - status.oldest_ready_at).total_seconds(), at - seen.moved_at
        if oldest <= self._limit or since <= self._limit:
            return None
        return Stalled(status, oldest, since)


def _has_moved(seen: _Seen, status: GroupStatus) -> bool:
    if status.oldest_ready_at is None:
        return True
    if seen.oldest_ready_at is not None and status.oldest_ready_at > seen.oldest_ready_at:
        return True
    return status.pending_is_exact and status.pending < seen.pending

"""A timeline: items by moment, equal moments by number; what is due is found without a scan."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from datetime import datetime
from operator import itemgetter
from typing import Generic, TypeVar

__all__ = ["Timeline"]

T = TypeVar("T")

_moment = itemgetter(0)
_place = itemgetter(0, 1)


class Timeline(Generic[T]):
    """Items in the order of (moment, number), where numbers are unique."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[tuple[datetime, int, T]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return (item for _, _, item in self._entries)

    def add(self, moment: datetime, number: int, item: T) -> None:
        """Put an item in its place."""
        insort(self._entries, (moment, number, item), key=_place)

    def remove(self, moment: datetime, number: int) -> None:
        """Take the item of this place out."""
        del self._entries[bisect_left(self._entries, (moment, number), key=_place)]

    def until(self, moment: datetime) -> Iterator[T]:
        """Yield the items up to a moment, earliest first; change nothing meanwhile."""
        for at, _, item in self._entries:
            if at > moment:
                return
            yield item

    def since(self, moment: datetime) -> Iterator[T]:
        """Yield the items at or after a moment, earliest first; change nothing meanwhile."""
        start = bisect_left(self._entries, moment, key=_moment)
        return (self._entries[place][2] for place in range(start, len(self._entries)))

    def after(self, moment: datetime) -> Iterator[T]:
        """Yield the items after a moment, earliest first; change nothing meanwhile."""
        start = bisect_right(self._entries, moment, key=_moment)
        return (self._entries[place][2] for place in range(start, len(self._entries)))

    def count_since(self, moment: datetime) -> int:
        """Return how many items are at or after a moment."""
        return len(self._entries) - bisect_left(self._entries, moment, key=_moment)

    def count_after(self, moment: datetime) -> int:
        """Return how many items come after a moment."""
        return len(self._entries) - bisect_right(self._entries, moment, key=_moment)

    def first(self) -> datetime | None:
        """Return the earliest moment."""
        return self._entries[0][0] if self._entries else None

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the earliest moment after this one."""
        place = bisect_right(self._entries, moment, key=_moment)
        return self._entries[place][0] if place < len(self._entries) else None

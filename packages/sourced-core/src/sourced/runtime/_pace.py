"""How many streams a round claims: few where handlers are slow, many where they are fast."""

from __future__ import annotations

__all__ = ["Pace"]

START = 8


class Pace:
    """The streams that one group's rounds claim, so that a round lasts about its budget.

    A claim of fifty streams whose handlers take a second each would keep one thread busy for most
    of a minute while the others have nothing to do.

    Args:
        bound: at most so many streams.
        budget: how long a round should last, in seconds.
    """

    def __init__(self, *, bound: int, budget: float) -> None:
        self._bound = bound
        self._budget = budget
        self.streams = min(START, bound)

    def took(self, claimed: int, seconds: float) -> None:
        """Learn from a round."""
        if claimed and seconds > self._budget:
            self.streams = max(1, min(self.streams, int(claimed * self._budget / seconds)))
        elif claimed >= self.streams:
            self.streams = min(self._bound, 2 * self.streams)

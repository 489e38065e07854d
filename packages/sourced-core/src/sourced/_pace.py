"""How many streams a round claims: few where handlers are slow, many where they are fast."""

from __future__ import annotations

from sourced._engine import Engine
from sourced._registry import Registered

__all__ = ["Pace", "pace_of"]


class Pace:
    """The streams that one group's rounds claim, so that a round lasts about its budget.

    A claim of fifty streams whose handlers take a second each would keep one thread busy for most
    of a minute while the others have nothing to do. So it begins with one stream and doubles while
    rounds are short. Threads that share a pace may update it at the same time: it is only a hint.

    Args:
        bound: at most so many streams.
        start: so many at first.
        budget: how long a round should last, in seconds.
    """

    def __init__(self, *, bound: int, budget: float, start: int = 1) -> None:
        self._bound = bound
        self._budget = budget
        self.streams = start

    def took(self, claimed: int, seconds: float) -> None:
        """Learn from a round."""
        if claimed and seconds > self._budget:
            self.streams = max(1, min(self.streams, int(claimed * self._budget / seconds)))
        elif claimed >= self.streams:
            self.streams = min(self._bound, 2 * self.streams)


def pace_of(engine: Engine, entry: Registered) -> Pace:
    """Return a new pace for a group; streams that are handled at once are claimed at once."""
    settings = engine.settings
    bound = entry.setting("max_streams", settings.max_streams)
    budget = settings.batch_budget.total_seconds()
    if entry.setting("handles_concurrently", False) or entry.setting("handles_together", False):
        return Pace(bound=bound, budget=float("inf"), start=bound)
    return Pace(bound=bound, budget=budget)

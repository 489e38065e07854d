"""Waits for workers that hold something and may be dead: each gives a sign of life, or is reaped.

A worker that was killed looks like one that lives until its lease is over. A drain that did not
wait would end while messages that nobody handles are still pending.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from datetime import datetime

from sourced._engine import Engine, logger

__all__ = ["Unheard"]

LOOK_AGAIN = 0.25
MARGIN = 1.0


class Unheard:
    """Workers that hold something of some groups, and have not been heard of while one waits.

    Each is waited for once, for a lease at most: a store whose clock stands still ends it too.
    """

    def __init__(self, engine: Engine, groups: Collection[str]) -> None:
        self._engine = engine
        self._groups = groups
        self._patience = engine.settings.lease.total_seconds() + MARGIN
        self._first: dict[str, tuple[datetime, float]] = {}

    def wait(self, stopping: threading.Event) -> bool:
        """Wait until one of them is heard of, dead, or holds nothing any more.

        Returns:
            Whether it is worth while to look for work again; False too if told to stop.
        """
        before = self._look()
        while before and not stopping.wait(LOOK_AGAIN):
            if (
                self._engine.store.poll(self._engine.settings.lease).overdue
                or before - self._look()
            ):
                return True
        return False

    def _look(self) -> set[str]:
        """Return the ids of those that are unheard of still."""
        inspect, now = self._engine.store.inspect, time.monotonic()
        held = {group.name for group in inspect.groups(self._groups) if group.claimed}
        unheard = set()
        for worker in inspect.workers() if held else ():
            if not worker.claims or held.isdisjoint(worker.handles):
                continue
            if worker.id not in self._first:
                self._first[worker.id] = (worker.seen_at, now)
                logger.info(
                    "worker %s holds something: waiting until it shows life",
                    worker.name,
                    extra={"worker": worker.id},
                )
            seen_at, since = self._first[worker.id]
            if worker.seen_at == seen_at and now - since < self._patience:
                unheard.add(worker.id)
        return unheard

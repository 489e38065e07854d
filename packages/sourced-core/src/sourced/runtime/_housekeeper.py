"""Looks after what no single group can: what is due, who has died, who has something ready."""

from __future__ import annotations

import random
import threading

from sourced._engine import Engine
from sourced._metrics import PROMOTED
from sourced.runtime._presence import Presence
from sourced.runtime._queue import WorkQueue
from sourced.runtime._troubles import Troubles

__all__ = ["Housekeeper"]


class Housekeeper:
    """Polls the store at its interval, with jitter, until the process stops.

    One statement says whether there is anything to do; promoting and reaping happen only then.
    """

    def __init__(
        self,
        engine: Engine,
        queue: WorkQueue,
        troubles: Troubles,
        presence: Presence,
        stopping: threading.Event,
    ) -> None:
        self._engine = engine
        self._queue = queue
        self._troubles = troubles
        self._presence = presence
        self._stopping = stopping

    def __call__(self) -> None:
        """Keep house until told to stop."""
        while not self._stopping.is_set():
            self._stopping.wait(self.look())

    def look(self) -> float:
        """Do what there is to do.

        Returns:
            How long to wait before looking again, in seconds.
        """
        try:
            busy = self._keep_house()
        except Exception as error:  # noqa: BLE001 - nothing ends the housekeeper
            return self._troubles.failed("housekeeping", error)
        self._troubles.worked("housekeeping")
        interval = self._engine.settings.poll_interval.total_seconds()
        return 0.0 if busy else interval * random.uniform(0.75, 1.25)

    def _keep_house(self) -> bool:
        """Poll, reap, promote; True if there is more to promote."""
        store, lease = self._engine.store, self._engine.settings.lease
        self._presence.mend()
        poll = store.poll(lease)
        if poll.overdue:
            self._presence.beat()
            store.reap(lease)
            poll = store.poll(lease)
        self._queue.add(poll.ready)
        if not poll.due:
            return False
        promoted = store.promote_due()
        self._engine.metrics.add(PROMOTED, amount=promoted.moved)
        self._queue.add(promoted.groups)
        return promoted.moved > 0

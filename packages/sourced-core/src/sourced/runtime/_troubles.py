"""What fails at the moment: each change of state is logged once, and pauses grow."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sourced._engine import logger
from sourced.errors import StoreUnavailableError

__all__ = ["QUIET", "Troubles"]

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
STORE = "the store"
QUIET = 3.0
"""The store works again when something has worked so long after it last failed, in seconds.

A store of which some verbs fail and some work would otherwise be gone and back at every poll.
"""


@dataclass(slots=True)
class _Trouble:
    count: int = 0
    last_at: float = 0.0
    group: str = ""


class Troubles:
    """Keeps, for each thing that may fail, how often in a row it has.

    An unreachable store is one trouble, whoever met it: twenty groups do not log it twenty times.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._troubles: dict[str, _Trouble] = {}

    def failed(self, what: str, error: BaseException, *, group: str = "") -> float:
        """Count a failure; log it if it is the first in a row.

        Args:
            what: failed.
            error: why.
            group: whose work it was, for the log.

        Returns:
            How long to leave it alone, in seconds: longer each time, with jitter.
        """
        is_away = isinstance(error, StoreUnavailableError)
        with self._lock:
            trouble = self._troubles.setdefault(STORE if is_away else what, _Trouble())
            trouble.count += 1
            trouble.last_at = self._monotonic()
            trouble.group = "" if is_away else group
            count = trouble.count
        if count == 1 and is_away:
            logger.warning("store_unavailable: %s; trying again until it answers", error)
        elif count == 1:
            logger.error("%s failed; trying again", what, exc_info=error, extra=_named(group))
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(count - 1, 10))
        return pause * random.uniform(0.5, 1.0)

    def worked(self, what: str) -> None:
        """Forget that something failed, and after a while that the store did; log the change."""
        if not self._troubles:  # the usual case costs no lock
            return
        with self._lock:
            ended = [key for key in (STORE, what) if self._has_ended(key)]
            groups = [self._troubles.pop(key).group for key in ended]
        for key, group in zip(ended, groups, strict=True):
            logger.warning("%s works again", key, extra=_named(group))

    def _has_ended(self, key: str) -> bool:
        trouble = self._troubles.get(key)
        if trouble is None:
            return False
        return key != STORE or self._monotonic() - trouble.last_at >= QUIET


def _named(group: str) -> dict[str, str]:
    return {"group": group} if group else {}

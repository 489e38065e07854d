"""Hints: telling subscribers in this process that groups may have work; they may be lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sourced._faults import reach

__all__ = ["Hints"]

_log = logging.getLogger("sourced.sqlalchemy")

Callback = Callable[[frozenset[str]], None]


class Hints:
    """The subscribers of one store, called in the thread that wrote, after it committed."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._subscribers: dict[object, Callback] = {}

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call back from now on; the function returned ends it."""
        key = object()
        with self._mutex:
            self._subscribers[key] = callback

        def unsubscribe() -> None:
            with self._mutex:
                self._subscribers.pop(key, None)

        return unsubscribe

    def give(self, groups: frozenset[str]) -> None:
        """Tell every subscriber; whatever goes wrong loses hints and nothing else."""
        with self._mutex:
            callbacks = tuple(self._subscribers.values())
        try:
            reach("notify.lost")
        except Exception:  # noqa: BLE001 - whatever loses a hint loses nothing else
            _log.debug("a hint was lost", exc_info=True)
            return
        for callback in callbacks:
            try:
                callback(groups)
            except Exception:  # noqa: BLE001 - a callback never breaks the verb
                _log.exception("a subscriber to hints raised; the next one is called all the same")

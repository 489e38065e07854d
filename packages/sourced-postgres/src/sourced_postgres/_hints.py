"""Hints: telling subscribers, here and in other processes, that groups may have work.

Subscribers of this store are called in the thread that wrote, after its commit. Other processes are
told by NOTIFY in a statement of its own: inside the append's transaction it would serialise all
commits of the database. One thread sends what has come together since it last did, so that an
append waits for nothing; when much comes it sends rarely, since workers that are busy ask anyway.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from sourced._faults import reach

__all__ = ["Hints", "Notifier"]

_log = logging.getLogger("sourced.postgres")

Callback = Callable[[frozenset[str]], None]


class Hints:
    """The subscribers of one store."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._subscribers: dict[object, Callback] = {}

    def subscribe(self, callback: Callback) -> Callable[[], bool]:
        """Call back from now on; the function returned ends it, and says if it was the last."""
        key = object()
        with self._mutex:
            self._subscribers[key] = callback

        def unsubscribe() -> bool:
            with self._mutex:
                gone = self._subscribers.pop(key, None)
                return gone is not None and not self._subscribers

        return unsubscribe

    def give(self, groups: frozenset[str]) -> bool:
        """Tell every subscriber; whatever goes wrong loses hints and nothing else."""
        try:
            reach("notify.lost")
        except Exception:  # noqa: BLE001 - whatever loses a hint loses nothing else
            _log.debug("a hint was lost", exc_info=True)
            return False
        self.pass_on(groups)
        return True

    def pass_on(self, groups: frozenset[str]) -> None:
        """Call every subscriber."""
        with self._mutex:
            callbacks = tuple(self._subscribers.values())
        for callback in callbacks:
            try:
                callback(groups)
            except Exception:  # noqa: BLE001 - a callback never breaks the verb
                _log.exception("a subscriber to hints raised; the next one is called all the same")


class Notifier:
    """Sends hints to other processes from a thread of its own, coalesced and bounded in rate.

    Args:
        send: sends one notification that names groups.
    """

    QUIET: Final = 0.01
    """Seconds between two notifications, at least."""

    LOUD: Final = 20
    """Notifications in a row without a pause after which there is a rush."""

    RUSH: Final = 0.25
    """Seconds between two notifications during a rush: polling finds the work anyway."""

    def __init__(self, send: Callable[[frozenset[str]], None]) -> None:
        self._send = send
        self._condition = threading.Condition()
        self._groups: set[str] = set()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def notify(self, groups: frozenset[str]) -> None:
        """Send soon that groups may have work."""
        with self._condition:
            if self._groups >= groups:
                return
            self._groups |= groups
            if self._thread is None or not self._thread.is_alive():
                self._is_closed = False
                self._thread = threading.Thread(
                    target=self._run, name="sourced-notifier", daemon=True
                )
                self._thread.start()
            self._condition.notify()

    def close(self) -> None:
        """End the thread; what was not sent is lost, as hints may be."""
        with self._condition:
            self._is_closed = True
            self._groups.clear()
            thread, self._thread = self._thread, None
            self._condition.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)

    def _run(self) -> None:
        in_a_row = 0
        while (groups := self._next()) is not None:
            try:
                self._send(groups)
            except Exception:  # noqa: BLE001 - a hint that is lost loses nothing else
                _log.debug("a notification was not sent", exc_info=True)
            pause = self.QUIET if in_a_row < self.LOUD else self.RUSH
            with self._condition:
                self._condition.wait_for(lambda: self._is_closed, pause)
                in_a_row = in_a_row + 1 if self._groups else 0

    def _next(self) -> frozenset[str] | None:
        with self._condition:
            self._condition.wait_for(lambda: self._groups or self._is_closed)
            if self._is_closed:
                return None
            groups = frozenset(self._groups)
            self._groups.clear()
            return groups

"""A worker's presence in the store: it joins, says that it lives, and leaves."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from sourced._engine import Engine, logger
from sourced._faults import reach
from sourced._ids import new_worker_id
from sourced._registry import Registered
from sourced._store import WorkerInfo

__all__ = ["Session"]


class Session:
    """Joins on entry, heartbeats in a thread of its own, leaves on exit.

    A worker that was declared dead (frozen for longer than the lease) takes a new id and goes on;
    what it held is somebody else's, and its commits are refused.

    Args:
        engine: what handling needs.
        entries: the reactors it handles for; others see in its row which types it knows.
        name: what operators see; host and pid by default.
    """

    def __init__(self, engine: Engine, entries: Iterable[Registered], *, name: str = "") -> None:
        self._engine = engine
        self._entries = tuple(entries)
        self._name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="sourced-heartbeat", daemon=True)
        self.worker_id = new_worker_id()

    def __enter__(self) -> Self:
        self.join()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        try:
            self._engine.store.leave(self.worker_id)
        except Exception:  # noqa: BLE001 - leaving is a courtesy; the lease does the rest
            logger.warning(
                "worker %s could not leave; its lease will end",
                self._name,
                extra={"worker": self.worker_id},
            )

    def join(self) -> None:
        """Write the worker's row; nothing can be claimed before."""
        self._engine.store.join(
            WorkerInfo(
                id=self.worker_id,
                name=self._name,
                host=socket.gethostname(),
                pid=os.getpid(),
                code_version=self._engine.settings.code_version,
                handles={entry.group: entry.types for entry in self._entries},
            )
        )

    def beat(self) -> None:
        """Say that the worker lives; one that was declared dead takes a new id."""
        reach("heartbeat.lost")
        if not self._engine.store.heartbeat(self.worker_id):
            former, self.worker_id = self.worker_id, new_worker_id()
            logger.warning(
                "worker %s was declared dead; taking a new id",
                self._name,
                extra={"worker": former},
            )
            self.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._engine.settings.heartbeat.total_seconds()):
            try:
                self.beat()
            except Exception:  # noqa: BLE001 - nothing may end the heartbeat
                logger.warning(
                    "heartbeat of worker %s failed",
                    self._name,
                    exc_info=True,
                    extra={"worker": self.worker_id},
                )

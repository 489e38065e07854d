"""Tells those in this process who wait for something that a commit may have brought it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager

from sourced._batch import Batch

__all__ = ["Notices"]


class Notices:
    """Who waits for which correlation, or for which stream of a group.

    Only they are called, so that a hundred waits cost a busy process no more than what it does for
    them. What other processes commit is not noticed here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, list[Callable[[], object]]] = {}

    @contextmanager
    def listening(self, key: Hashable, call: Callable[[], object]) -> Iterator[None]:
        """Call when a batch of this key was committed: a correlation id, or (group, stream)."""
        with self._lock:
            self._waiting.setdefault(key, []).append(call)
        try:
            yield
        finally:
            with self._lock:
                self._waiting[key].remove(call)
                if not self._waiting[key]:
                    del self._waiting[key]

    def committed(self, batches: Iterable[Batch]) -> None:
        """Call those who wait for what the batches were part of, each once."""
        if not self._waiting:  # the usual case costs no lock
            return
        for call in self._calls({key for batch in batches for key in _keys(batch)}):
            call()

    def _calls(self, keys: Collection[Hashable]) -> list[Callable[[], object]]:
        with self._lock:
            return [call for key in keys for call in self._waiting.get(key, ())]


def _keys(batch: Batch) -> Iterator[Hashable]:
    yield batch.group, batch.stream_id
    for message in batch.messages:
        yield message.meta.correlation_id

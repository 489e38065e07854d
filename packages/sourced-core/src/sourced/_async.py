"""Runs the coroutines of async handlers for synchronous callers, on one event loop in a thread.

A loop of its own works from any thread, with or without a running loop there, and keeps what async
libraries bind to a loop (clients, pools) usable from one batch to the next.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Sequence
from typing import Any

__all__ = ["AsyncRunner"]


class AsyncRunner:
    """An event loop in a daemon thread, started when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def settle(self, value: object) -> Any:
        """Return the value, or the result of awaiting it if it is awaitable."""
        if not inspect.isawaitable(value):
            return value
        return self.gather([value])[0]

    def gather(self, values: Sequence[Awaitable[Any]]) -> list[Any]:
        """Await all at the same time and return their results in order.

        Raises:
            BaseException: the first one that was raised, after all have ended.
        """
        results = self.gather_all(values)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def gather_all(self, values: Sequence[Awaitable[Any]]) -> list[Any]:
        """Await all at the same time; an exception takes its result's place."""

        async def together() -> list[Any]:
            return list(await asyncio.gather(*map(_caught, values)))

        return asyncio.run_coroutine_threadsafe(together(), self._running_loop()).result()

    def close(self) -> None:
        """End the loop and its thread; a later call starts another."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="sourced-async", daemon=True
                )
                self._thread.start()
            return self._loop


async def _caught(value: Awaitable[Any]) -> Any:
    """Return what was raised: an exit or interrupt that reaches the loop would end it for all."""
    try:
        return await value
    except BaseException as error:  # noqa: BLE001 - raised again, or judged, by who waits
        return error

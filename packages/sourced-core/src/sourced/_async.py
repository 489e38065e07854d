"""Runs the coroutines of async handlers for synchronous callers, on one event loop in a thread.

A loop of its own works from any thread, with or without a running loop there, and keeps what async
libraries bind to a loop (clients, pools) usable from one batch to the next.

A handler that blocks it keeps all others waiting, so whoever waits here looks now and then whether
the loop still turns, and names the handler if it does not. Nobody looks while nobody waits.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from concurrent.futures import wait
from contextlib import suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

from sourced.errors import UsageError

__all__ = ["BLOCKED", "AsyncRunner"]

BLOCKED = 0.5
"""A handler that has kept the loop from turning for so long is named, in seconds."""

CLOSE_PATIENCE = 5.0

_logger = logging.getLogger("sourced")
_about: ContextVar[str] = ContextVar("sourced_async_about", default="an async handler")
_noted: WeakKeyDictionary[asyncio.Task[Any], str] = WeakKeyDictionary()


class AsyncRunner:
    """An event loop in a daemon thread, started when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turning: _Loop | None = None

    def settle(self, value: object, about: str = "") -> Any:
        """Return the value, or the result of awaiting it if it is awaitable.

        Args:
            value: whatever a handler returned.
            about: whose it is, for the log.
        """
        if not inspect.isawaitable(value):
            return value
        return self.gather([value], [about])[0]

    def gather(self, values: Sequence[Awaitable[Any]], about: Sequence[str] = ()) -> list[Any]:
        """Await all at the same time and return their results in order.

        Raises:
            BaseException: the first one that was raised, after all have ended.
        """
        results = self.gather_all(values, about)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def gather_all(self, values: Sequence[Awaitable[Any]], about: Sequence[str] = ()) -> list[Any]:
        """Await all at the same time; an exception takes its result's place.

        Args:
            values: what to await.
            about: whose each is, for the log.

        Raises:
            UsageError: `close` was called meanwhile.
        """
        return self._running_loop().run(_together(values, about or [""] * len(values)))

    def close(self) -> None:
        """Cancel what runs, and end the loop and its thread; a later call starts another.

        A handler that blocks the loop, or does not let itself be cancelled, is left to the end of
        the process after a while.
        """
        with self._lock:
            turning, self._turning = self._turning, None
        if turning is not None:
            turning.close()

    def _running_loop(self) -> _Loop:
        with self._lock:
            if self._turning is None or not self._turning.is_alive:
                self._turning = _Loop()
            return self._turning


class _Loop:
    """One event loop, and the thread that turns it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_task_factory(_noted_task)
        self._thread = threading.Thread(target=self._turn, name="sourced-async", daemon=True)
        self._watch = threading.Lock()
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, list[Any]]) -> list[Any]:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        while not wait([future], timeout=BLOCKED / 2).done and self.is_alive:
            self._look()
        if future.cancelled() or not future.done():
            raise UsageError("the app was closed while one of its async handlers ran")
        return future.result()

    def close(self) -> None:
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_PATIENCE)
        if self.is_alive:
            _logger.warning("%s; left behind when its app was closed", self._blocking())

    def _turn(self) -> None:
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left, timeout=CLOSE_PATIENCE / 2))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    # --- the watch --------------------------------------------------------------------------------

    def _look(self) -> None:
        """See whether the loop turns; return once it does. Of many who wait, one does this."""
        if not self._watch.acquire(blocking=False):
            return
        try:
            self._until_it_turns()
        finally:
            self._watch.release()

    def _until_it_turns(self) -> None:
        turned, began, patience = threading.Event(), time.monotonic(), BLOCKED
        with suppress(RuntimeError):  # it has just been closed
            self._loop.call_soon_threadsafe(turned.set)
        while not turned.wait(patience) and self.is_alive:
            _logger.warning(
                "%s, for %.1f s now; all other async handlers wait. Await what takes long there, "
                "or write the handler as a plain `def`, which has a thread to itself",
                self._blocking(),
                time.monotonic() - began,
            )
            patience *= 2

    def _blocking(self) -> str:
        """Say which handler blocks the loop, and where it is."""
        task = asyncio.current_task(self._loop)
        about = _noted.get(task, "a task") if task is not None else "something"
        frame = _handler_frame(sys._current_frames().get(self._thread.ident or 0))
        if frame is None:
            return f"{about} blocks the event loop"
        code = frame.f_code
        return (
            f"{about}: {code.co_qualname} ({code.co_filename}:{frame.f_lineno}) "
            "blocks the event loop"
        )


async def _together(values: Sequence[Awaitable[Any]], about: Sequence[str]) -> list[Any]:
    caught = [_caught(value, whose) for value, whose in zip(values, about, strict=True)]
    # A task that cancels itself on its last step is cancelled though it has caught everything.
    return await asyncio.gather(*caught, return_exceptions=True)


async def _caught(value: Awaitable[Any], about: str) -> Any:
    """Return what was raised: an exit or interrupt that reaches the loop would end it for all."""
    if about:
        _about.set(about)  # for the tasks that the handler starts, too
        _note(asyncio.current_task())
    try:
        return await value
    except BaseException as error:  # noqa: BLE001 - raised again, or judged, by who waits
        return error


def _note(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        _noted[task] = _about.get()


def _noted_task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> asyncio.Task[Any]:
    """Make a task and note whose it is: another thread cannot read its context."""
    task = asyncio.Task(work, loop=loop, **options)
    _note(task)
    return task


def _handler_frame(frame: FrameType | None) -> FrameType | None:
    """Return the outermost frame of user code: a handler is called by this package."""
    found = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module not in {"asyncio", "concurrent", "sourced", "threading"}:
            found = frame
        frame = frame.f_back
    return found

"""Waits until what a command caused is handled: exact, because deliveries say what is pending.

A wait looks at the store when it begins, when a worker of this process has committed something of
what it waits for, and, because workers of other processes commit too and nothing tells of that, now
and then, at growing intervals. Hints do not help: they say that there is more to do, never that it
is done.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import AbstractContextManager

from sourced._arguments import checked_seconds
from sourced._clock import SystemClock
from sourced._engine import Engine
from sourced._failures import safe_repr
from sourced._inspect import PendingMessage
from sourced._receipt import Receipt
from sourced.errors import GroupStoppedError, StreamParkedError, UsageError, WaitTimeoutError

__all__ = ["Waiting", "wait_for", "wait_for_correlation", "wait_until"]

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.25
GROWTH = 1.5


class Waiting:
    """One wait, without the waiting: says whether it is over, and when to look again.

    Args:
        engine: where to look.
        key: what a worker of this process tells of, see `Notices`.
        pending: asks the store what is left.
        timeout: how long to wait, in seconds.

    Raises:
        UsageError: that is no time.
    """

    def __init__(
        self, engine: Engine, key: Hashable, pending: Callable[[], list[str]], timeout: float
    ) -> None:
        self._engine = engine
        self._key = key
        self._pending = pending
        self._timeout = checked_seconds(timeout, "timeout")
        self._deadline = engine.clock.monotonic() + self._timeout
        self._pauses = _growing()

    @property
    def is_in_real_time(self) -> bool:
        """Whether the app's clock goes by itself; one turned by hand is moved by sleeping."""
        return isinstance(self._engine.clock, SystemClock)

    def is_over(self) -> bool:
        """Look at the store.

        Raises:
            WaitTimeoutError: names what is pending.
            StreamParkedError, GroupStoppedError: it waits for an operator.
        """
        left = self._pending()
        if left and self._engine.clock.monotonic() >= self._deadline:
            raise WaitTimeoutError(left, self._timeout)
        return not left

    def pause(self) -> float:
        """Return how long to wait for a call of `listening`, in seconds, before looking again."""
        return min(next(self._pauses), max(self._deadline - self._engine.clock.monotonic(), 0.0))

    def listening(self, call: Callable[[], object]) -> AbstractContextManager[None]:
        """Let this be called, from any thread, when it is worth while to look."""
        return self._engine.notices.listening(self._key, call)

    def sleep(self) -> None:
        """Pause by the app's clock, whatever happens meanwhile."""
        self._engine.clock.sleep(self.pause())


def wait_until(waiting: Waiting) -> None:
    """Wait in this thread.

    Raises:
        WaitTimeoutError, StreamParkedError, GroupStoppedError: see `Waiting.is_over`.
    """
    woken = threading.Event()
    with waiting.listening(woken.set):
        while not waiting.is_over():
            if waiting.is_in_real_time:
                woken.wait(waiting.pause())
            else:
                waiting.sleep()
            woken.clear()  # before the look: what is told during it is not lost


def wait_for_correlation(
    engine: Engine, receipt: Receipt, groups: Collection[str], timeout: float
) -> Waiting:
    """Return a wait until none of the groups has anything of the receipt's correlation to handle.

    Raises:
        UsageError: that is no receipt, or no time.
    """
    if not isinstance(receipt, Receipt):
        raise UsageError(f"expected a receipt such as dispatch returns, got {safe_repr(receipt)}")

    def pending() -> list[str]:
        found = engine.store.inspect.pending(
            receipt.correlation_id, from_position=receipt.position or 0, groups=groups
        )
        for message in found:
            _refuse_hopeless(message)
        return [_describe(message) for message in found]

    return Waiting(engine, receipt.correlation_id, pending, timeout)


def wait_for(engine: Engine, group: str, stream_id: str, seq: int, timeout: float) -> Waiting:
    """Return a wait until the group has handled the stream up to a seq.

    Raises:
        UsageError: that is no time.
    """

    def pending() -> list[str]:
        progress = engine.store.inspect.progress(group, stream_id)
        if progress.seq >= seq:
            return []
        if progress.group_status == "stopped":
            raise GroupStoppedError(group, stream_id)
        if progress.state == "parked":
            raise StreamParkedError(group, stream_id)
        reached = f"up to #{progress.seq} of {seq} (head {progress.head}, {progress.state})"
        return [f"group {group!r} has handled stream {stream_id!r} {reached}"]

    return Waiting(engine, (group, stream_id), pending, timeout)


def _growing() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(GROWTH * pause, LONGEST_PAUSE)


def _refuse_hopeless(message: PendingMessage) -> None:
    if message.state == "parked":
        raise StreamParkedError(message.group, message.stream_id)
    if message.state == "stopped":
        raise GroupStoppedError(message.group, message.stream_id)


def _describe(message: PendingMessage) -> str:
    why = {
        "ready": "ready, but no worker has taken it; is one running?",
        "claimed": f"held by {message.worker_name or 'a worker'}",
        "retrying": f"waits for a retry until {message.until}",
        "filling": "the group is still being registered",
    }.get(message.state, message.state)
    return (
        f"group {message.group!r} has not handled {message.type} "
        f"({message.stream_id} #{message.seq}): {why}"
    )

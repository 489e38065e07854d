"""Waits until what a command caused is handled: exact, because deliveries say what is pending."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from sourced._arguments import checked_seconds
from sourced._engine import Engine
from sourced._failures import safe_repr
from sourced._inspect import PendingMessage
from sourced._receipt import Receipt
from sourced.errors import GroupStoppedError, StreamParkedError, UsageError, WaitTimeoutError

__all__ = ["wait_for", "wait_for_correlation"]

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.1


def wait_for_correlation(
    engine: Engine, receipt: Receipt, groups: Collection[str], timeout: float
) -> None:
    """Return when none of the groups has anything of the receipt's correlation left to handle.

    Raises:
        UsageError: that is no receipt, or no time.
        WaitTimeoutError: names what is pending.
        StreamParkedError, GroupStoppedError: it will not be handled before an operator acts.
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

    _until_empty(engine, pending, timeout)


def wait_for(engine: Engine, group: str, stream_id: str, seq: int, timeout: float) -> None:
    """Return when the group has handled the stream up to a seq.

    Raises:
        WaitTimeoutError: says how far the group is.
        StreamParkedError, GroupStoppedError: it will not get there before an operator acts.
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

    _until_empty(engine, pending, timeout)


def _until_empty(engine: Engine, pending: Callable[[], list[str]], timeout: float) -> None:
    hinted = threading.Event()
    clock = engine.clock
    deadline, pause = clock.monotonic() + checked_seconds(timeout, "timeout"), FIRST_PAUSE
    unsubscribe = engine.store.subscribe(lambda _groups: hinted.set())
    try:
        while left := pending():
            if clock.monotonic() >= deadline:
                raise WaitTimeoutError(left, timeout)
            clock.sleep(min(pause, max(deadline - clock.monotonic(), 0)))
            pause = FIRST_PAUSE if hinted.is_set() else min(2 * pause, LONGEST_PAUSE)
            hinted.clear()
    finally:
        unsubscribe()


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

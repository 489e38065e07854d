"""Named places in the engine where tests may crash, stall or cut; free when unset.

A store or the engine calls `reach("append.before_commit")` at the place. Nothing happens unless a
hook is installed, which may raise, block, or kill the process. Every name is listed in
`FAULT_POINTS`; reaching one that is not is an error as soon as a hook is installed, so a harness
that walks the table knows every place there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["FAULT_POINTS", "injected", "is_armed", "reach"]

FAULT_POINTS: dict[str, str] = {
    "append.before_commit": "messages and deliveries are written, the transaction is open",
    "append.after": "the append is committed, the caller does not know yet",
    "register.after_subscribe": "subscriptions are visible, the group is filling",
    "register.mid": "between two chunks of the fill",
    "claim.after": "the claim is committed, nothing was read",
    "read.after": "pending messages were read, no handler ran",
    "handle.before": "a handler is about to run",
    "handle.after_before_commit": "handlers ran, nothing was written",
    "commit.locked": "the stream is locked, nothing is decided, the transaction is open",
    "commit.after_sync": "syncs ran inside the open transaction",
    "commit.before_commit": "outputs and ack are written, the transaction is open",
    "commit.connection_lost": "the commit happened, its answer is lost",
    "ack.after": "the commit is known, caches and hooks were not touched",
    "handle_now.before_commit": "a unit is written, the transaction is open",
    "schedule.after_move": "due messages entered the log, the transaction is open",
    "reset.mid": "between two chunks of a reset",
    "heartbeat.lost": "a heartbeat is about to be written",
    "notify.lost": "a hint is about to be given",
    "reap.before_commit": "claims of dead workers are freed, the transaction is open",
}

_hook: Callable[[str], None] | None = None


def reach(point: str) -> None:
    """Tell the installed hook, if any, that the engine is at this place."""
    if _hook is not None:
        if point not in FAULT_POINTS:
            raise KeyError(f"unknown fault point {point!r}; list it in FAULT_POINTS")
        _hook(point)


def is_armed() -> bool:
    """Return whether a hook is installed, so that a store halts where it saves round trips."""
    return _hook is not None


@contextmanager
def injected(hook: Callable[[str], None]) -> Iterator[None]:
    """Call `hook` with the name of every fault point reached, in any thread, while inside."""
    global _hook  # noqa: PLW0603 - one hook for the process, set by tests only
    previous, _hook = _hook, hook
    try:
        yield
    finally:
        _hook = previous

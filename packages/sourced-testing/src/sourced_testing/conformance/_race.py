"""Interleavings that are forced: calls halted at fault points, crashed there, or started at once.

A store may keep the second call of a race waiting until the first one ends (memory's lock, the
single writer of SQLite) or let both run (row locks). A race is written for both: the second call is
given the chance to finish or to run into a lock, then the first goes on, and the promise must hold
either way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from sourced._faults import injected

__all__ = ["Crash", "Outcome", "Running", "crashing", "halted", "race", "together"]

T = TypeVar("T")
U = TypeVar("U")

_PATIENCE = 20.0
"""Seconds after which a thread that did not arrive or end is a failure."""

_CHANCE = 0.05
"""Seconds in which the second call of a race may finish or run into a lock."""


class Crash(Exception):  # noqa: N818  a stand-in for the end of a process, not an error of anybody
    """What a fault point raises where a process would have died."""


class Outcome(Generic[T]):
    """How a call ended: with a value or with an error."""

    def __init__(self, call: Callable[[], T]) -> None:
        self.error: Exception | None = None
        try:
            self._value = call()
        except Exception as error:  # noqa: BLE001  whatever it is, the test looks at it
            self.error = error

    @property
    def value(self) -> T:
        """The value; raises the error, if that is how the call ended."""
        if self.error is not None:
            raise self.error
        return self._value


class Running(Generic[T]):
    """A call in a thread of its own, which halts when it first reaches the fault point, if any."""

    def __init__(self, call: Callable[[], T], at: str | None = None) -> None:
        self._at = at
        self._outcome: Outcome[T] | None = None
        self._stopped, self._go = threading.Event(), threading.Event()
        self._halted = False
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)

    def start(self) -> None:
        """Start the thread; with a point named, return when the call has halted there."""
        self._thread.start()
        if self._at is None:
            return
        assert self._stopped.wait(_PATIENCE), f"the call neither ended nor reached {self._at!r}"
        if self._halted:
            return
        assert self._outcome is not None
        raise AssertionError(f"the call never reached {self._at!r}") from self._outcome.error

    def reached(self, point: str) -> None:
        """Halt here if this is the thread and the point; to be called by the fault hook."""
        if self._halted or point != self._at or threading.get_ident() != self._thread.ident:
            return
        self._halted = True
        self._stopped.set()
        if not self._go.wait(_PATIENCE):
            raise TimeoutError(f"nobody released the call that was halted at {point!r}")

    def let_go(self) -> None:
        """Let the halted call go on."""
        self._go.set()

    def ended_within(self, seconds: float) -> bool:
        """Return whether the call ends within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def outcome(self) -> Outcome[T]:
        """Let the call go on, wait for its end and return how it ended."""
        self.let_go()
        assert self.ended_within(_PATIENCE), "the call does not end: a deadlock, or a lost lock"
        assert self._outcome is not None
        return self._outcome

    def _run(self, call: Callable[[], T]) -> None:
        self._outcome = Outcome(call)
        self._stopped.set()


@contextmanager
def halted(call: Callable[[], T], at: str) -> Iterator[Running[T]]:
    """Run the body while `call` stands still at a fault point; afterwards it goes on.

    For points at which no transaction is open: the body runs in the test's own thread.
    """
    running = Running(call, at)
    with injected(running.reached):
        running.start()
        try:
            yield running
        finally:
            running.outcome()


def race(first: Callable[[], T], at: str, second: Callable[[], U]) -> tuple[Outcome[T], Outcome[U]]:
    """Halt `first` at a fault point, start `second`, let `first` go on; return how both ended."""
    ahead, behind = Running(first, at), Running(second)
    with injected(ahead.reached):
        ahead.start()
        behind.start()
        behind.ended_within(_CHANCE)
        return ahead.outcome(), behind.outcome()


def together(*calls: Callable[[], Any]) -> list[Outcome[Any]]:
    """Start all calls at once, each in a thread of its own; return how each ended."""
    barrier = threading.Barrier(len(calls), timeout=_PATIENCE)

    def at_once(call: Callable[[], Any]) -> Any:
        barrier.wait()
        return call()

    running = [Running(partial(at_once, call)) for call in calls]
    for one in running:
        one.start()
    return [one.outcome() for one in running]


@contextmanager
def crashing(at: str) -> Iterator[None]:
    """Crash the body where it first reaches a fault point; fail if it does not get there."""
    crashed = False

    def crash(point: str) -> None:
        nonlocal crashed
        if point == at and not crashed:
            crashed = True
            raise Crash(point)

    try:
        with injected(crash):
            yield
    except Crash:
        return
    raise AssertionError(f"the crash at {at!r} was swallowed" if crashed else f"{at!r} not reached")

"""Handles everything pending, here and now, until nothing is left that is ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sourced._engine import Engine
from sourced._registry import Registered, Registry
from sourced._round import Round, RoundResult
from sourced._session import Session
from sourced.errors import UsageError

__all__ = ["Drained", "drain"]


@dataclass(slots=True)
class Drained:
    """What a drain did.

    Attributes:
        handled: messages handled, counted once per group.
        retried: failures that wait for another try.
        parked: streams set aside.
        skipped: messages skipped by their policy.
        stopped: groups stopped by their policy.
    """

    handled: int = 0
    retried: int = 0
    parked: int = 0
    skipped: int = 0
    stopped: int = 0

    @property
    def failed(self) -> int:
        """How many messages failed, whatever their policy decided."""
        return self.retried + self.parked + self.skipped + self.stopped

    def add(self, result: RoundResult) -> None:
        """Count a round in."""
        self.handled += result.handled
        self.retried += result.retried
        self.parked += result.parked
        self.skipped += result.skipped
        self.stopped += result.stopped


def drain(
    engine: Engine,
    registry: Registry,
    *,
    groups: Sequence[str] | None = None,
    threads: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> Drained:
    """Promote what is due and handle what is ready, again and again, until nothing is.

    What waits for a retry, for its time, or for an operator stays where it is.

    Raises:
        StoreUnavailableError: the store went away; what was committed stands.
    """
    if threads < 1:
        raise UsageError(f"threads must be 1 or more, got {threads}")
    entries = [entry for entry in registry if groups is None or entry.group in groups]
    drained = Drained()
    if not entries:
        return drained
    with Session(engine, registry) as session, ThreadPoolExecutor(threads) as pool:
        run = _Pass(engine, session, entries, stopping)
        while True:
            engine.store.reap(engine.settings.lease)
            moved = engine.store.promote_due().moved
            results = [run(0)] if threads == 1 else list(pool.map(run, range(threads)))
            for result in results:
                drained.add(result)
            if stopping() or not (moved or any(result.claimed for result in results)):
                return drained


class _Pass:
    """One thread's way through all groups until a full turn finds nothing."""

    def __init__(
        self,
        engine: Engine,
        session: Session,
        entries: Sequence[Registered],
        stopping: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._session = session
        self._entries = entries
        self._stopping = stopping

    def __call__(self, offset: int) -> RoundResult:
        total = RoundResult()
        start = offset % len(self._entries)
        turn = [*self._entries[start:], *self._entries[:start]]
        found = True
        while found and not self._stopping():
            found = False
            for entry in turn:
                result = Round(
                    self._engine, entry, self._session.worker_id, stopping=self._stopping
                ).run()
                found = found or result.claimed > 0
                _add(total, result)
        return total


def _add(total: RoundResult, result: RoundResult) -> None:
    for name in ("claimed", "handled", "retried", "parked", "stopped", "skipped"):
        setattr(total, name, getattr(total, name) + getattr(result, name))

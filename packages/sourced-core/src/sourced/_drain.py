"""Handles everything pending, here and now, until nothing is left that is ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sourced._engine import Engine
from sourced._failures import safe_repr
from sourced._metrics import PROMOTED
from sourced._numbers import is_integer
from sourced._pace import pace_of
from sourced._registry import Registered, Registry
from sourced._round import Round
from sourced._session import Session
from sourced._tally import Tally
from sourced.errors import UsageError

__all__ = ["drain", "drain_in"]


def drain(
    engine: Engine,
    registry: Registry,
    *,
    groups: Sequence[str] | None = None,
    threads: int = 1,
    stopping: Callable[[], bool] = lambda: False,
) -> Tally:
    """Promote what is due and handle what is ready, again and again, until nothing is.

    What waits for a retry, for its time, or for an operator stays where it is.

    Raises:
        StoreUnavailableError: the store went away; what was committed stands.
    """
    if not is_integer(threads, least=1):
        raise UsageError(f"threads must be 1 or more, got {safe_repr(threads)}")
    entries = [entry for entry in registry if groups is None or entry.group in groups]
    total = Tally()
    if entries:
        with Session(engine, entries) as session:
            drain_in(engine, session, entries, threads=threads, stopping=stopping, done=total.add)
    return total


def drain_in(
    engine: Engine,
    session: Session,
    entries: Sequence[Registered],
    *,
    threads: int,
    stopping: Callable[[], bool],
    done: Callable[[Tally], None],
) -> None:
    """Drain as a worker that has joined already.

    Args:
        engine: what handling needs.
        session: the worker.
        entries: the reactors to handle for.
        threads: how many to use.
        stopping: asked between streams.
        done: told what each pass did, in the thread that asked for the drain.
    """
    with ThreadPoolExecutor(threads) as pool:
        run = _Pass(engine, session, entries, stopping)
        while True:
            moved = _keep_house(engine)
            results = [run(0)] if threads == 1 else list(pool.map(run, range(threads)))
            for result in results:
                done(result)
            if stopping() or not (moved or any(result.claimed for result in results)):
                return


def _keep_house(engine: Engine) -> int:
    """Free what the dead hold and promote what is due; return how many messages were promoted."""
    lease = engine.settings.lease
    poll = engine.store.poll(lease)
    if poll.overdue:
        engine.store.reap(lease)
    if not poll.due:
        return 0
    moved = engine.store.promote_due().moved
    engine.metrics.add(PROMOTED, amount=moved)
    return moved


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
        self._paces = {entry.group: pace_of(engine, entry) for entry in entries}

    def __call__(self, offset: int) -> Tally:
        total = Tally()
        start = offset % len(self._entries)
        turn = [*self._entries[start:], *self._entries[:start]]
        found = True
        while found and not self._stopping():
            found = False
            for entry in turn:
                result = self._round(entry)
                found = found or result.claimed > 0
                total.add(result)
        return total

    def _round(self, entry: Registered) -> Tally:
        pace, clock = self._paces[entry.group], self._engine.clock
        began = clock.monotonic()
        result = Round(self._engine, entry, self._session.worker_id, stopping=self._stopping).run(
            max_streams=pace.streams
        )
        pace.took(result.claimed, clock.monotonic() - began)
        return result

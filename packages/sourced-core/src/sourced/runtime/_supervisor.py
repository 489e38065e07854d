"""Workers in one process: threads, a housekeeper, and an end in which nothing is lost.

```
main thread     waits for signals, for stop(), and for its threads to end
workers × N     take a group from the queue: one round of claim, handle, commit; put it back
housekeeper     polls: groups with something ready → queue; promotes what is due, reaps the dead
heartbeat       the session's own thread
store           hints → queue
health          optional: its own threads, see `_health`
```

The end, whose states are those of the main thread:

```
running ── TERM, INT, stop() ──▶ finishing ── all threads ended ───────▶ leave ── Ended()
                                     │
                                     └─ grace over, or told again ─────▶ leave ── Ended(forced)
```

Leaving frees every claim of this process and deletes its row, in one transaction. What a thread
still has in hand then is refused when it commits, so it is handled by somebody else, once. A third
signal ends the process on the spot, and the lease does the rest.

Signal handlers do nothing but put a note into a queue whose `put` may interrupt its own `get`; an
event or a condition could be met in the middle of its own lock.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from sourced._app import App
from sourced._arguments import checked_seconds, several
from sourced._drain import drain_in
from sourced._engine import Engine, logger
from sourced._failures import safe_repr
from sourced._numbers import is_integer
from sourced._pace import Pace, pace_of
from sourced._round import Round
from sourced._session import Session
from sourced._tally import Tally
from sourced.errors import UsageError
from sourced.runtime._address import address_of
from sourced.runtime._health import HealthServer
from sourced.runtime._housekeeper import Housekeeper
from sourced.runtime._pages import Pages
from sourced.runtime._presence import Presence
from sourced.runtime._queue import WorkQueue
from sourced.runtime._troubles import Troubles
from sourced.runtime._unheard import Unheard

__all__ = ["GRACE", "Ended", "Supervisor"]

GRACE = 25.0
"""How long, in seconds, what is in hand may take once the end has been asked for."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)
FORCED_EXIT = 70
LEAVE_PATIENCE = 5.0
LONGEST_WAIT = 1.0  # where a wait cannot be interrupted, signals are seen this late

Duty = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a supervisor's run ended.

    Attributes:
        tally: what was handled.
        forced: threads were still at work, and what they had in hand was given back.
        signal: the first signal that asked for the end, if one did.
    """

    tally: Tally
    forced: bool = False
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """For `sys.exit`: 0, or 70 if the end was forced."""
        return FORCED_EXIT if self.forced else 0


class Supervisor:
    """Workers of an app, in threads of this process; it runs once.

    In the main thread, TERM and INT end it: the first lets what is in hand be finished, the second
    gives it back at once, the third exits. An error of a handler or of the store ends no thread.

    While it runs; afterwards signals do what they did before. A program that is nothing but
    workers calls `listen` first, so that none kills it in the middle of its last words.

    Args:
        app: its registered reactors are served.
        threads: how many streams' batches are handled at the same time.
        groups: only these: one or several, reactors or names; all of the app's when None.
        grace: how long, in seconds, what is in hand may take after the end has been asked for.
        health: where to serve `/livez`, `/readyz`, `/healthz` and `/metrics` over HTTP while it
            runs: `127.0.0.1:8080`, `[::1]:8080`, or `:8080` for every address; port 0 takes any
            that is free. Nobody is asked for a password there. Nowhere when None.
        joined: called when the process's row is in the store, before the first claim.

    Raises:
        ConfigurationError: `health` is no address.
        UsageError: no threads, or no groups to serve.
        UnknownGroupError: a group is not registered with this app.
    """

    def __init__(
        self,
        app: App,
        *,
        threads: int = 4,
        groups: Any = None,
        grace: float = GRACE,
        health: str | None = None,
        joined: Callable[[], object] | None = None,
    ) -> None:
        if not is_integer(threads, least=1):
            raise UsageError(f"threads must be 1 or more, got {safe_repr(threads)}")
        wanted = (
            app.reactors if groups is None else [app.registered(one) for one in several(groups)]
        )
        if not wanted:
            raise UsageError("nothing to work for: register reactors with app.register(…)")
        self._app = app
        self._threads = threads
        self._grace = checked_seconds(grace, "grace")
        self._joined = joined
        self._entries = {entry.group: entry for entry in wanted}
        self._queue = WorkQueue(self._entries, places=threads)
        self._troubles = Troubles()
        self._stopping = threading.Event()
        self._notes: SimpleQueue[str] = SimpleQueue()
        self._signals: list[int] = []
        self._is_listening = self._heeds_one = False
        self._ended_by: int | None = None
        self._lock = threading.Lock()
        self._tally = Tally()
        self._error: BaseException | None = None
        self._began = False
        self._is_asked = False
        self._is_at_work = False
        self._health_at = None if health is None else address_of(health)
        self._health: HealthServer | None = None

    @property
    def tally(self) -> Tally:
        """What has been handled so far."""
        with self._lock:
            return replace(self._tally)

    @property
    def health_url(self) -> str | None:
        """Where health is served, with the port that it got; None while it is not."""
        return None if self._health is None else self._health.url

    def stop(self, *, now: bool | None = None) -> None:
        """Ask for the end, from any thread; asked again, what is in hand is given back at once.

        Args:
            now: give back at once, or do not, however often the end has been asked for.
        """
        self._is_asked = True
        self._notes.put("stop" if now is None else "now" if now else "finish")

    def listen(self, *, once: bool = False) -> None:
        """Let TERM and INT ask for the end from now on, until the process ends.

        Those that come before `run` or `drain` end it at once; those that come after it change
        nothing, but for the third, which exits. Only in the main thread.

        Args:
            once: signals after the first change nothing. For a process that is told by its parent
                when it is to end at once: Ctrl-C in a terminal reaches both of them.
        """
        self._heeds_one = once
        for number in SIGNALS:
            signal.signal(number, self._signalled)
        self._is_listening = True
        atexit.register(self._stop_listening)

    def run(self, *, started: Callable[[], object] = lambda: None) -> Ended:
        """Handle what comes until the end is asked for.

        Args:
            started: called once the store knows this process and its threads are at work.

        Raises:
            ConfigurationError: health cannot be served at its address.
            StoreUnavailableError: the store could not be reached at the start.
            SchemaError: it is not installed.
        """
        with self._watched():
            return self._run_until_told(started)

    def _run_until_told(self, started: Callable[[], object]) -> Ended:
        engine, _ = self._app.ready()
        paces = {name: pace_of(engine, entry) for name, entry in self._entries.items()}

        def duties(presence: Presence) -> list[Duty]:
            house = Housekeeper(engine, self._queue, self._troubles, presence, self._stopping)
            return [lambda: self._work(engine, presence, paces)] * self._threads + [house]

        unsubscribe = engine.store.subscribe(self._queue.add)
        try:
            return self._supervise(engine, duties, started)
        finally:
            unsubscribe()

    def drain(self) -> Ended:
        """Handle what is there, due messages included, and end when nothing is ready any more.

        What another worker holds is waited for until that worker shows that it lives; if it does
        not within its lease, what it held is handled here.

        Raises:
            ConfigurationError: health cannot be served at its address.
            StoreUnavailableError: the store went away; what was committed stands.
            SchemaError: it is not installed.
        """
        with self._watched():
            return self._drain()

    def _drain(self) -> Ended:
        engine, _ = self._app.ready()
        unheard = Unheard(engine, self._entries)

        def duty(presence: Presence) -> None:
            while True:
                drain_in(
                    engine,
                    presence.begin(),
                    list(self._entries.values()),
                    threads=self._threads,
                    stopping=self._stopping.is_set,
                    done=self._count,
                )
                if not unheard.wait(self._stopping):
                    return
                presence.beat()  # before the dead are counted: this process may have been frozen

        return self._supervise(engine, lambda presence: [lambda: duty(presence)])

    # --- the main thread --------------------------------------------------------------------------

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Begin, and serve health meanwhile, if anywhere: also while the store is not there."""
        if self._began:
            raise UsageError("a supervisor runs once: make another one")
        self._began = True
        if self._health_at is None:
            yield
            return
        pages = Pages(self._app, self._entries, unready=self._unready)
        self._health = HealthServer(self._health_at, pages)
        self._health.start()
        try:
            yield
        finally:
            self._health.close()
            self._health = None

    def _unready(self) -> str:
        """Return why no work is to be expected of this process, if so; takes no lock."""
        if self._is_asked:
            return "stopping"
        return "" if self._is_at_work else "starting"

    def _supervise(
        self,
        engine: Engine,
        duties: Callable[[Presence], Sequence[Duty]],
        started: Callable[[], object] = lambda: None,
    ) -> Ended:
        presence = Presence(lambda: Session(engine, self._entries.values()))
        with self._listening():
            presence.join()
            if self._joined is not None:
                self._joined()
            crew = duties(presence)
            self._is_at_work = True
            for number, duty in enumerate(crew, 1):
                name = f"sourced-{number}"
                threading.Thread(target=self._perform, args=(duty,), name=name, daemon=True).start()
            started()
            forced = self._wait_for(len(crew))
            if forced:
                logger.warning("stopping now: what is in hand is given back")
            _leave(presence, LEAVE_PATIENCE if forced else None)
        if self._error is not None:
            raise self._error
        return Ended(tally=self.tally, forced=forced, signal=self._ended_by)

    def _wait_for(self, running: int) -> bool:
        """Wait until all threads have ended; True if that takes too long or is not wanted."""
        deadline: float | None = None
        while running:
            note = self._next_note(deadline)
            if note == "ended":
                running -= 1
            elif note in {"stop", "finish", "now"} and deadline is None:
                deadline = time.monotonic() + self._grace
                self._finish()
                if note == "now":
                    return True
            elif note in {"stop", "now", "overdue"}:
                return True
        return False

    def _next_note(self, deadline: float | None) -> str:
        left = LONGEST_WAIT if deadline is None else deadline - time.monotonic()
        try:
            return self._notes.get(timeout=max(0.0, min(left, LONGEST_WAIT)))
        except Empty:
            return "overdue" if left <= LONGEST_WAIT and deadline is not None else ""

    def _finish(self) -> None:
        self._ended_by = self._signals[0] if self._signals else None
        logger.info(
            "stopping: no new claims; what is in hand has %g s; ask again to stop now", self._grace
        )
        self._stopping.set()
        self._queue.close()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Let signals ask for the end, where Python allows it: in the main thread."""
        if self._is_listening or threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {number: signal.signal(number, self._signalled) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _stop_listening(self) -> None:
        """Ignore signals: when it is taken down, Python makes those deadly that it has handled."""
        for number in SIGNALS:
            if signal.getsignal(number) == self._signalled:
                signal.signal(number, signal.SIG_IGN)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        self._is_asked = True
        self._signals.append(number)
        if len(self._signals) > 2 and not self._heeds_one:
            os._exit(FORCED_EXIT)
        self._notes.put("finish" if self._heeds_one else "stop")

    # --- the workers ------------------------------------------------------------------------------

    def _perform(self, duty: Duty) -> None:
        try:
            duty()
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._error = error
        finally:
            self._notes.put("ended")

    def _work(self, engine: Engine, presence: Presence, paces: dict[str, Pace]) -> None:
        while (group := self._queue.take()) is not None:
            session = presence.begin()
            round_ = Round(
                engine, self._entries[group], session.worker_id, stopping=self._stopping.is_set
            )
            try:
                self._run(round_, group, paces[group])
            except BaseException as error:  # noqa: BLE001 - nothing ends a worker
                pause = self._troubles.failed(f"group {group}", error, group=group)
                self._queue.rest(group, pause)
                presence.end(session, in_doubt=True)
            else:
                self._troubles.worked(f"group {group}")
                presence.end(session, in_doubt=round_.is_in_doubt)

    def _run(self, round_: Round, group: str, pace: Pace) -> None:
        asked, began = pace.streams, time.monotonic()
        result = round_.run(max_streams=asked)
        self._count(result)
        pace.took(result.claimed, time.monotonic() - began)
        if result.claimed:  # a full claim means more is there, so a second thread joins
            self._queue.add([group], times=2 if result.claimed >= asked else 1)

    def _count(self, result: Tally) -> None:
        with self._lock:
            self._tally.add(result)


def _leave(presence: Presence, patience: float | None) -> None:
    """Give back what the process holds; a store that does not answer is left to the lease."""
    leaving = threading.Thread(target=presence.leave, name="sourced-leave", daemon=True)
    try:
        leaving.start()
    except RuntimeError:  # Python 3.12 starts no thread once the interpreter has begun to end
        presence.leave()
        return
    leaving.join(patience)
    if leaving.is_alive():
        logger.warning("the store did not answer in %g s; the lease gives back", patience or 0)

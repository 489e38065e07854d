"""Workers in several processes: a parent that starts them, replaces them, and ends with them.

`_children` decides; here are the processes, the signals and the clock. As in the supervisor, signal
handlers only put a note into a queue. The parent neither imports the app nor opens the store: it
cannot be stuck in either, and holds nothing when it is killed.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from sourced._arguments import checked_seconds
from sourced._engine import logger
from sourced._failures import safe_repr
from sourced._numbers import is_integer
from sourced._tally import Tally
from sourced.errors import UsageError
from sourced.runtime import _children as children
from sourced.runtime._children import Child, Children, End, Kill, Start, Tell
from sourced.runtime._obituaries import FAILED_EXIT, Obituaries, Record, Refusal
from sourced.runtime._spawned import Spawned
from sourced.runtime._supervisor import FORCED_EXIT, GRACE, LONGEST_WAIT, SIGNALS

__all__ = ["Ending", "Processes", "ProcessesStatus", "Refusal"]


KEPT = 100

Handler = Callable[[int, FrameType | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessesStatus:
    """How the processes are, for a health check.

    Attributes:
        wanted: how many there are to be.
        working: how many have joined and have not been told to end.
        down: how many are not started any more, after five deaths within a minute.
        is_stopping: the end has been asked for.
        pids: of all that are there, those that start or end included.
    """

    wanted: int
    working: int
    down: int
    is_stopping: bool
    pids: tuple[int, ...]

    @property
    def is_ready(self) -> bool:
        """Somebody works, nobody was left down, and the end has not been asked for."""
        return self.working > 0 and not self.down and not self.is_stopping


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the processes' run ended.

    Attributes:
        tally: what all of them handled; of one that died, what it had told.
        by_process: the same for each of the last hundred, by process id, as they started.
        left: what the last one found left; None if none looked.
        forced: some had to give back what they had in hand, or were killed.
        signal: the first signal that asked for the end, if one did.
        died: how many ended otherwise than they should.
        lost: how many of those were on their way out, with something in hand.
        replaced: how many had been replaced by a newer one.
        refusal: why the first one could not start, or what ended a drain.
        is_down: all were left down.
        worked: at least one of them has joined.
    """

    tally: Tally
    by_process: Mapping[int, Tally]
    left: Any = None
    forced: bool = False
    signal: int | None = None
    died: int = 0
    lost: int = 0
    replaced: int = 0
    refusal: Refusal | None = None
    is_down: bool = False
    worked: bool = True

    @property
    def exit_code(self) -> int:
        """For `sys.exit`."""
        if self.refusal is not None:
            return self.refusal.code
        if self.forced:
            return FORCED_EXIT
        return FAILED_EXIT if self.is_down or self.lost else 0


class Processes:
    """Worker processes; they run once.

    In the main thread, TERM and INT end them: the first lets them finish what is in hand, the
    second has it given back at once, the third kills them and exits. HUP replaces them one by one,
    each by one that has joined before; if it came because the terminal was closed, it ends them.
    There is no HUP on Windows.

    Start `run` in a thread that lives as long as they are to live: on Linux they die with it.

    Args:
        command: starts one, which takes its `Lifeline` and says when it has joined.
        count: how many.
        grace: how long, in seconds, one may take to end; the processes keep to it by themselves.
        drains: a process that ends has done its work, and is not started again.
        environment: of the processes; this one's when None.
        keeps_on: do not end when all were left down: somebody will ask for new ones.
        joined: called when the first one has joined.

    Raises:
        UsageError: no processes.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        count: int,
        grace: float = GRACE,
        drains: bool = False,
        environment: Mapping[str, str] | None = None,
        keeps_on: bool = False,
        joined: Callable[[], object] | None = None,
    ) -> None:
        if not is_integer(count, least=1):
            raise UsageError(f"processes must be 1 or more, got {safe_repr(count)}")
        self._command = list(command)
        self._environment = environment
        self._keeps_on = keeps_on
        self._joined = joined
        self._children = children.beginning(
            count, grace=checked_seconds(grace, "grace"), drains=drains
        )
        self._records: dict[int, Record] = {}
        self._forgotten = Tally()
        self._notes: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self._signals: list[int] = []
        self._is_listening = False
        self._had_terminal = _has_terminal()
        self._began = False
        self._ended_by: int | None = None
        self._forced = False
        self._died = self._lost = self._replaced = 0
        self._refusal: Refusal | None = None
        self._obituaries = Obituaries()

    @property
    def status(self) -> ProcessesStatus:
        """How they are; to be asked from any thread."""
        now = self._children
        at_work = [s.child for s in now.slots if s.child is not None]
        records = [self._records.get(child.id) for s in now.slots for child in s.living]
        return ProcessesStatus(
            wanted=len(now.slots),
            working=sum(child.is_joined and child.told is None for child in at_work),
            down=sum(slot.is_down for slot in now.slots),
            is_stopping=now.told is not None,
            pids=tuple(r.process.pid for r in records if r is not None and r.process is not None),
        )

    @property
    def tally(self) -> Tally:
        """What all have handled so far, as far as they have told."""
        total = replace(self._forgotten)
        for record in list(self._records.values()):
            total.add(record.tally)
        return total

    def stop(self) -> None:
        """Ask for the end, from any thread; asked again, what is in hand is given back at once."""
        self._notes.put(("stop",))

    def replace(self) -> None:
        """Ask, from any thread, for new processes in the place of those that run."""
        self._notes.put(("replace",))

    def listen(self) -> None:
        """Let signals ask for the end from now on, until this process ends.

        Those that come after the run change nothing, but for the third. Only in the main thread.
        """
        for number, handler in self._handlers().items():
            signal.signal(number, handler)
        self._is_listening = True
        atexit.register(self._stop_listening)

    def run(self) -> Ending:
        """Have them work until the end is asked for, all are down, or, draining, all have ended."""
        if self._began:
            raise UsageError("processes run once: make others")
        self._began = True
        with self._listening():
            while True:
                self._children, actions = children.plan(self._children, time.monotonic())
                for action in actions:
                    self._do(action)
                if children.has_ended(self._children) and not self._waits_for_others():
                    return self._ending()
                self._heed(self._next_note())

    # --- what is done -----------------------------------------------------------------------------

    def _do(self, action: children.Action) -> None:
        match action:
            case Start(id=id, slot=slot):
                self._records[id] = record = Record(slot=slot)
                try:
                    record.process = self._spawned(id)
                    record.pid = record.process.pid
                except OSError as error:
                    self._notes.put(("ended", id, f"it could not be started: {error}"))
            case Tell(id=id, word=word):
                if (process := self._records[id].process) is not None:
                    process.tell(word)
            case Kill(id=id):
                self._forced = True
                if (process := self._records[id].process) is not None:
                    logger.warning("process %d does not end; it is killed", process.pid)
                    process.kill()

    def _spawned(self, id: int) -> Spawned:
        return Spawned(
            self._command,
            os.environ if self._environment is None else self._environment,
            heard=lambda news: self._notes.put(("news", id, news)),
            ended=lambda code: self._notes.put(("ended", id, code)),
        )

    # --- what is noticed --------------------------------------------------------------------------

    def _next_note(self) -> tuple[Any, ...]:
        wake_at = children.wake_at(self._children)
        left = LONGEST_WAIT if wake_at is None else wake_at - time.monotonic()
        try:
            return self._notes.get(timeout=max(0.0, min(left, LONGEST_WAIT)))
        except Empty:
            return ("nothing",)

    def _heed(self, note: tuple[Any, ...]) -> None:
        match note:
            case ("stop",):
                self._stop()
            case ("replace",):
                logger.info("replacing the processes one by one")
                self._children = children.asked_to_replace(self._children, time.monotonic())
            case ("news", int(id), dict(facts)) if id in self._records:
                self._hear(id, facts)
            case ("ended", int(id), how):
                self._bury(id, how)
            case _:
                pass

    def _stop(self) -> None:
        if self._children.told is None:
            self._ended_by = self._signals[0] if self._signals else None
            logger.info("stopping all processes; ask again to stop now")
        elif self._children.told == "stop":
            logger.warning("stopping now: what is in hand is given back")
        self._children = children.asked_to_stop(self._children)

    def _hear(self, id: int, facts: dict[str, Any]) -> None:
        record, kind = self._records[id], facts.pop("kind")
        if kind == "joined" and record.process is not None:
            if self._joined is not None and not self._children.has_joined:
                self._joined()
            was = children.slot_of(self._children, id)
            self._children = children.joined(self._children, id)
            self._replaced += was.successor is not None and was.successor.id == id
            self._obituaries.joined()
        elif kind == "tally" and record.ended is None:
            record.tally = _tally_of(facts)
        elif kind == "refused":
            record.refusal = Refusal(**facts)
        elif kind == "ended":
            record.tally, record.ended = _tally_of(facts["tally"]), facts

    def _bury(self, id: int, how: int | str) -> None:
        record, before = self._records[id], self._children
        slot = children.slot_of(before, id)
        child = next(c for c in slot.living if c.id == id)
        end = _end_of(record, before, child)
        self._children = children.ended(before, id, end, time.monotonic())
        self._forced |= how == FORCED_EXIT and end == "orderly"
        self._died += end == "died"
        self._lost += end == "died" and before.told is not None
        self._obituaries.buried(record, how, end, child, self._children)
        if self._children.cannot_start or (end != "orderly" and before.drains):
            self._refusal = self._refusal or record.refusal
        record.process = None
        self._forget()

    def _forget(self) -> None:
        """Keep no more of those that are gone than somebody wants to read: this runs for years."""
        gone = [id for id, record in self._records.items() if record.process is None]
        for id in gone[:-KEPT]:
            self._forgotten.add(self._records.pop(id).tally)

    def _waits_for_others(self) -> bool:
        """Return whether all are down, and somebody may ask for new ones."""
        now = self._children
        return self._keeps_on and now.told is None and not now.cannot_start and not now.drains

    def _ending(self) -> Ending:
        ends = [r.ended for r in self._records.values() if r.ended is not None]
        last = max(ends, key=lambda facts: facts["looked_at"], default=None)
        return Ending(
            tally=self.tally,
            by_process={r.pid: r.tally for r in self._records.values() if r.pid},
            left=None if last is None or self._forced else last["left"],
            forced=self._forced,
            signal=self._ended_by,
            died=self._died,
            lost=self._lost,
            replaced=self._replaced,
            refusal=self._refusal,
            worked=self._children.has_joined,
            is_down=any(slot.is_down for slot in self._children.slots)
            and all(slot.is_down or slot.is_done for slot in self._children.slots),
        )

    # --- signals ----------------------------------------------------------------------------------

    def _handlers(self) -> dict[int, Handler]:
        handlers: dict[int, Handler] = dict.fromkeys(map(int, SIGNALS), self._signalled)
        if sys.platform != "win32":
            handlers[signal.SIGHUP] = self._hung_up
        return handlers

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Let signals ask for the end, where Python allows it: in the main thread."""
        if self._is_listening or threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {n: signal.signal(n, handler) for n, handler in self._handlers().items()}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _stop_listening(self) -> None:
        """Ignore signals: when it is taken down, Python makes those deadly that it has handled."""
        for number, handler in self._handlers().items():
            if signal.getsignal(number) == handler:
                signal.signal(number, signal.SIG_IGN)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)
        if len(self._signals) > 2:
            for record in list(self._records.values()):
                if record.process is not None:
                    record.process.kill()
            os._exit(FORCED_EXIT)
        self._notes.put(("stop",))

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        if self._had_terminal and not _has_terminal():  # it was closed: nobody asked for new code
            self._signalled(number, frame)
        else:
            self._notes.put(("replace",))


def _has_terminal() -> bool:
    """Return whether there is a terminal that could send Ctrl-C."""
    if sys.platform == "win32":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _tally_of(facts: Mapping[str, Any]) -> Tally:
    return Tally(**{each.name: int(facts[each.name]) for each in fields(Tally)})


def _end_of(record: Record, now: Children, child: Child) -> End:
    """Return what a process's end means, by its last words."""
    if record.refusal is not None:
        return "waiting" if record.refusal.is_waiting else "refused"
    is_told = child.told is not None
    if not child.is_joined:
        return "orderly" if is_told else "died"
    if record.ended is None:
        return "died"
    return "died" if now.drains and not is_told and record.ended["signal"] else "orderly"

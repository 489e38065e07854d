"""Workers in threads: what wakes them, what does not end them, and how they end."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sourced import App, Command, Reactor, Settings, on
from sourced._faults import injected
from sourced._pace import Pace
from sourced._session import Session
from sourced._store import Claim
from sourced.errors import StoreUnavailableError, UnknownGroupError, UsageError
from sourced.memory import MemoryStore
from sourced.runtime import Ended, Supervisor
from sourced.runtime._queue import WorkQueue
from sourced.runtime._troubles import Troubles
from sourced_testing import FakeClock

AppFactory = Callable[..., App]

PATIENCE = 20.0
SELDOM = Settings(poll_interval=timedelta(hours=1))
OFTEN = Settings(poll_interval=timedelta(milliseconds=5))


class Note(Command, type="supervisor.note"):
    text: str


class Recorder(Reactor, group="Recorder"):
    """Remembers what it handled, and tells whoever waits for a number of messages."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._changed = threading.Condition()

    @on
    def note(self, message: Note) -> None:
        with self._changed:
            self.seen.append(message.text)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= count, PATIENCE), self.seen


class Gate(Reactor, group="Gate"):
    """Handles a message only when it is let through; says when one has arrived."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.opened = threading.Event()
        self.passed: list[str] = []

    @on
    def note(self, message: Note) -> None:
        self.arrived.set()
        assert self.opened.wait(PATIENCE)
        self.passed.append(message.text)


@contextmanager
def running(supervisor: Supervisor, *, stop: bool = True) -> Iterator[list[Ended]]:
    """Run a supervisor in a thread, and stop it when the block ends; give what it returned."""
    ended: list[Ended] = []
    thread = threading.Thread(target=lambda: ended.append(supervisor.run()), daemon=True)
    thread.start()
    try:
        yield ended
    finally:
        if stop:
            supervisor.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def left_behind(app: App) -> tuple[int, int]:
    """Claims and workers in the store."""
    return len(app.store.inspect.deliveries(states=["claimed"])), len(app.store.inspect.workers())


# --- what wakes them ------------------------------------------------------------------------------


def test_what_is_dispatched_while_it_runs_is_handled_without_waiting_for_the_poll(
    app_on: AppFactory,
) -> None:
    recorder = Recorder()
    app = app_on(recorder, settings=SELDOM)

    with running(Supervisor(app, threads=2)) as ended:
        for n in range(10):
            app.dispatch(Note(text=str(n)), to=f"s-{n % 3}")
        recorder.wait_for(10)

    assert sorted(recorder.seen, key=int) == [str(n) for n in range(10)]
    assert [e.exit_code for e in ended] == [0]
    assert left_behind(app) == (0, 0)


def test_what_is_there_at_the_start_is_handled(app_on: AppFactory) -> None:
    recorder = Recorder()
    app = app_on(recorder, settings=SELDOM)
    app.dispatch(Note(text="early"), to="s")

    with running(Supervisor(app)):
        recorder.wait_for(1)

    assert recorder.seen == ["early"]


def test_without_hints_the_poll_finds_the_work(app_on: AppFactory) -> None:
    """T31."""

    def lose_hints(point: str) -> None:
        if point == "notify.lost":
            raise ConnectionError("cut")

    recorder = Recorder()
    app = app_on(recorder, settings=OFTEN)

    with injected(lose_hints), running(Supervisor(app)):
        app.dispatch(Note(text="unannounced"), to="s")
        recorder.wait_for(1)

    assert recorder.seen == ["unannounced"]


def test_a_due_message_enters_the_log_and_is_handled(app_on: AppFactory, clock: FakeClock) -> None:
    recorder = Recorder()
    app = app_on(recorder, settings=OFTEN)
    app.dispatch(Note(text="later"), to="s", after=timedelta(hours=1))

    with running(Supervisor(app)):
        clock.advance(hours=1)
        recorder.wait_for(1)

    assert recorder.seen == ["later"]


def test_a_process_that_was_frozen_does_not_declare_itself_dead(
    app_on: AppFactory, clock: FakeClock
) -> None:
    recorder = Recorder()
    app = app_on(recorder, settings=OFTEN)

    with running(Supervisor(app)):
        app.dispatch(Note(text="before"), to="s")
        recorder.wait_for(1)
        (before,) = app.store.inspect.workers()
        clock.advance(hours=1)
        app.dispatch(Note(text="after"), to="s")
        recorder.wait_for(2)
        (after,) = app.store.inspect.workers()

    assert after.id == before.id


def test_what_a_dead_worker_held_is_taken_over(app_on: AppFactory, clock: FakeClock) -> None:
    recorder = Recorder()
    app = app_on(recorder, settings=OFTEN)
    app.dispatch(Note(text="held"), to="s")
    engine, registry = app.ready()
    dead = Session(engine, registry)
    dead.join()
    assert app.store.claim("Recorder", dead.worker_id)
    clock.advance(seconds=60)

    with running(Supervisor(app)):
        recorder.wait_for(1)

    assert recorder.seen == ["held"]
    assert left_behind(app) == (0, 0)


def test_more_streams_than_one_claim_takes_are_handled_by_several_threads(
    app_on: AppFactory,
) -> None:
    meeting, met = threading.Barrier(2), threading.Semaphore(0)

    class Meeting(Reactor, group="Meeting"):
        @on
        def note(self, message: Note) -> None:
            meeting.wait(PATIENCE)
            met.release()

    app = app_on(Meeting, settings=replace(OFTEN, max_streams=1))
    for n in range(2):
        app.dispatch(Note(text="meet"), to=f"s-{n}")

    with running(Supervisor(app, threads=2)):
        for n in range(2):
            assert met.acquire(timeout=PATIENCE), n

    assert not meeting.broken


def test_only_the_groups_asked_for_are_served(app_on: AppFactory) -> None:
    recorder, gate = Recorder(), Gate()
    app = app_on(recorder, gate, settings=OFTEN)
    app.dispatch(Note(text="n"), to="s")

    with running(Supervisor(app, groups=["Recorder"])):
        recorder.wait_for(1)
        (worker,) = app.store.inspect.workers()
        assert set(worker.handles) == {"Recorder"}

    assert not gate.arrived.is_set()


# --- what does not end them -----------------------------------------------------------------------


def test_a_store_that_goes_away_ends_no_thread_and_is_logged_once(
    app_on: AppFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """T8. The claims were made and their answers lost: they come free though the worker lives."""
    away, missed = threading.Event(), threading.Semaphore(0)

    def cut(point: str) -> None:
        if point == "claim.after" and away.is_set():
            missed.release()
            raise StoreUnavailableError("gone fishing")

    recorder = Recorder()
    app = app_on(recorder, settings=OFTEN)
    caplog.set_level(logging.INFO, logger="sourced")

    with injected(cut), running(Supervisor(app, threads=3)):
        away.set()
        app.dispatch(Note(text="patient"), to="s")
        for _ in range(3):
            assert missed.acquire(timeout=PATIENCE)
        told = [r.getMessage() for r in caplog.records if "store_unavailable" in r.getMessage()]
        away.clear()
        recorder.wait_for(1)

    assert recorder.seen == ["patient"]
    assert len(told) == 1


def test_what_could_not_be_given_back_comes_free_though_the_worker_lives(
    app_on: AppFactory, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T56. The round itself went well: it handled one stream, and had no time for another."""

    class Slow(Recorder, group="Slow"):
        @on
        def note(self, message: Note) -> None:
            clock.advance(3)
            super().note(message)

    slow = Slow()
    app = app_on(slow, settings=replace(OFTEN, batch_budget=timedelta(seconds=2)))
    for n in range(4):
        app.dispatch(Note(text=str(n)), to=f"s-{n}")
    release, cut = app.store.release, list[Sequence[Claim]]()

    def lose(claims: Sequence[Claim]) -> int:
        monkeypatch.setattr(app.store, "release", release)
        cut.append(claims)
        raise StoreUnavailableError("gone fishing")

    monkeypatch.setattr(app.store, "release", lose)
    with running(Supervisor(app, threads=1)):
        slow.wait_for(4)

    assert sorted(slow.seen) == ["0", "1", "2", "3"]
    assert len(cut) == 1
    assert left_behind(app) == (0, 0)


class LoudError(BaseException):
    """What no handler should raise: it is nobody's failure, and breaks the round."""


def test_a_round_that_breaks_ends_no_thread_and_keeps_no_other_group_waiting(
    app_on: AppFactory, caplog: pytest.LogCaptureFixture
) -> None:
    class Quitter(Reactor, group="Quitter"):
        @on
        def note(self, message: Note) -> None:
            raise LoudError(message.text)

    recorder = Recorder()
    app = app_on(Quitter, recorder, settings=OFTEN)

    with running(Supervisor(app, threads=1)) as ended:
        for n in range(5):
            app.dispatch(Note(text=str(n)), to=f"s-{n}")
        recorder.wait_for(5)

    assert [e.exit_code for e in ended] == [0]
    assert left_behind(app) == (0, 0)
    assert sum("group Quitter failed" in r.getMessage() for r in caplog.records) == 1


# --- how they end ---------------------------------------------------------------------------------


def test_told_to_stop_it_finishes_what_is_in_hand_and_gives_the_rest_back(
    app_on: AppFactory,
) -> None:
    gate = Gate()
    app = app_on(gate, settings=SELDOM)
    for n in range(5):
        app.dispatch(Note(text=str(n)), to=f"s-{n}")

    supervisor = Supervisor(app, threads=1)
    with running(supervisor, stop=False) as ended:
        assert gate.arrived.wait(PATIENCE)
        supervisor.stop()
        assert supervisor._stopping.wait(PATIENCE)
        gate.opened.set()

    assert gate.passed == ["0"]
    assert ended[0].exit_code == 0
    assert ended[0].tally.handled == 1
    assert left_behind(app) == (0, 0)
    waiting = app.store.inspect.deliveries(group="Gate")
    assert [(d.state, d.attempts) for d in waiting] == [("ready", 0)] * 4


@pytest.mark.parametrize("how", ["told again", "grace over"])
def test_stopped_by_force_it_gives_back_at_once_and_what_was_in_hand_is_handled_once(
    app_on: AppFactory, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    app = app_on(gate, settings=SELDOM)
    app.dispatch(Note(text="stuck"), to="s")

    supervisor = Supervisor(app, threads=1, grace=0 if how == "grace over" else 1000)
    with running(supervisor, stop=False) as ended:
        assert gate.arrived.wait(PATIENCE)
        supervisor.stop()
        if how == "told again":
            supervisor.stop()

    assert ended[0].exit_code == 70
    assert left_behind(app) == (0, 0)
    (delivery,) = app.store.inspect.deliveries(group="Gate")
    assert (delivery.state, delivery.attempts) == ("ready", 0)

    # The thread that was left behind wakes up: its commit is refused, and the next worker's stands.
    stuck = [t for t in threading.enumerate() if t.name == "sourced-1"]
    gate.opened.set()
    for thread in stuck:
        thread.join(PATIENCE)
    assert any("lease_lost" in record.getMessage() for record in caplog.records)
    assert app.drain().handled == 1


def test_the_first_signal_stops_it_and_is_told(app_on: AppFactory) -> None:
    recorder = Recorder()
    app = app_on(recorder, settings=SELDOM)
    app.dispatch(Note(text="n"), to="s")
    former = signal.getsignal(signal.SIGTERM)

    def send() -> None:
        recorder.wait_for(1)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    ended = Supervisor(app).run()
    sender.join()

    assert (ended.exit_code, ended.signal) == (0, signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is former
    assert left_behind(app) == (0, 0)


def test_the_second_signal_stops_it_by_force(app_on: AppFactory) -> None:
    gate = Gate()
    app = app_on(gate, settings=SELDOM)
    app.dispatch(Note(text="n"), to="s")
    supervisor = Supervisor(app)

    def send() -> None:
        assert gate.arrived.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)
        assert supervisor._stopping.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    ended = supervisor.run()
    sender.join()
    gate.opened.set()

    assert (ended.exit_code, ended.signal) == (70, signal.SIGINT)
    assert left_behind(app) == (0, 0)


@pytest.fixture
def former_handlers() -> Iterator[None]:
    """Signals do afterwards what they did before."""
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_once_it_listens_no_signal_that_comes_after_its_run_ends_the_process(
    app_on: AppFactory, former_handlers: None, number: signal.Signals
) -> None:
    supervisor = Supervisor(app_on(Recorder()))

    supervisor.listen()
    os.kill(os.getpid(), number)
    ended = supervisor.run()
    os.kill(os.getpid(), number)

    assert (ended.exit_code, ended.signal) == (0, number)


def test_who_listens_once_is_not_forced_by_any_signal_but_by_the_word_of_another(
    app_on: AppFactory, former_handlers: None
) -> None:
    gate = Gate()
    app = app_on(gate, settings=SELDOM)
    app.dispatch(Note(text="n"), to="s")
    supervisor = Supervisor(app)
    waited: list[bool] = []

    def send() -> None:
        assert gate.arrived.wait(PATIENCE)
        for _ in range(4):
            os.kill(os.getpid(), signal.SIGTERM)
            supervisor.stop(now=False)
        assert supervisor._stopping.wait(PATIENCE)
        waited.append(left_behind(app) == (1, 1))
        supervisor.stop(now=True)

    supervisor.listen(once=True)
    sender = threading.Thread(target=send)
    sender.start()
    ended = supervisor.run()
    sender.join()
    gate.opened.set()

    assert waited == [True]
    assert (ended.exit_code, ended.signal) == (70, signal.SIGTERM)


def test_told_to_stop_now_it_does_not_wait_for_what_is_in_hand(app_on: AppFactory) -> None:
    gate = Gate()
    app = app_on(gate, settings=SELDOM)
    app.dispatch(Note(text="n"), to="s")
    supervisor = Supervisor(app, grace=1_000)

    with running(supervisor, stop=False) as ended:
        assert gate.arrived.wait(PATIENCE)
        supervisor.stop(now=True)

    gate.opened.set()
    assert ended[0].forced
    assert left_behind(app) == (0, 0)


def test_that_it_has_joined_is_told_before_anything_is_handled(app_on: AppFactory) -> None:
    recorder = Recorder()
    app = app_on(recorder, settings=SELDOM)
    app.dispatch(Note(text="n"), to="s")
    told: list[tuple[int, list[str]]] = []

    def joined() -> None:
        told.append((len(app.store.inspect.workers()), list(recorder.seen)))

    with running(Supervisor(app, joined=joined)):
        recorder.wait_for(1)

    assert told == [(1, [])]


def test_a_signal_that_comes_when_a_drain_has_reached_its_end_did_not_end_it() -> None:
    class Leaving(MemoryStore):
        def leave(self, worker: str) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            super().leave(worker)

    app = App(Leaving()).register(Recorder())
    app.dispatch(Note(text="n"), to="s")

    ended = Supervisor(app).drain()

    assert (ended.tally.handled, ended.forced, ended.signal) == (1, False, None)


def test_told_to_stop_before_it_runs_it_ends_at_once(app_on: AppFactory) -> None:
    app = app_on(Recorder())
    supervisor = Supervisor(app)
    supervisor.stop()

    ended = supervisor.run()

    assert ended == Ended(tally=supervisor.tally)
    assert left_behind(app) == (0, 0)


def test_a_supervisor_runs_once(app_on: AppFactory) -> None:
    supervisor = Supervisor(app_on(Recorder()))
    supervisor.drain()

    with pytest.raises(UsageError, match="make another one"):
        supervisor.run()


def test_nothing_to_work_with_is_refused(app_on: AppFactory) -> None:
    with pytest.raises(UsageError, match="threads must be 1 or more"):
        Supervisor(app_on(Recorder()), threads=0)
    with pytest.raises(UsageError, match=r"register reactors with app\.register"):
        Supervisor(App())
    with pytest.raises(UnknownGroupError, match="Nobody"):
        Supervisor(app_on(Recorder()), groups=["Nobody"])
    with pytest.raises(UnknownGroupError, match=r"'Recoder'; did you mean 'Recorder'\?"):
        Supervisor(app_on(Recorder()), groups="Recoder")


@pytest.mark.parametrize("one", ["Recorder", Recorder])
def test_one_group_need_not_be_in_a_list(one: object) -> None:
    app = App().register(Recorder(), Gate())
    app.dispatch(Note(text="n"), to="s")

    ended = Supervisor(app, groups=one).drain()

    assert ended.tally.handled == 1


# --- draining -------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_draining_handles_what_is_there_due_messages_included_and_ends(
    app_on: AppFactory, clock: FakeClock, threads: int
) -> None:
    recorder = Recorder()
    app = app_on(recorder)
    app.dispatch(Note(text="due"), to="s", after=timedelta(minutes=1))
    app.dispatch(Note(text="not due"), to="s", after=timedelta(hours=1))
    for n in range(20):
        app.dispatch(Note(text=str(n)), to=f"s-{n}")
    clock.advance(minutes=1)

    ended = Supervisor(app, threads=threads).drain()

    assert len(recorder.seen) == 21
    assert (ended.exit_code, ended.tally.handled, ended.signal) == (0, 21, None)
    assert left_behind(app) == (0, 0)


def test_draining_can_be_stopped(app_on: AppFactory) -> None:
    gate = Gate()
    app = app_on(gate)
    for n in range(3):
        app.dispatch(Note(text=str(n)), to=f"s-{n}")
    supervisor = Supervisor(app, threads=1)

    def stop() -> None:
        assert gate.arrived.wait(PATIENCE)
        supervisor.stop()
        assert supervisor._stopping.wait(PATIENCE)
        gate.opened.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    ended = supervisor.drain()
    stopper.join()

    assert (ended.exit_code, ended.tally.handled) == (0, 1)
    assert left_behind(app) == (0, 0)


class Awaited(logging.Handler):
    """Tells that a drain has begun to wait for another worker."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.begun = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if "waiting until it shows life" in record.getMessage():
            self.begun.set()


@contextmanager
def draining(app: App) -> Iterator[list[Ended]]:
    """Run the block when a drain waits for another worker; then wait for the drain's end."""
    awaited, ended = Awaited(), list[Ended]()
    logger = logging.getLogger("sourced")
    former = logger.level
    logger.addHandler(awaited)
    logger.setLevel(logging.INFO)
    thread = threading.Thread(target=lambda: ended.append(Supervisor(app).drain()), daemon=True)
    thread.start()
    try:
        assert awaited.begun.wait(PATIENCE), "it did not wait"
        yield ended
        thread.join(PATIENCE)
        assert not thread.is_alive()
    finally:
        logger.removeHandler(awaited)
        logger.setLevel(former)


def held_by_another(app: App) -> Session:
    """Let another worker claim what is there, and not beat."""
    engine, registry = app.ready()
    another = Session(engine, registry)
    another.join()
    assert app.store.claim("Recorder", another.worker_id)
    return another


def test_draining_waits_for_the_lease_of_a_dead_worker_and_handles_what_it_held(
    app_on: AppFactory, clock: FakeClock
) -> None:
    recorder = Recorder()
    app = app_on(recorder)
    app.dispatch(Note(text="held"), to="s")
    held_by_another(app)

    with draining(app) as ended:
        assert recorder.seen == []
        clock.advance(seconds=16)

    assert (recorder.seen, ended[0].tally.handled) == (["held"], 1)
    assert left_behind(app) == (0, 0)


def test_draining_leaves_a_live_worker_what_it_holds(app_on: AppFactory, clock: FakeClock) -> None:
    recorder = Recorder()
    app = app_on(recorder)
    app.dispatch(Note(text="held"), to="s")
    another = held_by_another(app)

    with draining(app) as ended:
        clock.advance(seconds=5)
        another.beat()

    assert (recorder.seen, ended[0].tally.handled) == ([], 0)
    assert left_behind(app) == (1, 1)


def test_draining_that_waits_for_another_worker_can_be_stopped(app_on: AppFactory) -> None:
    app = app_on(Recorder())
    app.dispatch(Note(text="held"), to="s")
    held_by_another(app)
    supervisor = Supervisor(app)
    ended: list[Ended] = []
    thread = threading.Thread(target=lambda: ended.append(supervisor.drain()), daemon=True)
    thread.start()

    supervisor.stop()
    thread.join(PATIENCE)

    assert [each.exit_code for each in ended] == [0]
    assert left_behind(app) == (1, 1)


def test_draining_tells_that_the_store_went_away(app_on: AppFactory) -> None:
    def cut(point: str) -> None:
        if point == "claim.after":
            raise StoreUnavailableError("gone fishing")

    app = app_on(Recorder())
    app.dispatch(Note(text="n"), to="s")

    with injected(cut), pytest.raises(StoreUnavailableError, match="gone fishing"):
        Supervisor(app).drain()


# --- the parts ------------------------------------------------------------------------------------


def test_a_burst_of_hints_takes_no_more_places_than_there_are_threads() -> None:
    queue = WorkQueue(["a"], places=2)
    for _ in range(1000):
        queue.add(["a", "of somebody else"])

    assert [queue.take(), queue.take()] == ["a", "a"]
    queue.close()
    assert queue.take() is None


def test_a_group_that_had_its_turn_goes_to_the_back() -> None:
    queue = WorkQueue(["busy", "quiet"], places=2)
    queue.add(["busy"])
    queue.add(["quiet"])

    first = queue.take()
    queue.add(["busy"])

    assert (first, queue.take(), queue.take()) == ("busy", "quiet", "busy")


def test_a_resting_group_gets_no_turn_until_its_rest_is_over() -> None:
    clock = FakeClock()
    queue = WorkQueue(["a", "b"], places=3, monotonic=clock.monotonic)
    queue.add(["a"], times=2)
    queue.rest("a", 5)
    queue.add(["a", "b"])

    assert queue.take() == "b"
    clock.advance(seconds=5)
    queue.add(["a"])
    assert queue.take() == "a"


def test_a_closed_queue_tells_those_who_wait() -> None:
    queue = WorkQueue(["a"], places=1)
    taken: list[Any] = []
    waiting = [threading.Thread(target=lambda: taken.append(queue.take())) for _ in range(3)]
    for thread in waiting:
        thread.start()

    queue.close()
    for thread in waiting:
        thread.join(PATIENCE)

    assert taken == [None, None, None]


def test_rounds_of_slow_handlers_claim_fewer_streams_and_of_fast_ones_more() -> None:
    pace = Pace(bound=50, budget=0.2)
    fast = []
    for _ in range(4):
        pace.took(pace.streams, 0.01)
        fast.append(pace.streams)
    pace.took(50, 50.0)
    slow = pace.streams
    pace.took(0, 10.0)

    assert fast == [2, 4, 8, 16]
    assert (slow, pace.streams) == (1, 1)


def test_the_store_works_again_when_it_has_not_failed_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    troubles = Troubles(monotonic=clock.monotonic)

    for group in ("group a", "group b", "group a"):
        troubles.failed(group, StoreUnavailableError("gone fishing"))
        clock.advance(seconds=1)
        troubles.worked("housekeeping")
    clock.advance(seconds=2)
    troubles.worked("housekeeping")

    assert [r.getMessage() for r in caplog.records] == [
        "store_unavailable: gone fishing; trying again until it answers",
        "the store works again",
    ]


def test_pauses_grow_and_start_again_once_it_works(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles()

    pauses = [troubles.failed("polling", RuntimeError("no")) for _ in range(12)]
    troubles.worked("something else")
    still = troubles.failed("polling", RuntimeError("no"))
    troubles.worked("polling")
    again = troubles.failed("polling", RuntimeError("no"))

    assert pauses[0] <= 0.1 < pauses[4]
    assert max(pauses) <= 5.0
    assert still > 1.0
    assert again <= 0.1
    assert [r.getMessage() for r in caplog.records] == [
        "polling failed; trying again",
        "polling works again",
        "polling failed; trying again",
    ]

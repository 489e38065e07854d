"""Workers beside a program that does something else: how they start, and how they end."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from sourced import App, Command, Reactor, Settings, on
from sourced.errors import SchemaError, StoreUnavailableError, UnknownGroupError, UsageError

AppFactory = Callable[..., App]

PATIENCE = 20.0
SELDOM = Settings(poll_interval=timedelta(hours=1))


class Note(Command, type="background.note"):
    text: str = ""


class Recorder(Reactor, group="Recorder"):
    def __init__(self) -> None:
        self.seen: list[str] = []

    @on
    def note(self, message: Note) -> None:
        self.seen.append(message.text)


class Gate(Reactor, group="Gate"):
    """Handles a message only when it is let through; says when one has arrived."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.opened = threading.Event()

    @on
    def note(self, message: Note) -> None:
        self.arrived.set()
        assert self.opened.wait(PATIENCE)


def left_behind(app: App) -> tuple[int, int]:
    """Claims and workers in the store."""
    return len(app.store.inspect.deliveries(states=["claimed"])), len(app.store.inspect.workers())


def join_left_behind() -> None:
    """Wait for the threads that workers have left behind when their grace was over."""
    for thread in threading.enumerate():
        if re.fullmatch(r"sourced-\d+", thread.name):
            thread.join(PATIENCE)
            assert not thread.is_alive(), thread


# --- how they start -------------------------------------------------------------------------------


def test_a_block_has_workers_that_are_gone_when_it_ends(live_app_on: AppFactory) -> None:
    recorder = Recorder()
    app = live_app_on(recorder, settings=SELDOM)

    with app.workers(threads=2) as workers:
        app.wait(app.dispatch(Note(text="a"), to="s"), timeout=PATIENCE)
        inside = workers.running, left_behind(app)[1], workers.tally.handled

    assert recorder.seen == ["a"]
    assert inside == (True, 1, 1)
    assert not workers.running
    assert workers.ended is not None
    assert (workers.ended.exit_code, workers.tally.handled) == (0, 1)
    assert left_behind(app) == (0, 0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_block_has_them_too_and_blocks_no_loop(
    live_app_on: AppFactory, backend: str
) -> None:
    """While it waits for its end, what is in hand needs the loop to go on."""
    gate = Gate()
    app = live_app_on(gate, settings=SELDOM)

    async def open_when_stopping() -> None:
        while app.store.inspect.workers():
            await anyio.lowlevel.checkpoint()
            gate.opened.set()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            async with app.workers(count=2) as workers:
                await app.aio.dispatch(Note(), to="s")
                assert await anyio.to_thread.run_sync(gate.arrived.wait, PATIENCE)
                tasks.start_soon(open_when_stopping)
            assert workers.ended is not None
            assert workers.ended.tally.handled == 1

    anyio.run(main, backend=backend)

    assert left_behind(app) == (0, 0)


def test_started_twice_they_run_once_and_stopped_twice_they_are_stopped(
    live_app_on: AppFactory,
) -> None:
    recorder = Recorder()
    app = live_app_on(recorder, settings=SELDOM)

    workers = app.workers()
    workers.start().start()
    with workers:
        count = left_behind(app)[1]
    ended = workers.ended

    assert count == 1
    assert workers.stop() is None
    assert workers.ended is ended
    assert left_behind(app) == (0, 0)


def test_stopped_they_may_be_started_again(live_app_on: AppFactory) -> None:
    recorder = Recorder()
    app = live_app_on(recorder, settings=SELDOM)
    workers = app.workers()

    for text in "ab":
        with workers:
            app.wait(app.dispatch(Note(text=text), to="s"), timeout=PATIENCE)

    assert recorder.seen == ["a", "b"]
    app.close()
    app.close()


def test_only_the_groups_asked_for_are_served(live_app_on: AppFactory) -> None:
    app = live_app_on(Recorder(), Gate(), settings=SELDOM)

    with app.workers(groups="Recorder"):
        (worker,) = app.store.inspect.workers()

    assert set(worker.handles) == {"Recorder"}


def test_what_they_cannot_be_is_told_before_they_start(live_app_on: AppFactory) -> None:
    app = live_app_on(Recorder())

    with pytest.raises(UsageError, match="threads must be 1 or more"):
        app.workers(threads=0)
    with pytest.raises(UnknownGroupError):
        app.workers(groups="Recordr")
    with pytest.raises(UsageError, match="grace"):
        app.workers(grace="soon")  # type: ignore[arg-type]


@pytest.mark.integration
def test_a_schema_that_is_missing_is_told_at_the_start(tmp_path: Path) -> None:
    app = App(f"sqlite:///{tmp_path / 'empty.db'}").register(Recorder())
    workers = app.workers()

    with pytest.raises(SchemaError):
        workers.start()
    with pytest.raises(SchemaError):
        asyncio.run(workers.__aenter__())

    assert workers.stop() is None
    app.install()
    with workers:
        assert workers.running
    app.close()


@pytest.mark.integration
def test_a_store_that_is_away_is_told_at_the_start() -> None:
    app = App("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1&pool_timeout=1")
    app.register(Recorder())

    with pytest.raises(StoreUnavailableError), app.workers():
        pass

    app.close()


def test_they_touch_no_signal_though_started_in_the_main_thread(live_app_on: AppFactory) -> None:
    app = live_app_on(Recorder(), settings=SELDOM)
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD]
    before = [signal.getsignal(number) for number in numbers]

    with app.workers():
        inside = [signal.getsignal(number) for number in numbers]

    assert inside == before


# --- how they end ---------------------------------------------------------------------------------


def test_what_outlasts_the_grace_is_given_back_without_an_attempt(
    live_app_on: AppFactory,
) -> None:
    gate = Gate()
    app = live_app_on(gate, settings=SELDOM)
    for n in range(3):
        app.dispatch(Note(), to=f"s-{n}")

    with app.workers(threads=1, grace=0) as workers:
        assert gate.arrived.wait(PATIENCE)

    assert workers.ended is not None
    assert workers.ended.forced
    assert left_behind(app) == (0, 0)
    waiting = app.store.inspect.deliveries(group="Gate")
    assert [(d.state, d.attempts) for d in waiting] == [("ready", 0)] * 3
    gate.opened.set()
    join_left_behind()  # its commit is refused
    assert len(app.store.inspect.deliveries(group="Gate")) == 3


class Endless(Reactor, group="Endless"):
    def __init__(self) -> None:
        self.arrived = threading.Event()

    @on
    async def note(self, message: Note) -> None:
        self.arrived.set()
        await asyncio.Event().wait()


def test_a_coroutine_that_never_ends_does_not_hold_up_the_stop_beyond_the_grace(
    live_app_on: AppFactory,
) -> None:
    endless = Endless()
    app = live_app_on(endless, settings=SELDOM)
    app.dispatch(Note(), to="s")

    with app.workers(grace=0) as workers:
        assert endless.arrived.wait(PATIENCE)

    assert workers.ended is not None
    assert workers.ended.forced
    assert left_behind(app) == (0, 0)
    (delivery,) = app.store.inspect.deliveries(group="Endless")
    assert (delivery.state, delivery.attempts) == ("ready", 0)
    app.ready()[0].runner.close()
    join_left_behind()  # its thread is told when the loop ends


def test_closing_an_app_cancels_a_coroutine_that_never_ends() -> None:
    endless = Endless()
    app = App().register(endless)
    app.dispatch(Note(), to="s")

    with app.workers(grace=0):
        assert endless.arrived.wait(PATIENCE)
    app.close()

    join_left_behind()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_start_that_is_cancelled_leaves_no_workers(live_app_on: AppFactory, backend: str) -> None:
    app = live_app_on(Recorder(), settings=SELDOM)
    workers = app.workers()
    entered: list[bool] = []

    async def enter() -> None:
        async with workers:
            entered.append(workers.running)
            await anyio.sleep_forever()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enter)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)

    assert entered in ([], [True])
    assert not workers.running
    assert left_behind(app) == (0, 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_start_whose_task_asyncio_cancels_leaves_no_workers(
    live_app_on: AppFactory, when: str
) -> None:
    app = live_app_on(Recorder(), settings=SELDOM)
    workers = app.workers()
    starting, opened, ended = threading.Event(), threading.Event(), threading.Event()
    start = workers._start_unless

    def slow(abandoned: threading.Event) -> None:
        if when == "after":
            start(abandoned)
        starting.set()
        assert opened.wait(PATIENCE)
        if when == "before":
            start(abandoned)
        ended.set()

    workers._start_unless = slow  # type: ignore[method-assign]  # to be cancelled in the middle

    async def main() -> None:
        entering = asyncio.create_task(workers.__aenter__())
        assert await anyio.to_thread.run_sync(starting.wait, PATIENCE)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        opened.set()
        assert await anyio.to_thread.run_sync(ended.wait, PATIENCE)

    asyncio.run(main())

    assert not workers.running
    assert left_behind(app) == (0, 0)


PROGRAM = """
import os, sys
from sourced import App, Command, Reactor, on

class Note(Command, type="background.note"):
    text: str = ""

class Recorder(Reactor, group="Recorder"):
    @on
    def note(self, message: Note) -> None: ...

app = App(sys.argv[1]).register(Recorder)
app.install()
workers = app.workers().start()
"""


def run_program(source: str, url: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM + source, url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.integration
@pytest.mark.parametrize("end", ["", "sys.exit(0)"])
def test_a_program_that_ends_in_an_orderly_way_stops_them(tmp_path: Path, end: str) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"

    run_program(f"app.wait(app.dispatch(Note(), to='s'))\n{end}", url)

    with App(url).register(Recorder()) as app:
        assert left_behind(app) == (0, 0)
        app.wait_for(Recorder, "s", 1, timeout=0)


@pytest.mark.integration
def test_after_a_fork_the_child_has_none_and_leaves_its_parents_alone(tmp_path: Path) -> None:
    source = """
child = os.fork()
if child == 0:
    os.write(1, f"{workers.running} {workers.stop()}".encode())
    os._exit(0)
os.waitpid(child, 0)
print("", workers.running, flush=True)
app.wait(app.dispatch(Note(), to='s'))
"""

    said = run_program(source, f"sqlite:///{tmp_path / 'shop.db'}")

    assert said == "False None True\n"

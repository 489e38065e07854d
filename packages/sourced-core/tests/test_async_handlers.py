"""Async reactions, syncs and hooks work under `drain`; streams of one batch go concurrently."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from sourced import (
    Actor,
    App,
    Batch,
    Command,
    Dispatch,
    ErrorPolicy,
    Event,
    EventSourcedProjector,
    Reactor,
    Settings,
    Unit,
    _async,
    command,
    event,
    on,
    react,
)
from sourced.errors import StreamParkedError, UsageError

AppFactory = Callable[..., App]

PATIENCE = 20.0


class Ask(Command, type="async.ask"):
    pass


class Asked(Event, type="async.asked"):
    pass


class Answer(Command, type="async.answer"):
    pass


class Asker(Actor[dict[str, int]], group="Asker"):
    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {"asked": 0}

    @command
    def ask(self, state: dict[str, int], cmd: Ask):  # type: ignore[no-untyped-def]  # as users do
        yield Asked()

    @event
    def asked(self, state: dict[str, int], event: Asked) -> None:
        state["asked"] += 1

    @react
    async def answer(self, state: dict[str, int], event: Asked) -> AsyncIterator[Dispatch[Answer]]:
        await asyncio.sleep(0)
        yield Dispatch(Answer(), to="answers")


def test_an_async_reaction_runs_under_drain(app_on: AppFactory) -> None:
    app = app_on(Asker)
    app.dispatch(Ask(), to="a-1")

    app.drain()

    assert [m.meta.type for m in app.read_stream("answers")] == ["async.answer"]


def test_an_async_reaction_runs_in_a_unit(app_on: AppFactory) -> None:
    app = app_on(Asker)

    result = Unit(app, Asker).handle(Ask(), to="a-1")

    assert [m.meta.type for m in result.messages] == ["async.ask", "async.asked", "async.answer"]


def test_drain_works_inside_a_running_event_loop(app_on: AppFactory) -> None:
    app = app_on(Asker)
    app.dispatch(Ask(), to="a-1")

    async def main() -> None:
        app.drain()

    asyncio.run(main())

    assert len(list(app.read_stream("answers"))) == 1


def test_async_reactions_of_different_streams_in_one_batch_run_at_the_same_time(
    app_on: AppFactory,
) -> None:
    """Each waits for the other: one after the other would never end."""
    arrived: set[str] = set()
    both = asyncio.Event()

    class Meeting(Reactor, group="Meeting"):
        @on
        async def meet(self, event: Asked) -> None:
            arrived.add(str(event.meta.stream_id))
            if len(arrived) == 2:
                both.set()
            await asyncio.wait_for(both.wait(), 10)

    app = app_on(Meeting)
    app.append(Asked(), to="a-1")
    app.append(Asked(), to="a-2")

    result = app.drain()

    assert (result.handled, result.failed) == (2, 0)


def test_a_failing_async_reaction_fails_its_own_stream_only(app_on: AppFactory) -> None:
    class Picky(Reactor, group="Picky"):
        @on
        async def pick(self, event: Asked) -> None:
            await asyncio.sleep(0)
            if event.meta.stream_id == "bad":
                raise ValueError("no")

    app = app_on(Picky)
    app.append(Asked(), to="bad")
    app.append(Asked(), to="good")

    result = app.drain()

    assert (result.handled, result.retried) == (1, 1)


def test_async_syncs_and_hooks_are_awaited_one_after_the_other(app_on: AppFactory) -> None:
    running: list[str] = []
    most: list[int] = []

    class Rows(EventSourcedProjector[dict[str, int]], group="Rows"):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {"n": 0}

        @event
        def asked(self, state: dict[str, int], event: Asked) -> None:
            state["n"] += 1

        async def sync(self, state: dict[str, int], batch: Batch) -> None:
            running.append(batch.stream_id)
            await asyncio.sleep(0)
            most.append(len(running))
            running.remove(batch.stream_id)

        async def after_commit(self, state: dict[str, int], batch: Batch) -> None:
            await asyncio.sleep(0)
            done.append((batch.stream_id, state["n"]))

    done: list[tuple[str, Any]] = []
    app = app_on(Rows)
    app.append(Asked(), to="a-1")
    app.append(Asked(), to="a-2")

    app.drain()

    assert most == [1, 1]
    assert sorted(done) == [("a-1", 1), ("a-2", 1)]


def test_an_async_sync_that_uses_the_app_is_refused_as_a_plain_one_is(app_on: AppFactory) -> None:
    """It runs in the loop's thread, and would wait there for the transaction that waits for it."""
    errors: list[Exception] = []

    class Nested(EventSourcedProjector[None], group="Nested"):
        def initial_state(self, stream_id: str) -> None: ...

        @event
        def asked(self, state: None, event: Asked) -> None: ...

        async def sync(self, state: None, batch: Batch) -> None:
            await asyncio.sleep(0)
            seen.append(len(list(app.read_stream(batch.stream_id))))
            try:
                app.dispatch(Ask(), to="n")
            except UsageError as error:
                errors.append(error)
                raise

    seen: list[int] = []
    app = app_on(Nested)
    app.append(Asked(), to="a-1")

    result = app.drain()

    assert (result.handled, seen) == (0, [1])
    assert "inside an open transaction" in str(errors[0])
    assert list(app.read_stream("n")) == []


# --- under the workers ----------------------------------------------------------------------------


def test_async_reactions_of_different_streams_run_at_the_same_time_under_the_workers(
    live_app_on: AppFactory,
) -> None:
    """With one thread: each waits for the other, and one after the other would never end."""
    arrived: set[str] = set()
    both = asyncio.Event()

    class Meeting(Reactor, group="Meeting"):
        @on
        async def meet(self, event: Asked) -> None:
            arrived.add(str(event.meta.stream_id))
            if len(arrived) == 2:
                both.set()
            await both.wait()

    app = live_app_on(Meeting)
    for n in (1, 2):
        app.append(Asked(), to=f"a-{n}")

    with app.workers(threads=1) as workers:
        for n in (1, 2):
            app.wait_for(Meeting, f"a-{n}", 1, timeout=PATIENCE)

    assert (workers.tally.handled, workers.tally.failed) == (2, 0)


def test_a_handler_that_blocks_the_loop_is_named_and_told_how_long(
    live_app_on: AppFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_async, "BLOCKED", 0.05)
    told = threading.Event()

    class Tell(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    class Blocking(Reactor, group="Blocking"):
        @on
        async def stare(self, event: Asked) -> None:
            assert told.wait(PATIENCE)

    app = live_app_on(Blocking)
    app.append(Asked(), to="a-7")
    handler = Tell()
    logging.getLogger("sourced").addHandler(handler)

    app.drain()

    logging.getLogger("sourced").removeHandler(handler)
    (record,) = [r for r in caplog.records if "blocks the event loop" in r.getMessage()]
    assert re.search(
        r"^group Blocking, stream a-7: \S*Blocking\.stare \(\S*test_async_handlers\.py:\d+\) "
        r"blocks the event loop, for 0\.\d s now",
        record.getMessage(),
    )
    assert record.levelno == logging.WARNING


def test_a_task_that_a_handler_starts_is_named_after_it(
    live_app_on: AppFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_async, "BLOCKED", 0.02)

    class Delegating(Reactor, group="Delegating"):
        @on
        async def ask(self, event: Asked) -> None:
            await asyncio.gather(self.stare())

        async def stare(self) -> None:
            while "blocks the event loop" not in caplog.text:
                os.sched_yield()

    app = live_app_on(Delegating)
    app.append(Asked(), to="a-7")

    app.drain()

    assert "group Delegating, stream a-7: " in caplog.text
    assert "Delegating.stare" in caplog.text


def test_a_handler_that_waits_as_it_should_is_not_named(
    live_app_on: AppFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_async, "BLOCKED", 0.5)
    looks = threading.Semaphore(0)
    look = _async._Loop._look

    def noted(self: _async._Loop) -> None:
        look(self)
        looks.release()

    monkeypatch.setattr(_async._Loop, "_look", noted)

    class Patient(Reactor, group="Patient"):
        @on
        async def rest(self, event: Asked) -> None:
            while not looks.acquire(blocking=False):  # noqa: ASYNC110 - a thread tells
                await asyncio.sleep(0.01)

    app = live_app_on(Patient)
    app.append(Asked(), to="a-1")

    assert app.drain().handled == 1
    assert "blocks the event loop" not in caplog.text


def test_a_handler_that_blocks_for_longer_than_the_lease_keeps_it_and_its_effects_happen_once(
    live_app_on: AppFactory,
) -> None:
    """Another process reaps the dead at every poll, and would take over and answer again."""
    settings = Settings(
        lease=timedelta(milliseconds=600),
        heartbeat=timedelta(milliseconds=100),
        poll_interval=timedelta(milliseconds=50),
    )
    arrived, opened = threading.Event(), threading.Event()
    runs: list[str] = []

    class Blocking(Reactor, group="Blocking"):
        @on
        async def answer(self, event: Asked) -> AsyncIterator[Dispatch[Answer]]:
            runs.append(str(event.meta.stream_id))
            arrived.set()
            assert opened.wait(PATIENCE)  # the loop stands still
            yield Dispatch(Answer(), to="answers")

    here, there = (live_app_on(Blocking, settings=settings) for _ in "12")
    here.append(Asked(), to="a-1")

    with here.workers(threads=2):
        assert arrived.wait(PATIENCE)
        (worker,) = here.store.inspect.workers()
        with there.workers(threads=2):
            while _seen(here, worker.id) - worker.seen_at < 2 * settings.lease:
                os.sched_yield()
            opened.set()
            here.wait_for(Blocking, "a-1", 1, timeout=PATIENCE)

    assert runs == ["a-1"]
    assert len(list(here.read_stream("answers"))) == 1


def _seen(app: App, worker_id: str) -> datetime:
    return next(w.seen_at for w in app.store.inspect.workers() if w.id == worker_id)


@pytest.mark.parametrize("how", ["raises", "cancels its task", "cancels its task at the end"])
def test_a_handler_that_is_cancelled_fails_its_own_stream_only(
    live_app_on: AppFactory, how: str
) -> None:
    class Quitter(Reactor, group="Quitter"):
        @on
        async def quit(self, event: Asked) -> None:
            await asyncio.sleep(0)
            if event.meta.stream_id != "bad":
                return
            if how == "raises":
                raise asyncio.CancelledError
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            if how == "cancels its task":
                await asyncio.sleep(0)

    app = live_app_on(Quitter, settings=Settings(errors=ErrorPolicy(retries=0)))
    for stream in ("bad", "good"):
        app.append(Asked(), to=stream)

    with app.workers(threads=1):
        app.wait_for(Quitter, "good", 1, timeout=PATIENCE)
        with pytest.raises(StreamParkedError):
            app.wait_for(Quitter, "bad", 1, timeout=PATIENCE)

    (parked,) = app.store.inspect.deliveries(group="Quitter")
    assert parked.stream_id == "bad"
    assert "CancelledError" in (parked.error or "")


def test_a_handler_that_blocks_the_loop_does_not_hang_the_end_of_its_app(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_async, "CLOSE_PATIENCE", 0.05)
    arrived, opened = threading.Event(), threading.Event()

    async def stare() -> None:
        arrived.set()
        assert opened.wait(PATIENCE)

    runner = _async.AsyncRunner()

    def wait() -> None:
        with pytest.raises(UsageError, match="was closed"):
            runner.gather_all([stare()], ["group Blocking"])

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert arrived.wait(PATIENCE)

    runner.close()

    assert "group Blocking: " in caplog.text
    assert "left behind when its app was closed" in caplog.text
    opened.set()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()

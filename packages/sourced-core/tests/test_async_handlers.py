"""Async reactions, syncs and hooks work under `drain`; streams of one batch go concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from sourced import (
    Actor,
    App,
    Batch,
    Command,
    Dispatch,
    Event,
    EventSourcedProjector,
    Reactor,
    Unit,
    command,
    event,
    on,
    react,
)
from sourced.errors import UsageError

AppFactory = Callable[..., App]


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

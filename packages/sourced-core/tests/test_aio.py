"""The verbs as coroutines, under asyncio and trio: what they answer, and what cancelling leaves."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from sourced import (
    Actor,
    App,
    Command,
    Dispatch,
    Event,
    Reactor,
    Settings,
    command,
    event,
    on,
)
from sourced import _waiting as waiting
from sourced._aio import THREADS, Aio, AioGroups
from sourced._faults import injected
from sourced._groups import Groups
from sourced._waiting import Waiting
from sourced.errors import ConcurrencyError, ConfigurationError, UsageError, WaitTimeoutError
from sourced.memory import MemoryStore

AppFactory = Callable[..., App]

PATIENCE = 20.0
OFTEN = Settings(poll_interval=timedelta(milliseconds=20))

pytestmark = pytest.mark.anyio
caller: ContextVar[str] = ContextVar("caller", default="nobody")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


class Add(Command, type="aio.add"):
    n: int = 1


class Added(Event, type="aio.added"):
    n: int
    by: str


class Sum(Actor[dict[str, Any]], group="Sum"):
    def initial_state(self, stream_id: str) -> dict[str, Any]:
        return {"sum": 0, "by": set()}

    @command
    def add(self, state: dict[str, Any], cmd: Add) -> Iterator[Event]:
        yield Added(n=cmd.n, by=caller.get())

    @event
    def added(self, state: dict[str, Any], event: Added) -> None:
        state["sum"] += event.n
        state["by"].add(event.by)


class Gate(Reactor, group="Gate"):
    """Handles a message only when it is let through; says when one has arrived."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.opened = threading.Event()

    @on
    def add(self, message: Add) -> None:
        self.arrived.set()
        assert self.opened.wait(PATIENCE)


def left_behind(app: App) -> tuple[int, int]:
    """Claims and workers in the store."""
    return len(app.store.inspect.deliveries(states=["claimed"])), len(app.store.inspect.workers())


async def until(event: threading.Event) -> None:
    """Wait for what another thread tells, without holding up the loop."""
    assert await anyio.to_thread.run_sync(event.wait, PATIENCE)


# --- what they answer -----------------------------------------------------------------------------


async def test_each_verb_answers_as_the_one_it_is_named_after(app_on: AppFactory) -> None:
    app = app_on(Sum)
    aio = app.aio

    receipt = await aio.dispatch(Add(n=2), to="s")
    many = await aio.dispatch_many([Dispatch(Add(n=3), to="s"), Dispatch(Add(n=4), to="s")])
    drained = await aio.drain(threads=2)
    await aio.wait(receipt, timeout=0)
    await aio.wait_for(Sum, "s", 3, timeout=0)
    handled = await aio.handle(Add(n=5), to="s")
    appended = await aio.append(Added(n=6, by="import"), to="s", expected_seq=8)
    loaded = await aio.load(Sum, "s")
    later = await aio.dispatch(Add(), to="s", after=timedelta(hours=1))

    assert (receipt.seq, [one.seq for one in many], drained.handled) == (1, [2, 3], 3)
    assert [m.meta.type for m in handled] == ["aio.added"]
    assert (appended[0].meta.seq, loaded.state["sum"]) == (9, 20)
    assert [m.meta.seq async for m in aio.read_stream("s", after=7)] == [8, 9]
    assert len(await aio.read_all(limit=4)) == 4
    assert (await aio.trace(receipt)).roots[0].message.meta.id == receipt.message_id
    assert await aio.cancel(later)
    assert await aio.install() is False


async def test_the_groups_have_their_verbs_too(app_on: AppFactory) -> None:
    app = app_on(Sum)
    await app.aio.dispatch(Add(), to="s")
    await app.aio.drain()
    groups = app.aio.groups

    await groups.stop(Sum, reason="night", wait=1)
    stopped = await groups.status(Sum)
    await groups.start(Sum)
    await app.aio.dispatch(Add(), to="s")
    skipped = await groups.skip(Sum, "s")
    reset = await groups.reset(Sum)

    assert (stopped.status, skipped, reset.done) == ("stopped", 3, 1)
    assert await groups.retry(Sum) == 0


async def test_an_error_is_the_verbs_own(app_on: AppFactory) -> None:
    app = app_on(Sum)

    with pytest.raises(ConcurrencyError):
        await app.aio.append(Added(n=1, by=""), to="s", expected_seq=7)
    with pytest.raises(UsageError):
        app.aio.read_stream("s", after=-1)
    receipt = await app.aio.dispatch(Add(), to="s")
    with pytest.raises(WaitTimeoutError, match=r"'Sum' has not handled aio\.add \(s #1\)"):
        await app.aio.wait(receipt, timeout=0.05)


async def test_a_stream_longer_than_a_page_is_read_to_its_end(app_on: AppFactory) -> None:
    app = app_on(Sum)
    app.append([Added(n=n, by="") for n in range(1201)], to="s")

    read = [m.meta.seq async for m in app.aio.read_stream("s")]

    assert read == list(range(1, 1202))


async def test_context_variables_reach_the_handlers(app_on: AppFactory) -> None:
    app = app_on(Sum)
    caller.set("request-7")

    await app.aio.handle(Add(), to="s")
    await app.aio.dispatch(Add(), to="s")
    await app.aio.drain()

    assert app.load(Sum, "s").state["by"] == {"request-7"}


async def test_context_variables_reach_async_handlers(app_on: AppFactory) -> None:
    seen: list[str] = []

    class Listener(Reactor, group="Listener"):
        @on
        async def added(self, event: Added) -> None:
            await asyncio.sleep(0)
            seen.append(caller.get())

    app = app_on(Listener)
    caller.set("request-8")
    await app.aio.append(Added(n=1, by=""), to="s")

    await app.aio.drain()

    assert seen == ["request-8"]


async def test_a_blocking_verb_may_be_called_on_the_loops_own_thread(app_on: AppFactory) -> None:
    app = app_on(Sum)

    app.dispatch(Add(), to="s")

    assert app.drain().handled == 1


def test_every_verb_has_its_coroutine() -> None:
    others = {
        "aio", "bind", "close", "groups", "installed", "reactors", "register", "transaction",
        "workers", "addressed", "metrics", "reader", "ready", "registered", "trace_with", "waiting",
        "waiting_for",
    }  # fmt: skip

    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(App) - others == public(Aio) - {"groups"}
    assert public(Groups) - {"name_of", "names_of"} == public(AioGroups)


def test_a_verbs_signature_and_documentation_are_those_of_the_one_it_is_named_after() -> None:
    app = App(MemoryStore())

    for name in ("dispatch", "append", "handle", "load", "read_all", "wait", "wait_for", "drain"):
        blocking, coroutine = getattr(app, name), getattr(app.aio, name)
        assert [*inspect.signature(coroutine).parameters] == [
            *inspect.signature(blocking).parameters
        ]
        assert inspect.iscoroutinefunction(coroutine)
        assert name in (coroutine.__doc__ or "") or coroutine.__doc__ == blocking.__doc__
    app.close()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anyio", None)
    monkeypatch.delitem(sys.modules, "sourced._aio")
    app = App(MemoryStore()).register(Sum)

    with pytest.raises(ConfigurationError, match=r"pip install 'sourced-core\[workers\]'"):
        _ = app.aio
    with pytest.raises(ConfigurationError, match=r"pip install 'sourced-core\[workers\]'"):
        asyncio.run(app.workers().__aenter__())
    app.close()


# --- many at once ---------------------------------------------------------------------------------


async def test_more_waits_than_threads_hold_up_neither_each_other_nor_anybody_else(
    live_app_on: AppFactory,
) -> None:
    gate = Gate()
    app = live_app_on(gate, settings=OFTEN)
    over: list[int] = []

    async def request(n: int) -> None:
        receipt = await app.aio.dispatch(Add(), to=f"s-{n}")
        await app.aio.wait(receipt, timeout=PATIENCE)
        over.append(n)

    async with app.workers(threads=2), anyio.create_task_group() as requests:
        for n in range(3 * THREADS):
            requests.start_soon(request, n)
        await until(gate.arrived)
        await app.aio.append(Added(n=1, by=""), to="free")
        before = list(over)
        gate.opened.set()

    assert before == []
    assert sorted(over) == list(range(3 * THREADS))
    assert left_behind(app) == (0, 0)


async def test_a_wait_is_woken_by_what_workers_of_this_process_commit(
    live_app_on: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 3600.0)  # it would look again in an hour
    gate = Gate()
    app = live_app_on(gate)
    over: list[str] = []

    async def request() -> None:
        await app.aio.wait(await app.aio.dispatch(Add(), to="s"), timeout=7200)
        over.append("request")

    with anyio.fail_after(PATIENCE):
        async with app.workers(), anyio.create_task_group() as requests:
            requests.start_soon(request)
            await until(gate.arrived)
            gate.opened.set()

    assert over == ["request"]


async def test_verbs_take_no_places_of_anyios_own_threads(app_on: AppFactory) -> None:
    app = app_on(Sum)
    everywhere = anyio.to_thread.current_default_thread_limiter()
    borrowed: list[int] = []

    def look(point: str) -> None:
        if point == "append.before_commit":
            borrowed.append(everywhere.borrowed_tokens)

    with injected(look):
        await app.aio.append(Added(n=1, by=""), to="s")

    assert borrowed == [0]


# --- cancelling -----------------------------------------------------------------------------------


async def test_what_is_cancelled_before_it_began_is_not_sent(app_on: AppFactory) -> None:
    app = app_on(Sum)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await app.aio.dispatch(Add(), to="s")

    assert scope.cancelled_caught
    assert list(app.read_stream("s")) == []


async def test_what_is_cancelled_while_it_is_sent_is_finished_first(app_on: AppFactory) -> None:
    app = app_on(Sum)
    arrived, opened = threading.Event(), threading.Event()

    def halt(point: str) -> None:
        if point == "append.before_commit":
            arrived.set()
            assert opened.wait(PATIENCE)

    with injected(halt):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(app.aio.dispatch, Add(), to="s"))
            await until(arrived)
            tasks.cancel_scope.cancel()
            opened.set()

    assert [m.meta.seq for m in app.read_stream("s")] == [1]


async def test_a_wait_that_is_cancelled_ends_at_once_though_the_store_does_not_answer(
    app_on: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_on(Sum)
    receipt = app.dispatch(Add(), to="s")
    arrived, opened = threading.Event(), threading.Event()

    def hang(self: Waiting) -> bool:
        arrived.set()
        return opened.wait(PATIENCE)

    monkeypatch.setattr(Waiting, "is_over", hang)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(app.aio.wait, receipt))
        await until(arrived)
        tasks.cancel_scope.cancel()

    assert not opened.is_set()
    opened.set()


async def test_a_wait_that_is_cancelled_between_two_looks_leaves_nothing_behind(
    live_app_on: AppFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 3600.0)
    gate = Gate()
    app = live_app_on(gate)
    receipt = app.dispatch(Add(), to="s")
    look, looks = Waiting.is_over, threading.Semaphore(0)

    def noted(self: Waiting) -> bool:
        over = look(self)
        looks.release()
        return over

    monkeypatch.setattr(Waiting, "is_over", noted)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(app.aio.wait, receipt))
        assert await anyio.to_thread.run_sync(looks.acquire, True, PATIENCE)
        tasks.cancel_scope.cancel()
    async with app.workers():  # nobody looks any more when it is handled
        gate.opened.set()
        await until(gate.arrived)

    assert not looks.acquire(blocking=False)


async def test_a_drain_that_is_cancelled_ends_with_the_stream_in_hand(app_on: AppFactory) -> None:
    gate = Gate()
    app = app_on(gate)
    for n in range(3):
        app.dispatch(Add(), to=f"s-{n}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(app.aio.drain)
        await until(gate.arrived)
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            for _ in range(10):  # until the drain has been told
                await anyio.lowlevel.checkpoint()
        gate.opened.set()

    left = app.store.inspect.deliveries(group="Gate")
    assert [(d.state, d.attempts) for d in left] == [("ready", 0)] * 2
    assert left_behind(app) == (0, 0)


def test_a_task_that_asyncio_cancels_leaves_what_it_sends_whole(app_on: AppFactory) -> None:
    app = app_on(Sum)
    arrived, opened = threading.Event(), threading.Event()
    finished: list[str] = []

    def halt(point: str) -> None:
        if point == "append.before_commit":
            arrived.set()
            assert opened.wait(PATIENCE)

    async def main() -> None:
        sending = asyncio.create_task(app.aio.dispatch(Add(), to="s"))
        await until(arrived)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        finished.append("task")
        opened.set()

    with injected(halt):
        asyncio.run(main())
        app.wait_for(Sum, "s", 0, timeout=0)

    assert finished == ["task"]
    assert app.drain().handled == 1

"""Waiting beside running workers: exact, woken by what is committed here, and cheap."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from sourced import (
    Actor,
    App,
    Command,
    ErrorPolicy,
    Event,
    EventSourcedProjector,
    Reactor,
    Settings,
    command,
    event,
    on,
    react,
)
from sourced import _waiting as waiting
from sourced.errors import GroupStoppedError, StreamParkedError, WaitTimeoutError

AppFactory = Callable[..., App]

PATIENCE = 20.0
SELDOM = Settings(poll_interval=timedelta(hours=1))
OFTEN = Settings(poll_interval=timedelta(milliseconds=20))  # SQLite's hints stay in a process


class Order(Command, type="waiting.order"):
    item: str = "tea"


class Ordered(Event, type="waiting.ordered"):
    item: str


class Ship(Command, type="waiting.ship"):
    pass


class Shipped(Event, type="waiting.shipped"):
    pass


class Orders(Actor[dict[str, str]], group="Orders"):
    """Needs three steps for a command: decide, react and decide, project."""

    def initial_state(self, stream_id: str) -> dict[str, str]:
        return {"status": "new"}

    @command
    def order(self, state: dict[str, str], cmd: Order) -> Iterator[Event]:
        yield Ordered(item=cmd.item)

    @event
    def ordered(self, state: dict[str, str], event: Ordered) -> None:
        state["status"] = "ordered"

    @react
    def ship_it(self, event: Ordered) -> Iterator[Command]:
        yield Ship()

    @command
    def ship(self, state: dict[str, str], cmd: Ship) -> Iterator[Event]:
        yield Shipped()

    @event
    def shipped(self, state: dict[str, str], event: Shipped) -> None:
        state["status"] = "shipped"


class Shelf(EventSourcedProjector[dict[str, int]], group="Shelf"):
    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {"shipped": 0}

    @event
    def shipped(self, state: dict[str, int], event: Shipped) -> None:
        state["shipped"] += 1


class Gate(Reactor, group="Gate"):
    """Handles a message only when it is let through; says when one has arrived."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.opened = threading.Event()

    @on
    def order(self, message: Order) -> None:
        self.arrived.set()
        assert self.opened.wait(PATIENCE)


class Looks:
    """How often waits have looked at the store: one statement each."""

    def __init__(self) -> None:
        self.count = 0
        self.looked = threading.Semaphore(0)

    def note(self) -> None:
        self.count += 1
        self.looked.release()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks, look = Looks(), waiting.Waiting.is_over

    def noted(self: waiting.Waiting) -> bool:
        over = look(self)
        looks.note()
        return over

    monkeypatch.setattr(waiting.Waiting, "is_over", noted)
    return looks


@pytest.fixture
def unpolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that is not woken looks again after an hour only."""
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 3600.0)
    monkeypatch.setattr(waiting, "LONGEST_PAUSE", 3600.0)


# --- woken by what is committed in this process ---------------------------------------------------


def test_a_wait_is_woken_by_each_step_of_what_it_waits_for_and_does_not_poll(
    live_app_on: AppFactory, looks: Looks, unpolled: None
) -> None:
    app = live_app_on(Orders, Shelf, settings=SELDOM)

    with app.workers(threads=2):
        receipt = app.dispatch(Order(), to="o-1")
        app.wait(receipt, timeout=PATIENCE)

    assert app.load(Orders, "o-1").state == {"status": "shipped"}
    assert looks.count <= 6  # one at first, and at most one for each of the commits


def test_a_wait_for_a_stream_is_woken_by_its_group_and_does_not_poll(
    live_app_on: AppFactory, looks: Looks, unpolled: None
) -> None:
    gate = Gate()
    app = live_app_on(gate, settings=SELDOM)
    receipt = app.dispatch(Order(), to="o-1")

    def open_once_looked() -> None:
        assert looks.looked.acquire(timeout=PATIENCE)
        gate.opened.set()

    with app.workers():
        assert gate.arrived.wait(PATIENCE)
        opener = threading.Thread(target=open_once_looked)
        opener.start()
        app.wait_for(Gate, "o-1", receipt.seq or 0, timeout=PATIENCE)
        opener.join()

    assert looks.count == 2


def test_what_others_wait_for_wakes_nobody_else(
    live_app_on: AppFactory, looks: Looks, unpolled: None
) -> None:
    gate = Gate()
    app = live_app_on(gate, Orders, settings=SELDOM)
    held = app.dispatch(Order(item="held"), to="held")
    errors: list[WaitTimeoutError] = []

    def wait() -> None:
        try:
            app.wait(held, groups="Gate", timeout=PATIENCE)
        except WaitTimeoutError as error:
            errors.append(error)

    with app.workers(threads=2, groups=[gate, Orders]):
        assert gate.arrived.wait(PATIENCE)
        app.wait(held, groups="Orders", timeout=PATIENCE)
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert looks.looked.acquire(timeout=PATIENCE)
        before = looks.count
        for n in range(5):
            (ordered,) = app.append(Ordered(item="tea"), to=f"o-{n}")
            app.wait_for(Orders, f"o-{n}", ordered.meta.seq or 0, timeout=PATIENCE)
        others = looks.count - before
        gate.opened.set()
        waiter.join(PATIENCE)

    assert errors == []
    assert others <= 2 * 5 + 1


def test_a_hundred_waits_at_once_cost_a_few_looks_each(
    live_app_on: AppFactory, looks: Looks
) -> None:
    app = live_app_on(Orders, Shelf)
    failed: list[BaseException] = []

    def request(n: int) -> None:
        try:
            app.wait(app.dispatch(Order(), to=f"o-{n}"), timeout=PATIENCE)
            assert app.load(Orders, f"o-{n}").state == {"status": "shipped"}
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    with app.workers(threads=2):
        requests = [threading.Thread(target=request, args=(n,)) for n in range(100)]
        for each in requests:
            each.start()
        for each in requests:
            each.join(PATIENCE)

    assert failed == []
    assert looks.count <= 100 * 25


# --- what other processes commit ------------------------------------------------------------------


def test_what_another_process_has_handled_is_found_after_a_few_looks(
    live_app_on: AppFactory, looks: Looks
) -> None:
    here, there = live_app_on(Orders, Shelf), live_app_on(Orders, Shelf, settings=OFTEN)

    with there.workers(threads=2):
        here.wait(here.dispatch(Order(), to="o-1"), timeout=PATIENCE)

    assert here.load(Orders, "o-1").state == {"status": "shipped"}


def test_the_looks_of_a_long_wait_are_a_handful_a_second(app_on: AppFactory, looks: Looks) -> None:
    """Nobody works, so it is the other processes' case."""
    app = app_on(Orders)
    receipt = app.dispatch(Order(), to="o-1")

    with pytest.raises(WaitTimeoutError):
        app.wait(receipt, timeout=5)

    assert 20 <= looks.count <= 30


# --- what it says ---------------------------------------------------------------------------------


def test_what_is_pending_when_time_runs_out_is_named_with_who_holds_it(
    live_app_on: AppFactory,
) -> None:
    gate = Gate()
    app = live_app_on(gate, Orders, settings=SELDOM)
    receipt = app.dispatch(Order(), to="o-1")

    with app.workers(threads=2):
        assert gate.arrived.wait(PATIENCE)
        app.wait(receipt, groups=Orders, timeout=PATIENCE)
        with pytest.raises(WaitTimeoutError) as caught:
            app.wait(receipt, timeout=0.05)
        gate.opened.set()

    assert [line.partition(":")[0] for line in caught.value.pending] == [
        "group 'Gate' has not handled waiting.order (o-1 #1)"
    ]
    assert "held by" in str(caught.value)


def test_a_stream_that_is_parked_meanwhile_ends_the_wait_at_once(
    live_app_on: AppFactory, unpolled: None
) -> None:
    class Broken(Reactor, group="Broken"):
        @on
        def fail(self, message: Order) -> None:
            raise RuntimeError("no")

    app = live_app_on(Broken, settings=Settings(errors=ErrorPolicy(retries=0)))

    began = time.monotonic()
    with app.workers(), pytest.raises(StreamParkedError, match="'Broken' is parked"):
        app.wait(app.dispatch(Order(), to="o-1"), timeout=PATIENCE)

    assert time.monotonic() - began < PATIENCE  # it was not seen by the last look


def test_a_group_that_is_stopped_ends_the_wait(live_app_on: AppFactory) -> None:
    app = live_app_on(Orders, settings=SELDOM)
    app.groups.stop(Orders)

    with app.workers(), pytest.raises(GroupStoppedError):
        app.wait(app.dispatch(Order(), to="o-1"), timeout=PATIENCE)

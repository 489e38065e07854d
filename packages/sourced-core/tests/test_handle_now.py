"""Handling now and units: in order with the workers, all in one transaction or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

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
    Settings,
    StateStoredProjector,
    Unit,
    command,
    event,
    react,
)
from sourced._faults import injected
from sourced._session import Session
from sourced.errors import (
    BusyError,
    ConcurrencyError,
    GroupStoppedError,
    LoopError,
    StreamParkedError,
    UsageError,
)
from sourced_testing import FakeClock
from sourced_testing._watched import RowCount, RowCounts

AppFactory = Callable[..., App]


class Place(Command, type="now.place"):
    amount: int = 0


class Placed(Event, type="now.placed"):
    amount: int
    number: int


class Charge(Command, type="now.charge"):
    amount: int


class Charged(Event, type="now.charged"):
    amount: int


class RefusedError(Exception):
    """The user's own."""


class Order(Actor[dict[str, int]], group="Order"):
    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {"placed": 0}

    @command
    def place(self, state: dict[str, int], cmd: Place):  # type: ignore[no-untyped-def]  # as users do
        if cmd.amount < 0:
            raise RefusedError("negative")
        yield Placed(amount=cmd.amount, number=state["placed"] + 1)

    @event
    def placed(self, state: dict[str, int], event: Placed) -> None:
        state["placed"] += 1

    @react
    def charge(self, event: Placed):  # type: ignore[no-untyped-def]
        if event.amount:
            yield Dispatch(Charge(amount=event.amount), to="payment-1")


class Payment(Actor[dict[str, int]], group="Payment"):
    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {"total": 0}

    @command
    def pay(self, state: dict[str, int], cmd: Charge):  # type: ignore[no-untyped-def]
        yield Charged(amount=cmd.amount)

    @event
    def charged(self, state: dict[str, int], event: Charged) -> None:
        state["total"] += event.amount


def elsewhere(call: Callable[[], object]) -> None:
    """Call as another process would: in the middle of a handler, but not on its behalf."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(call).result()


def numbers(app: App, stream_id: str = "order-1") -> list[int]:
    return [e.number for e in app.read_stream(stream_id) if isinstance(e, Placed)]


def test_handle_returns_the_events_and_leaves_reactions_to_the_workers(app_on: AppFactory) -> None:
    app = app_on(Order, Payment)

    events = app.handle(Place(amount=7), to="order-1")
    before = list(app.read_stream("payment-1"))
    app.drain()

    assert events == [Placed(amount=7, number=1)]
    assert (events[0].meta.stream_id, events[0].meta.seq) == ("order-1", 2)
    assert before == []
    assert app.load(Payment, "payment-1").state == {"total": 7}


def test_a_command_handled_now_is_not_handled_again_by_a_worker(app_on: AppFactory) -> None:
    app = app_on(Order)

    app.handle(Place(), to="order-1")
    app.drain()

    assert numbers(app) == [1]


def test_a_command_handled_now_does_not_overtake_an_older_one(app_on: AppFactory) -> None:
    """T27."""
    app = app_on(Order)
    app.dispatch(Place(amount=0), to="order-1")

    events = app.handle(Place(amount=0), to="order-1")

    assert events == [Placed(amount=0, number=2)]
    assert [m.meta.type for m in app.read_stream("order-1")] == [
        "now.place",
        "now.placed",
        "now.place",
        "now.placed",
    ]


def test_a_command_that_arrives_between_decision_and_commit_is_handled_first(
    app_on: AppFactory,
) -> None:
    """T27: the check is made again under the stream's lock."""
    app = app_on(Order)
    came: list[bool] = []

    class Intruding(Order, group="Order"):
        @command
        def place(self, state: dict[str, int], cmd: Place):  # type: ignore[no-untyped-def]
            if not came:
                came.append(True)
                elsewhere(lambda: other.dispatch(Place(amount=0), to="order-1"))
            yield Placed(amount=cmd.amount, number=state["placed"] + 1)

    other = app
    mine = app_on(Intruding)

    events = mine.handle(Place(amount=0), to="order-1")

    assert events == [Placed(amount=0, number=2)]
    assert numbers(app) == [1, 2]


def test_a_command_handled_now_waits_for_the_worker_that_is_at_its_stream(
    app_on: AppFactory,
) -> None:
    """T27: never both at the same time."""
    app = app_on(Order)
    app.dispatch(Place(amount=0), to="order-1")
    at_work, go_on = threading.Event(), threading.Event()

    def brake(point: str) -> None:
        if point == "handle.after_before_commit" and threading.current_thread() is worker:
            at_work.set()
            go_on.wait(10)

    worker = threading.Thread(target=app.drain)
    with injected(brake):
        worker.start()
        at_work.wait(10)
        with pytest.raises(BusyError, match="a worker is handling it"):
            app.handle(Place(amount=0), to="order-1", timeout=0)
        go_on.set()
        worker.join()
    events = app.handle(Place(amount=0), to="order-1")

    assert events == [Placed(amount=0, number=2)]


def test_a_refused_command_leaves_nothing_behind(app_on: AppFactory) -> None:
    app = app_on(Order)

    with pytest.raises(RefusedError, match="negative"):
        app.handle(Place(amount=-1), to="order-1")

    assert list(app.read_stream("order-1")) == []
    assert app.handle(Place(), to="order-1") == [Placed(amount=0, number=1)]


def test_a_stopped_group_handles_nothing_now(app_on: AppFactory) -> None:
    app = app_on(Order)
    app.groups.stop(Order)

    with pytest.raises(GroupStoppedError):
        app.handle(Place(), to="order-1")


def test_a_parked_stream_handles_nothing_now(app_on: AppFactory) -> None:
    app = app_on(Order, settings=Settings(errors=ErrorPolicy(retries=0)))
    app.dispatch(Place(amount=-1), to="order-1")
    app.drain()

    with pytest.raises(StreamParkedError, match=r"app\.groups\.retry"):
        app.handle(Place(), to="order-1")


def test_a_stream_that_waits_for_a_retry_is_busy_and_says_until_when(app_on: AppFactory) -> None:
    app = app_on(Order)
    app.dispatch(Place(amount=-1), to="order-1")
    app.drain()

    with pytest.raises(BusyError, match="waits for a retry until"):
        app.handle(Place(), to="order-1", timeout=0)


def test_the_claim_of_a_dead_worker_is_taken_over_by_who_handles_now(
    app_on: AppFactory, clock: FakeClock
) -> None:
    app = app_on(Order)
    app.dispatch(Place(amount=0), to="order-1")
    engine, registry = app.ready()
    dead = Session(engine, registry)
    dead.join()
    app.store.claim("Order", dead.worker_id)
    clock.advance(minutes=1)

    events = app.handle(Place(amount=0), to="order-1", timeout=30)

    assert events == [Placed(amount=0, number=2)]


def test_a_unit_runs_the_whole_chain_in_one_transaction(app_on: AppFactory) -> None:
    app = app_on(Order, Payment)

    result = Unit(app, Order, Payment).handle(Place(amount=7), to="order-1")
    drained = app.drain()

    assert [m.meta.type for m in result.messages] == [
        "now.place",
        "now.placed",
        "now.charge",
        "now.charged",
    ]
    assert result.events_of(Payment) == (Charged(amount=7),)
    assert drained.handled == 0


def test_a_unit_that_fails_leaves_nothing_behind(app_on: AppFactory) -> None:
    class Broke(Actor[dict[str, int]], group="Broke"):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {}

        @command
        def pay(self, state: dict[str, int], cmd: Charge):  # type: ignore[no-untyped-def]
            raise RefusedError("no money")

    app = app_on(Order, Broke)

    with pytest.raises(RefusedError):
        Unit(app, Order, Broke).handle(Place(amount=7), to="order-1")

    assert list(app.read_stream("order-1")) == []


def test_messages_nobody_in_the_unit_handles_are_left_to_the_workers(app_on: AppFactory) -> None:
    app = app_on(Order, Payment)

    Unit(app, Order).handle(Place(amount=7), to="order-1")
    drained = app.drain()

    assert drained.handled == 1
    assert app.load(Payment, "payment-1").state == {"total": 7}


def test_a_unit_carries_on_states_it_touches_twice(app_on: AppFactory) -> None:
    class Batch2(Command, type="now.batch2"):
        pass

    class Batched(Event, type="now.batched"):
        pass

    class Splitter(Actor[dict[str, int]], group="Splitter"):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {}

        @command
        def split(self, state: dict[str, int], cmd: Batch2):  # type: ignore[no-untyped-def]
            yield Batched()

        @react
        def two(self, event: Batched):  # type: ignore[no-untyped-def]
            yield Dispatch(Place(amount=0), to="order-1")
            yield Dispatch(Place(amount=0), to="order-1")

    app = app_on(Splitter, Order)
    app.handle(Place(), to="order-1")

    Unit(app, Splitter, Order).handle(Batch2(), to="split-1")

    assert numbers(app) == [1, 2, 3]


def test_a_unit_syncs_its_projectors_in_the_same_transaction(app_on: AppFactory) -> None:
    class Listings(RowCounts, group="Listings"):
        @event
        def placed(self, row: RowCount, event: Placed) -> None:
            row.count += 1

    listings = Listings()
    app = app_on(Order, listings)

    Unit(app, Order, listings).handle(Place(), to="order-1")
    Unit(app, Order, listings).handle(Place(), to="order-1")

    assert listings.rows == {"order-1": 2}
    assert app.drain().handled == 0


def test_a_unit_starts_again_when_somebody_else_was_first(app_on: AppFactory) -> None:
    app = app_on(Order, Payment)
    runs: list[int] = []

    class Interrupted(Payment, group="Payment"):
        @command
        def pay(self, state: dict[str, int], cmd: Charge):  # type: ignore[no-untyped-def]
            runs.append(1)
            if len(runs) == 1:
                elsewhere(lambda: app.append(Placed(amount=0, number=1), to="order-1"))
            yield Charged(amount=cmd.amount)

    mine = app_on(Order, Interrupted)

    Unit(mine, Order, Interrupted).handle(Place(amount=7), to="order-1")

    assert numbers(app) == [1, 2]
    assert len(runs) == 2


def test_a_projector_in_a_unit_does_not_overwrite_what_a_worker_wrote_meanwhile(
    app_on: AppFactory,
) -> None:
    """T59: whatever has a state in a unit rests on what was stored when it was read."""
    rows: dict[str, int] = {}
    came: list[bool] = []

    class View(EventSourcedProjector[dict[str, int]], group="View"):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {"n": 0}

        @event
        def placed(self, state: dict[str, int], event: Placed) -> None:
            state["n"] += 1
            if not came:
                came.append(True)
                elsewhere(lambda: app.append(Charged(amount=1), to="order-1"))
                elsewhere(lambda: app.drain(groups=[View]))

        @event
        def charged(self, state: dict[str, int], event: Charged) -> None:
            state["n"] += 100

        def sync(self, state: dict[str, int], batch: Batch) -> None:
            rows[batch.stream_id] = state["n"]

    app = app_on(Order, View)

    Unit(app, Order, View).handle(Place(), to="order-1")

    assert rows == {"order-1": 101}


def test_a_state_touched_twice_in_a_unit_is_synced_as_it_was_each_time(
    app_on: AppFactory,
) -> None:
    seen: list[tuple[int, int]] = []

    class Twice(Order, group="Order"):
        @command
        def place(self, state: dict[str, int], cmd: Place):  # type: ignore[no-untyped-def]
            yield Placed(amount=0, number=1)
            yield Placed(amount=0, number=2)

    class View(StateStoredProjector[dict[str, int]], group="View"):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {"n": 0}

        def load(self, stream_id: str, connection: object) -> dict[str, int] | None:
            return None

        @event
        def placed(self, state: dict[str, int], event: Placed) -> None:
            state["n"] += 5

        def sync_many(self, states: Sequence[dict[str, int]], batches: Sequence[Batch]) -> None:
            for state, batch in zip(states, batches, strict=True):
                seen.append((state["n"], len(batch.events)))

    app = app_on(Twice, View)

    Unit(app, Twice, View).handle(Place(), to="order-1")

    assert seen == [(5, 1), (10, 1)]


def test_handling_now_keeps_to_its_timeout_while_it_catches_up(
    app_on: AppFactory, clock: FakeClock
) -> None:
    class Slow(Order, group="Order"):
        @command
        def place(self, state: dict[str, int], cmd: Place):  # type: ignore[no-untyped-def]
            clock.advance(seconds=1)
            yield Placed(amount=0, number=state["placed"] + 1)

    app = app_on(Slow)
    for _ in range(50):
        app.dispatch(Place(), to="order-1")

    with pytest.raises(BusyError, match="older messages are pending"):
        app.handle(Place(), to="order-1", timeout=10)

    assert 10 <= len(numbers(app)) <= 20


def test_what_was_pending_costs_handling_now_no_second_decision(app_on: AppFactory) -> None:
    decided: list[int] = []

    class Counting(Order, group="Order"):
        @command
        def place(self, state: dict[str, int], cmd: Place):  # type: ignore[no-untyped-def]
            decided.append(cmd.amount)
            yield Placed(amount=0, number=state["placed"] + 1)

    app = app_on(Counting)
    app.dispatch(Place(amount=1), to="order-1")

    app.handle(Place(amount=2), to="order-1")

    assert decided == [1, 2]


def test_a_unit_gives_up_after_five_conflicts(app_on: AppFactory) -> None:
    app = app_on(Order, Payment)

    class Interrupted(Payment, group="Payment"):
        @command
        def pay(self, state: dict[str, int], cmd: Charge):  # type: ignore[no-untyped-def]
            elsewhere(lambda: other.append(Charged(amount=0), to="payment-1"))
            yield Charged(amount=cmd.amount)

    other = app
    mine = app_on(Order, Interrupted)

    with pytest.raises(ConcurrencyError):
        Unit(mine, Order, Interrupted).handle(Place(amount=7), to="order-1")

    assert numbers(app) == []


def test_a_chain_without_end_is_named(app_on: AppFactory) -> None:
    class Ping(Command, type="now.ping"):
        pass

    class Pinged(Event, type="now.pinged"):
        pass

    class Loop(Actor[dict[str, int]], group="Loop"):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {}

        @command
        def ping(self, state: dict[str, int], cmd: Ping):  # type: ignore[no-untyped-def]
            yield Pinged()

        @react
        def again(self, event: Pinged):  # type: ignore[no-untyped-def]
            yield Ping()

    app = app_on(Loop)

    with pytest.raises(LoopError, match=r"now\.ping → now\.pinged"):
        Unit(app, Loop).handle(Ping(), to="loop-1")

    assert list(app.read_stream("loop-1")) == []


def test_a_unit_refuses_what_none_of_its_reactors_handles(app_on: AppFactory) -> None:
    app = app_on(Order, Payment)

    with pytest.raises(UsageError, match="no reactor of this unit handles Charge"):
        Unit(app, Order).handle(Charge(amount=1), to="payment-1")


def test_handling_a_command_nobody_decides_says_what_to_register(app_on: AppFactory) -> None:
    app = app_on(Order)

    with pytest.raises(UsageError, match="no registered actor decides Charge"):
        app.handle(Charge(amount=1), to="payment-1")

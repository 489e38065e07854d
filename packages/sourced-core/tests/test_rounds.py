"""A round: what is claimed is handled in order, committed whole, and given back after errors."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter as Counts
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import pytest

from sourced import (
    Ack,
    Actor,
    App,
    Batch,
    Command,
    Dispatch,
    ErrorPolicy,
    Event,
    EventSourcedProjector,
    Fail,
    Outcomes,
    Park,
    Reactor,
    Retry,
    Schedule,
    Settings,
    StateStoredProjector,
    Sync,
    command,
    event,
    on,
    react,
)
from sourced._faults import injected
from sourced._outcomes import Expect
from sourced._round import Round
from sourced._session import Session
from sourced.errors import ConcurrencyError, StoreUnavailableError
from sourced_testing import FakeClock

AppFactory = Callable[..., App]


class Add(Command, type="rounds.add"):
    amount: int


class Added(Event, type="rounds.added"):
    amount: int
    total: int


class Noted(Event, type="rounds.noted"):
    amount: int
    total: int


class Counter(Actor[dict[str, int]], group="Counter"):
    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {"total": 0}

    @command
    def add(self, state: dict[str, int], cmd: Add):  # type: ignore[no-untyped-def]  # as users do
        yield Added(amount=cmd.amount, total=state["total"] + cmd.amount)

    @event
    def added(self, state: dict[str, int], event: Added) -> None:
        state["total"] += event.amount


def totals(app: App, stream_id: str) -> list[int]:
    return [e.total for e in app.read_stream(stream_id) if isinstance(e, Added)]


def one_round(app: App, reactor: Any, **options: Any) -> Any:
    engine, registry = app.ready()
    with Session(engine, registry) as session:
        return Round(engine, app.registered(reactor), session.worker_id).run(**options)


@pytest.mark.parametrize("size", [1, 2, 50])
def test_commands_waiting_on_one_stream_each_see_their_predecessors_events(
    app_on: AppFactory, size: int
) -> None:
    """T5."""
    app = app_on(Counter, settings=Settings(max_messages=size))
    for amount in range(1, 8):
        app.dispatch(Add(amount=amount), to="c-1")

    app.drain()

    assert totals(app, "c-1") == [1, 3, 6, 10, 15, 21, 28]


def test_a_decision_is_made_again_when_somebody_else_appended_meanwhile(
    app_on: AppFactory,
) -> None:
    """T6: on fresh state, and no failure is counted."""
    app = app_on(Counter)
    app.dispatch(Add(amount=5), to="c-1")
    interfere = Once(lambda: app.append(Added(amount=100, total=100), to="c-1"))

    with injected(lambda point: interfere() if point == "handle.after_before_commit" else None):
        result = app.drain()

    assert totals(app, "c-1") == [100, 105]
    assert (result.handled, result.retried) == (1, 0)


class Interferer:
    """Appends to a stream at a fault point, each time, for as long as it is asked to."""

    def __init__(self, app: App, stream_id: str) -> None:
        self.app, self.stream_id, self.times = app, stream_id, 0

    def __call__(self, point: str) -> None:
        if point == "handle.after_before_commit":
            self.times += 1
            self.app.append(Added(amount=1, total=0), to=self.stream_id)


def test_a_stream_that_others_append_to_all_the_time_is_decided_under_its_lock(
    app_on: AppFactory,
) -> None:
    """After ten conflicts in a row; each waiting command on what came by then, in order."""
    app = app_on(Counter)
    app.dispatch(Add(amount=5), to="c-1")
    app.dispatch(Add(amount=7), to="c-1")
    interferer = Interferer(app, "c-1")

    with injected(interferer):
        result = one_round(app, Counter)

    assert interferer.times == 10
    assert totals(app, "c-1")[-2:] == [15, 22]
    assert (result.handled, result.retried) == (2, 0)
    assert app.groups.status(Counter).pending == 0


def test_what_cannot_be_decided_under_a_lock_is_given_back_for_a_while(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """A reactor of the user's own that expects something: no attempt is counted."""

    class Expecting:
        group = "Expecting"
        handles = (Noted,)

        def handle_batch(self, batch: Batch) -> Outcomes:
            return [Expect(0, frozenset({"rounds.added"}))]

    app = app_on(Expecting())
    app.append([Added(amount=1, total=1), Noted(amount=1, total=1)], to="c-1")

    one_round(app, "Expecting")

    (waiting,) = app.store.inspect.deliveries(group="Expecting")
    assert (waiting.state, waiting.attempts) == ("retrying", 0)


def test_a_command_that_fails_under_the_lock_goes_by_its_policy(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T48: what was decided before it stands, and nothing of it is stored."""

    class Picky(Counter, group="Counter"):
        @command
        def add(self, state: dict[str, int], cmd: Add):  # type: ignore[no-untyped-def]
            yield Added(amount=cmd.amount, total=0)
            if cmd.amount == 7:
                raise ValueError("no sevens")

    app = app_on(Picky, settings=Settings(errors=ErrorPolicy(retries=0)))
    for amount in (5, 7, 9):
        app.dispatch(Add(amount=amount), to="c-1")

    with injected(Interferer(app, "c-1")):
        one_round(app, Picky)

    (parked,) = app.store.inspect.deliveries(group="Counter")
    assert [e.amount for e in app.read_stream("c-1") if isinstance(e, Added)][-1] == 5
    assert (parked.state, parked.next_seq) == ("parked", 2)


def test_reactions_between_the_commands_are_handled_in_their_place(app_on: AppFactory) -> None:
    """I4, T7: also where the class has async reactions and snapshots."""

    class Watched(Counter, group="Counter", snapshot_every=5):
        @react
        async def watch(self, state: dict[str, int], event: Added):  # type: ignore[no-untyped-def]
            yield Dispatch(Noted(amount=event.amount, total=state["total"]), to="notes")

    app = app_on(Watched)
    app.dispatch(Add(amount=50), to="c-1")
    app.append(Added(amount=20, total=0), to="c-1")
    app.dispatch(Add(amount=70), to="c-1")

    with injected(Interferer(app, "c-1")):
        one_round(app, Watched)
    app.drain()

    events = [e for e in app.read_stream("c-1") if isinstance(e, Added)]
    decided = [e.amount for e in events if e.total]
    notes = [n for n in app.read_stream("notes") if isinstance(n, Noted)]
    sums = list(accumulate(e.amount for e in events))
    assert decided == [50, 70]
    assert [(n.amount, n.total) for n in notes] == [
        (e.amount, total) for e, total in zip(events, sums, strict=True)
    ]
    assert app.groups.status(Watched).pending == 0


def test_a_sync_that_fails_behind_a_contested_command_is_the_one_that_fails(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T6, T63: what is before it is stored, and nobody else's failure is counted."""
    tries: Counts[int] = Counts()

    class Synced(Counter, group="Counter"):
        @command
        def add(self, state: dict[str, int], cmd: Add):  # type: ignore[no-untyped-def]
            tries[cmd.amount] += 1
            yield Added(amount=cmd.amount, total=1)

        def sync(self, state: dict[str, int], batch: Batch) -> None:
            if any(isinstance(m, Add) and m.amount == 20 for m in batch.messages):
                raise RuntimeError("no twenties")

    app = app_on(Synced, settings=Settings(errors=ErrorPolicy(retries=0)))
    for amount in (10, 20, 30):
        app.dispatch(Add(amount=amount), to="c-1")

    with injected(Interferer(app, "c-1")):
        one_round(app, Synced)

    (parked,) = app.store.inspect.deliveries(group="Counter")
    events = [e for e in app.read_stream("c-1") if isinstance(e, Added)]
    assert [e.amount for e in events if e.total] == [10]
    assert (parked.state, parked.next_seq) == ("parked", 2)
    assert "no twenties" in (parked.error or "")
    assert max(tries.values()) < 20


def test_a_contested_stream_holds_up_no_other_of_its_claim(app_on: AppFactory) -> None:
    """I4, T19: what was handled of the others is committed before it is decided again."""
    app = app_on(Counter)
    app.dispatch(Add(amount=1), to="hot")
    for n in range(3):
        app.dispatch(Add(amount=1), to=f"quiet-{n}")
    done_by: list[int] = []

    def interfere(point: str) -> None:
        if point == "handle.after_before_commit":
            done_by.append(sum(len(totals(app, f"quiet-{n}")) for n in range(3)))
            app.append(Added(amount=0, total=0), to="hot")

    with injected(interfere):
        one_round(app, Counter)

    assert done_by[:5] == [0, 0, 0, 0, 3]
    assert totals(app, "hot")[-1] == 1


def test_what_a_round_has_no_time_for_is_given_back_before_a_contested_stream_is_decided_again(
    app_on: AppFactory, clock: FakeClock
) -> None:
    app = app_on(Counter, settings=Settings(batch_budget=timedelta(seconds=1)))
    for stream_id in ("hot", "later"):
        app.dispatch(Add(amount=1), to=stream_id)
    states: list[str] = []

    def interfere(point: str) -> None:
        if point == "handle.after_before_commit":
            clock.advance(2)
            states.append(app.store.inspect.deliveries(stream_id="later")[0].state)
            app.append(Added(amount=0, total=0), to="hot")

    with injected(interfere):
        one_round(app, Counter)

    assert (states[0], set(states[1:])) == ("claimed", {"ready"})


def test_a_suspect_stream_that_is_contested_is_still_handled_message_by_message(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T21: or the message that kills would be taken for the one before it."""
    sizes: list[int] = []

    class Recorded(Counter, group="Counter"):
        def handle_batch(self, batch: Batch) -> Any:
            sizes.append(len(batch.messages))
            return super().handle_batch(batch)

    app = app_on(Recorded)
    for amount in (10, 20, 30):
        app.dispatch(Add(amount=amount), to="c-1")
    die_holding(app, "Counter", clock)

    with injected(Interferer(app, "c-1")):
        one_round(app, Recorded)

    assert set(sizes) == {1}
    assert app.groups.status("Counter").pending == 0


def test_the_users_exception_is_told_without_the_stores_own(app_on: AppFactory) -> None:
    """A conflict before it is none of the user's concern."""
    told: list[BaseException] = []

    class Picky(Counter, group="Counter"):
        @command
        def add(self, state: dict[str, int], cmd: Add):  # type: ignore[no-untyped-def]
            if state["total"]:
                raise ValueError("mine")
            yield Added(amount=cmd.amount, total=0)

    policy = ErrorPolicy(retries=0, on_park=lambda failure: told.append(failure.exception))
    app = app_on(Picky, settings=Settings(errors=policy))
    app.dispatch(Add(amount=5), to="c-1")

    with injected(Interferer(app, "c-1")):
        one_round(app, Picky)

    (parked,) = app.store.inspect.deliveries(group="Counter")
    assert [(type(error), error.__context__) for error in told] == [(ValueError, None)]
    assert "CommitRefusedError" not in (parked.error or "")


def test_a_group_that_its_breaker_has_stopped_parks_no_more(app_on: AppFactory) -> None:
    """T51: what fails after that in the same round is given back."""

    class Broken(Counter, group="Counter"):
        @command
        def add(self, state: dict[str, int], cmd: Add):  # type: ignore[no-untyped-def]
            raise ValueError("broken")

    settings = Settings(errors=ErrorPolicy(retries=0), breaker=3)
    app = app_on(Broken, settings=settings)
    for n in range(8):
        app.dispatch(Add(amount=1), to=f"c-{n}")

    one_round(app, Broken)

    states = Counts(d.state for d in app.store.inspect.deliveries(group="Counter"))
    assert app.groups.status("Counter").status == "stopped"
    assert states == {"parked": 4, "ready": 4}


@pytest.mark.parametrize("error", [OSError("cut"), StoreUnavailableError("the store is away")])
def test_a_store_that_goes_away_under_the_lock_costs_no_attempt(
    app_on: AppFactory, error: Exception
) -> None:
    """T8: and the claim is given back."""
    app = app_on(Counter)
    app.dispatch(Add(amount=5), to="c-1")
    interferer = Interferer(app, "c-1")

    def hook(point: str) -> None:
        interferer(point)
        if point == "commit.locked":
            raise error

    with injected(hook), pytest.raises(type(error)):
        one_round(app, Counter)

    (left,) = app.store.inspect.deliveries(group="Counter")
    assert (left.state, left.attempts) == ("ready", 0)


@pytest.mark.parametrize("point", ["read.after", "handle.before", "handle.after_before_commit"])
def test_an_error_between_claim_and_commit_gives_every_claim_back(
    app_on: AppFactory, point: str
) -> None:
    """T8: the claim is free at once, untouched, and nothing was written."""
    app = app_on(Counter)
    app.dispatch(Add(amount=1), to="c-1")
    app.dispatch(Add(amount=1), to="c-2")

    with injected(Once(raising(OSError("pulled the plug")), at=point)), pytest.raises(OSError):
        one_round(app, Counter)

    left = app.store.inspect.deliveries(group="Counter")
    assert [(d.state, d.attempts) for d in left] == [("ready", 0), ("ready", 0)]
    assert totals(app, "c-1") == []


def test_a_lost_answer_of_the_commit_does_not_do_the_work_twice(app_on: AppFactory) -> None:
    """A commit whose outcome is unknown is not sent again; the stream is claimed again."""
    app = app_on(Counter)
    app.dispatch(Add(amount=1), to="c-1")

    with (
        injected(Once(raising(OSError("cut")), at="commit.connection_lost")),
        pytest.raises(OSError),
    ):
        one_round(app, Counter)
    app.drain()

    assert totals(app, "c-1") == [1]


def test_one_stream_of_a_batch_that_fails_in_its_sync_holds_up_no_other(
    app_on: AppFactory,
) -> None:
    """T63."""
    seen: dict[str, int] = {}

    class Listings(StateStoredProjector[dict[str, int]], group="Listings"):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {"n": 0}

        def load(self, stream_id: str, connection: object) -> dict[str, int] | None:
            return {"n": seen[stream_id]} if stream_id in seen else None

        @event
        def added(self, state: dict[str, int], event: Added) -> None:
            state["n"] += 1

        def sync(self, state: dict[str, int], batch: Batch) -> None:
            if batch.stream_id == "c-25":
                raise ValueError("violates constraint")
            seen[batch.stream_id] = state["n"]

    app = app_on(Listings)
    for n in range(50):
        app.append(Added(amount=1, total=1), to=f"c-{n}")

    app.drain()

    status = app.groups.status(Listings)
    assert len(seen) == 49
    assert (status.pending_streams, status.retrying) == (1, 1)


def test_a_failing_sync_of_many_messages_is_narrowed_down_to_the_message(
    app_on: AppFactory, clock: FakeClock
) -> None:
    seen: list[int] = []

    class Listings(StateStoredProjector[list[int]], group="Listings"):
        def initial_state(self, stream_id: str) -> list[int]:
            return []

        def load(self, stream_id: str, connection: object) -> list[int] | None:
            return None

        @event
        def added(self, state: list[int], event: Added) -> None:
            state.append(event.amount)

        def sync(self, state: list[int], batch: Batch) -> None:
            if 3 in state:
                raise ValueError("3 is not welcome")
            seen.extend(state)

    app = app_on(Listings)
    for amount in (1, 2, 3, 4):
        app.append(Added(amount=amount, total=0), to="c-1")

    app.drain()

    waiting = app.store.inspect.deliveries(group="Listings")[0]
    assert seen == [1, 2]
    assert (waiting.next_seq, waiting.state, waiting.attempts) == (3, "retrying", 1)


def test_a_reaction_sees_the_state_as_of_its_own_event(app_on: AppFactory) -> None:
    """T7: whatever the batching."""
    seen: list[tuple[int, int]] = []

    class Watcher(Actor[dict[str, int]], group="Watcher"):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {"total": 0}

        @event
        def added(self, state: dict[str, int], event: Added) -> None:
            state["total"] += event.amount

        @react
        def watch(self, state: dict[str, int], event: Added) -> None:
            seen.append((event.amount, state["total"]))

    app = app_on(Watcher)
    for amount in (1, 2, 3):
        app.append(Added(amount=amount, total=0), to="c-1")

    app.drain()

    assert seen == [(1, 1), (2, 3), (3, 6)]


def test_a_group_that_keeps_a_claim_past_its_lease_commits_nothing(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T14: another has finished the stream; nothing of the first is stored, the ack stays."""
    app = app_on(Counter)
    app.dispatch(Add(amount=1), to="c-1")

    def freeze() -> None:
        clock.advance(minutes=1)
        app.drain()

    with injected(Once(freeze, at="handle.after_before_commit")):
        result = one_round(app, Counter)

    assert result.handled == 0
    assert totals(app, "c-1") == [1]
    assert app.groups.status(Counter).pending == 0


def test_a_frozen_worker_is_told_by_its_heartbeat_and_takes_a_new_id(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T15."""
    app = app_on(Counter)
    engine, registry = app.ready()
    with Session(engine, registry) as session:
        first = session.worker_id
        clock.advance(minutes=1)
        app.store.reap(app.settings.lease)
        session.beat()

        assert session.worker_id != first
        assert [w.id for w in app.store.inspect.workers()] == [session.worker_id]


def test_a_suspect_stream_is_handled_message_by_message(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T21: so that the message in hand is known when a process dies."""
    sizes: list[int] = []

    class Recorder:
        group = "Recorder"
        handles = (Added,)

        def handle_batch(self, batch: Batch) -> Outcomes:
            sizes.append(len(batch.messages))
            return []

    app = app_on(Recorder())
    for _ in range(3):
        app.append(Added(amount=1, total=1), to="c-1")
    die_holding(app, "Recorder", clock)

    app.drain()

    assert sizes == [1, 1, 1]
    assert app.groups.status("Recorder").pending == 0


def test_a_message_that_kills_its_process_is_parked_after_its_retries_and_no_other_is(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T21."""
    handled: list[str] = []

    class Crash(BaseException):
        """Ends the round as a kill would: nothing is given back."""

    class Fragile:
        group = "Fragile"
        handles = (Added,)

        def handle_batch(self, batch: Batch) -> Outcomes:
            for message in batch.messages:
                assert isinstance(message, Added)
                if message.amount == 13:
                    raise Crash
                handled.append(f"{batch.stream_id}#{message.meta.seq}")
            return []

    app = app_on(Fragile(), settings=Settings(errors=ErrorPolicy(retries=2)))
    app.append([Added(amount=1, total=0), Added(amount=13, total=0)], to="bad")
    app.append([Added(amount=1, total=0), Added(amount=2, total=0)], to="good")

    for _ in range(12):
        crash_in_round(app, "Fragile", Crash)
        clock.advance(minutes=1)
        app.store.reap(app.settings.lease)

    parked = app.store.inspect.deliveries(group="Fragile")
    assert [(d.stream_id, d.next_seq, d.state) for d in parked] == [("bad", 2, "parked")]
    assert "WorkerDiedError" in (parked[0].error or "")
    assert {"good#1", "good#2", "bad#1"} <= set(handled)


def test_a_process_is_at_one_suspect_at_a_time(app_on: AppFactory, clock: FakeClock) -> None:
    """T21: else whatever another thread has in hand each time would be parked with the killer."""
    arrived, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    class Slow(Reactor, group="Slow"):
        @on
        def see(self, event: Added) -> None:
            seen.append(str(event.meta.stream_id))
            if len(seen) == 1:
                arrived.set()
                assert go_on.wait(20)

    app = app_on(Slow)
    for stream_id in ("a", "b"):
        app.append(Added(amount=1, total=1), to=stream_id)
    die_holding(app, "Slow", clock)
    first = threading.Thread(target=one_round, args=(app, Slow))
    first.start()
    assert arrived.wait(20)

    beside_it = one_round(app, Slow).claimed
    app.append(Added(amount=1, total=1), to="no-suspect")
    no_suspect = one_round(app, Slow).claimed
    go_on.set()
    first.join()
    then = one_round(app, Slow).claimed

    assert (beside_it, no_suspect, then) == (0, 1, 1)
    assert seen == ["a", "no-suspect", "b"]


def test_a_death_that_streams_share_parks_none_of_them(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T21: even without retries, each is tried alone before it is taken for the killer."""
    app = app_on(Counter, settings=Settings(errors=ErrorPolicy(retries=0)))
    for stream_id in ("a", "b"):
        app.dispatch(Add(amount=1), to=stream_id)
    die_holding(app, "Counter", clock)

    app.drain()

    assert app.store.inspect.status().deliveries == 0


def test_a_plain_reactor_acknowledges_a_prefix(app_on: AppFactory) -> None:
    class Half:
        group = "Half"
        handles = (Added,)

        def handle_batch(self, batch: Batch) -> Outcomes:
            return [Ack(batch.messages[0].meta.seq or 0)]

    app = app_on(Half())
    app.append([Added(amount=n, total=n) for n in range(5)], to="c-1")

    one_round(app, "Half")

    assert app.store.inspect.progress("Half", "c-1").seq == 1


class UnprintableError(Exception):
    """Even asking for its text fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no text for you")

    __str__ = __repr__


@pytest.mark.parametrize(
    "error",
    [UnprintableError(), asyncio.CancelledError(), SystemExit(3), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
def test_whatever_a_handler_raises_is_its_messages_failure_and_no_others(
    app_on: AppFactory, error: BaseException, is_async: bool
) -> None:
    """T8, T19: it neither ends the worker nor holds up another stream."""
    handled: list[str] = []

    def fail_on_bad(event: Added) -> None:
        if event.meta.stream_id == "bad":
            raise error
        handled.append(str(event.meta.stream_id))

    class Plain(Reactor, group="Sink"):
        @on
        def see(self, event: Added) -> None:
            fail_on_bad(event)

    class Async(Reactor, group="Sink"):
        @on
        async def see(self, event: Added) -> None:
            fail_on_bad(event)

    app = app_on(Async if is_async else Plain, settings=Settings(errors=ErrorPolicy(retries=0)))
    for stream_id in ("a", "bad", "c"):
        app.append(Added(amount=1, total=1), to=stream_id)

    result = app.drain()

    assert (result.handled, result.parked) == (2, 1)
    assert sorted(handled) == ["a", "c"]


class Rows(EventSourcedProjector[dict[str, int]], group="Rows"):
    """Does in its sync what it is told to, for the stream "bad"."""

    def __init__(self, wrong: str) -> None:
        self.wrong = wrong
        self.seen: list[str] = []

    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {}

    @event
    def added(self, state: dict[str, int], event: Added) -> None: ...

    def write(self, batch: Batch) -> None:
        if batch.stream_id != "bad":
            self.seen.append(batch.stream_id)
        elif self.wrong == "exit":
            raise SystemExit(1)
        elif self.wrong == "conflict" or batch.connection is None:
            raise ConcurrencyError("elsewhere", 1, 2)
        else:
            getattr(batch.connection, self.wrong)()


class RowsOneByOne(Rows, group="Rows"):
    def sync(self, state: Any, batch: Batch) -> None:
        self.write(batch)


class RowsTogether(Rows, group="Rows"):
    def sync_many(self, states: Sequence[Any], batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.write(batch)


@pytest.mark.parametrize("projector", [RowsOneByOne, RowsTogether])
@pytest.mark.parametrize("wrong", ["exit", "conflict", "commit", "close"])
def test_a_sync_that_does_what_it_must_not_fails_its_own_stream_only(
    app_on: AppFactory, wrong: str, projector: type[Rows]
) -> None:
    """T63."""
    rows = projector(wrong)
    app = app_on(rows, settings=Settings(errors=ErrorPolicy(retries=0)))
    for stream_id in ("a", "bad", "c"):
        app.append(Added(amount=1, total=1), to=stream_id)

    result = app.drain()

    assert (result.handled, result.parked) == (2, 1)
    assert {"a", "c"} <= set(rows.seen)


@pytest.mark.parametrize(
    "decision",
    [
        None,
        "park",
        Park,
        Retry(),
        Retry(after=5),  # type: ignore[arg-type]
        Retry(at=datetime(2030, 1, 1)),  # noqa: DTZ001
        Retry(after=timedelta.max),
    ],
    ids=repr,
)
def test_a_policy_that_decides_what_cannot_be_parks_the_stream(
    app_on: AppFactory, decision: Any
) -> None:
    class Sink(Reactor, group="Sink", errors=lambda _failure: decision):
        @on
        def see(self, event: Added) -> None:
            raise ValueError("no")

    app = app_on(Sink)
    app.append(Added(amount=1, total=1), to="c-1")

    result = app.drain()

    assert result.parked == 1


def test_callbacks_are_told_once_however_often_the_commit_is_repeated(
    app_on: AppFactory,
) -> None:
    told: list[int] = []
    interferences = [3]

    class Moody(Counter, group="Moody"):
        error_policy = ErrorPolicy(retries=0, on_park=lambda failure: told.append(failure.seq))

        @command
        def add(self, state: dict[str, int], cmd: Add):  # type: ignore[no-untyped-def]
            if cmd.amount == 13:
                raise ValueError("unlucky")
            yield Added(amount=cmd.amount, total=0)

    app = app_on(Moody)
    app.dispatch(Add(amount=1), to="c-1")
    app.dispatch(Add(amount=13), to="c-1")

    def interfere(point: str) -> None:
        if point == "handle.after_before_commit" and interferences[0]:
            interferences[0] -= 1
            app.append(Added(amount=0, total=0), to="c-1")

    with injected(interfere):
        result = app.drain()

    assert (told, result.parked, result.handled) == ([2], 1, 1)


@pytest.mark.parametrize(
    "outcome",
    [
        Schedule(Add(amount=1), "z", after=timedelta.max),
        Schedule(Add(amount=1), "z", after=5),  # type: ignore[arg-type]
        Schedule(Add(amount=1), "z", at=datetime(2030, 1, 1)),  # noqa: DTZ001
        Schedule(Add(amount=1), "z"),
        Fail(99, ValueError("of another batch")),
        Fail(1, "oops"),  # type: ignore[arg-type]
        Ack("x"),  # type: ignore[arg-type]
    ],
    ids=repr,
)
def test_an_outcome_that_cannot_be_is_the_messages_failure_and_holds_up_no_other(
    app_on: AppFactory, outcome: Any
) -> None:
    class Wrong:
        group = "Wrong"
        handles = (Added,)
        error_policy = ErrorPolicy(retries=0, then="skip")

        def handle_batch(self, batch: Batch) -> Outcomes:
            return [outcome] if batch.stream_id == "bad" else []

    app = app_on(Wrong())
    app.append(Added(amount=1, total=1), to="bad")
    app.append(Added(amount=1, total=1), to="good")

    result = app.drain()

    assert (result.handled, result.skipped) == (1, 1)
    assert app.groups.status("Wrong").pending == 0


@pytest.mark.parametrize("answer", [None, [Ack(99)], ["done"], "done", 7], ids=str)
def test_a_wrong_answer_of_a_plain_reactor_is_the_messages_failure(
    app_on: AppFactory, answer: Any
) -> None:
    class Wrong:
        group = "Wrong"
        handles = (Added,)

        def handle_batch(self, batch: Batch) -> Any:
            return answer

    app = app_on(Wrong())
    app.append(Added(amount=1, total=1), to="c-1")

    result = app.drain()

    error = app.store.inspect.deliveries(group="Wrong")[0].error or ""
    assert (result.handled, result.retried) == (0, 1)
    assert "UsageError" in error


def test_an_async_sync_of_a_plain_reactor_is_awaited_inside_the_commit(
    app_on: AppFactory,
) -> None:
    seen: list[str] = []

    class Later:
        group = "Later"
        handles = (Added,)

        async def handle_batch(self, batch: Batch) -> Outcomes:
            async def write(connection: object) -> None:
                seen.append(threading.current_thread().name)

            return [Sync(write)]

    app = app_on(Later())
    app.append(Added(amount=1, total=1), to="c-1")

    app.drain()

    assert seen == ["sourced-async"]
    assert app.groups.status("Later").pending == 0


# --- tools ----------------------------------------------------------------------------------------


class Once:
    """Calls something the first time, at one fault point if given."""

    def __init__(self, action: Callable[[], object], at: str | None = None) -> None:
        self._action = action
        self._at = at
        self._done = False

    def __call__(self, point: str | None = None) -> None:
        if self._done or (self._at is not None and point != self._at):
            return
        self._done = True
        self._action()


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def die_holding(app: App, group: str, clock: FakeClock) -> None:
    """Claim what is ready as a process that is killed then."""
    engine, registry = app.ready()
    session = Session(engine, registry)
    session.join()
    app.store.claim(group, session.worker_id)
    clock.advance(minutes=1)
    app.store.reap(app.settings.lease)


def crash_in_round(app: App, group: str, crash: type[BaseException]) -> None:
    """Run one round; if it crashes, the claims stay as after a kill."""
    engine, registry = app.ready()
    session = Session(engine, registry)
    session.join()
    cut = Round(engine, app.registered(group), session.worker_id)
    setattr(cut._held, "give_back", lambda: None)  # noqa: B010 - the process is dead
    try:
        cut.run()
    except crash:
        return
    app.store.leave(session.worker_id)


def test_heartbeat_and_lease_are_checked() -> None:
    with pytest.raises(Exception, match="at least three heartbeats"):
        Settings(lease=timedelta(seconds=5), heartbeat=timedelta(seconds=4))

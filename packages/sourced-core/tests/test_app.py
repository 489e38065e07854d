"""The app's verbs: registering, dispatching, scheduling, waiting, reading."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sourced import (
    Actor,
    App,
    Command,
    Dispatch,
    ErrorPolicy,
    Event,
    Reactor,
    Settings,
    Unit,
    UnknownMessage,
    command,
    event,
    on,
    react,
)
from sourced._groups import Groups
from sourced._messages import encode, with_meta
from sourced._records import NewMessage
from sourced._round import Round
from sourced._session import Session
from sourced._stores import safe_url
from sourced.errors import (
    ConcurrencyError,
    DuplicateMessageError,
    NotFoundError,
    PayloadError,
    RegistrationError,
    StoreUrlError,
    StreamParkedError,
    UnknownGroupError,
    UsageError,
    WaitTimeoutError,
)
from sourced.memory import MemoryStore
from sourced_testing import FakeClock

AppFactory = Callable[..., App]


class Start(Command, type="app.start"):
    name: str = ""


class Started(Event, type="app.started"):
    name: str = ""


class Greet(Command, type="app.greet"):
    name: str = ""


class Greeted(Event, type="app.greeted"):
    name: str = ""


class Person(Actor[dict[str, str]], group="Person"):
    def initial_state(self, stream_id: str) -> dict[str, str]:
        return {"name": ""}

    @command
    def start(self, state: dict[str, str], cmd: Start):  # type: ignore[no-untyped-def]  # as users do
        yield Started(name=cmd.name)

    @event
    def started(self, state: dict[str, str], event: Started) -> None:
        state["name"] = event.name

    @react
    def greet(self, event: Started):  # type: ignore[no-untyped-def]
        yield Dispatch(Greet(name=event.name), to="greeter", meta={"polite": True})


class Greeter(Actor[dict[str, str]], group="Greeter"):
    def initial_state(self, stream_id: str) -> dict[str, str]:
        return {}

    @command
    def greet(self, state: dict[str, str], cmd: Greet):  # type: ignore[no-untyped-def]
        yield Greeted(name=cmd.name)

    @event
    def greeted(self, state: dict[str, str], event: Greeted) -> None:
        state[event.name] = "greeted"


# --- dispatching ----------------------------------------------------------------------------------


def test_what_a_command_causes_carries_causation_correlation_and_the_users_meta(
    app_on: AppFactory,
) -> None:
    app = app_on(Person, Greeter)

    receipt = app.dispatch(Start(name="Ann"), to="p-1", meta={"user_id": 7})
    app.drain()

    start, started = app.read_stream("p-1")
    greet, greeted = app.read_stream("greeter")
    assert [m.meta.correlation_id for m in (started, greet, greeted)] == [
        receipt.correlation_id
    ] * 3
    assert started.meta.causation_id == start.meta.id
    assert greet.meta.causation_id == started.meta.id
    assert greeted.meta.causation_id == greet.meta.id
    assert (greeted.meta["user_id"], greeted.meta["polite"]) == (7, True)
    assert (started.meta["producer"], greet.meta["producer"]) == ("Person", "Person")


def test_dispatching_twice_gives_the_first_ones_receipt(app_on: AppFactory) -> None:
    """T24."""
    app = app_on(Person)
    message = Start(name="Ann")

    first = app.dispatch(message, to="p-1")
    second = app.dispatch(message, to="p-1")

    assert (second.seq, second.position, second.repeated) == (first.seq, first.position, True)
    assert len(list(app.read_stream("p-1"))) == 1


def test_an_id_given_by_the_sender_makes_its_second_try_a_repeat(app_on: AppFactory) -> None:
    """T24."""
    app = app_on(Person)
    id = UUID("0198c9d2-0000-7000-8000-000000000001")

    first = app.dispatch(Start(name="Ann"), to="p-1", id=id)
    with app.transaction() as transaction:
        second = transaction.dispatch(Start(name="Ann"), to="p-1", id=id)

    (start,) = app.read_stream("p-1")
    assert (first.repeated, second.repeated) == (False, True)
    assert (start.meta.id, start.meta.causation_id, start.meta.correlation_id) == (id, id, id)


def test_an_id_that_belongs_to_another_message_is_refused(app_on: AppFactory) -> None:
    app = app_on(Person)
    message = Start(name="Ann")
    app.dispatch(message, to="p-1")

    with pytest.raises(DuplicateMessageError, match="'p-1' at seq 1"):
        app.dispatch(message, to="p-2")


def test_many_messages_are_recorded_in_one_transaction_and_repeats_get_the_first_receipt(
    app_on: AppFactory,
) -> None:
    app = app_on(Person)
    known, new = Start(name="known"), Start(name="new")
    first = app.dispatch(known, to="p-1")

    receipts = app.dispatch_many(
        [Dispatch(known, to="p-1"), Dispatch(new, to="p-2"), Dispatch(new, to="p-2")]
    )

    assert [(r.stream_id, r.seq, r.repeated) for r in receipts] == [
        ("p-1", 1, True),
        ("p-2", 1, False),
        ("p-2", 1, True),
    ]
    assert receipts[0].position == first.position


@pytest.mark.parametrize("bad", ["payload", "other stream"])
def test_one_bad_message_of_many_leaves_nothing_behind(app_on: AppFactory, bad: str) -> None:
    app = app_on(Person)
    known = Start(name="known")
    app.dispatch(known, to="p-1")
    wrong = (
        Dispatch(Start(name="\x00"), to="p-2") if bad == "payload" else Dispatch(known, to="p-2")
    )

    with pytest.raises((PayloadError, DuplicateMessageError)):
        app.dispatch_many([Dispatch(Start(name="fine"), to="p-2"), wrong])

    assert app.store.inspect.status().messages == 1


def test_dispatching_to_nowhere_asks_for_the_stream(app_on: AppFactory) -> None:
    app = app_on(Person)

    with pytest.raises(UsageError, match="say which stream"):
        app.dispatch(Start(name="Ann"))


def test_dispatching_what_is_no_message_says_so(app_on: AppFactory) -> None:
    app = app_on(Person)

    with pytest.raises(UsageError, match="expected a message"):
        app.dispatch({"name": "Ann"}, to="p-1")  # type: ignore[arg-type]  # that is the point


def test_a_payload_that_cannot_be_stored_is_refused_before_anything_is_written(
    app_on: AppFactory,
) -> None:
    """I11."""
    app = app_on(Person)

    with pytest.raises(PayloadError, match="name"):
        app.dispatch(Start(name="a\x00b"), to="p-1")

    assert app.store.inspect.status().messages == 0


def test_append_with_an_expectation_is_refused_when_it_does_not_hold(app_on: AppFactory) -> None:
    """T23."""
    app = app_on(Person)
    app.append([Started(), Started()], to="p-1", expected_seq=0)

    for wrong in (0, 1, 3):
        with pytest.raises(ConcurrencyError, match="is at seq 2"):
            app.append(Started(), to="p-1", expected_seq=wrong)

    assert [m.meta.seq for m in app.read_stream("p-1")] == [1, 2]


def test_fifty_appends_at_once_leave_no_hole(app_on: AppFactory) -> None:
    """T22."""
    app = app_on(Person)
    together = threading.Barrier(10)

    def append() -> None:
        together.wait()
        for _ in range(5):
            app.append([Started(), Started()], to="p-1")

    threads = [threading.Thread(target=append) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [m.meta.seq for m in app.read_stream("p-1")] == list(range(1, 101))


# --- time -----------------------------------------------------------------------------------------


def test_a_scheduled_message_enters_the_log_when_it_is_due(
    app_on: AppFactory, clock: FakeClock
) -> None:
    app = app_on(Person, Greeter)

    receipt = app.dispatch(Start(name="Ann"), to="p-1", after=timedelta(hours=1))
    early = app.drain().handled
    clock.advance(hours=1)
    app.drain()

    assert (receipt.seq, receipt.due_at, early) == (None, clock.now(), 0)
    assert [m.meta.type for m in app.read_stream("p-1")] == ["app.start", "app.started"]
    assert next(app.read_stream("p-1")).meta.id == receipt.message_id


def test_a_scheduled_message_can_be_taken_back(app_on: AppFactory, clock: FakeClock) -> None:
    app = app_on(Person)
    receipt = app.dispatch(Start(), to="p-1", at=clock.now() + timedelta(hours=1))

    cancelled, again = app.cancel(receipt), app.cancel(receipt)
    clock.advance(hours=2)
    app.drain()

    assert (cancelled, again) == (True, False)
    assert list(app.read_stream("p-1")) == []


def test_scheduling_twice_gives_the_first_ones_receipt(app_on: AppFactory) -> None:
    app = app_on(Person)
    message = Start()

    first = app.dispatch(message, to="p-1", after=timedelta(hours=1))
    second = app.dispatch(message, to="p-1", after=timedelta(hours=2))

    assert (second.due_at, second.repeated) == (first.due_at, True)


def test_a_reaction_schedules_for_later(app_on: AppFactory, clock: FakeClock) -> None:
    class Remind(Command, type="app.remind"):
        pass

    class Reminder(Reactor, group="Reminder"):
        @on
        def remind(self, event: Started):  # type: ignore[no-untyped-def]
            yield Dispatch(Remind(), to="r", after=timedelta(days=1), meta={"k": 1})

    app = app_on(Reminder)
    app.append(Started(), to="p-1")
    app.drain()
    before = list(app.read_stream("r"))
    clock.advance(days=1)
    app.drain()

    assert before == []
    reminded = list(app.read_stream("r"))
    assert [m.meta.type for m in reminded] == ["app.remind"]
    assert reminded[0].meta["k"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": datetime(2030, 1, 1)},  # noqa: DTZ001  # naive on purpose
        {"after": timedelta(seconds=-1)},
        {"at": datetime(2030, 1, 1, tzinfo=UTC), "after": timedelta(1)},
    ],
)
def test_a_wrong_time_is_refused(app_on: AppFactory, wrong: dict[str, object]) -> None:
    app = app_on(Person)

    with pytest.raises(UsageError, match=r"at= or after=|aware|0 or more"):
        app.dispatch(Start(), to="p-1", **wrong)  # type: ignore[arg-type]


# --- waiting --------------------------------------------------------------------------------------


def test_wait_returns_when_everything_the_command_caused_is_handled(app_on: AppFactory) -> None:
    app = app_on(Person, Greeter)
    receipt = app.dispatch(Start(name="Ann"), to="p-1")
    app.dispatch(Start(name="Bob"), to="p-2", after=timedelta(hours=1))
    app.drain()

    app.wait(receipt, timeout=0)

    assert app.load(Greeter, "greeter").state == {"Ann": "greeted"}


def test_wait_names_what_is_pending_when_time_runs_out(app_on: AppFactory) -> None:
    app = app_on(Person)
    receipt = app.dispatch(Start(), to="p-1")

    with pytest.raises(WaitTimeoutError, match=r"'Person' has not handled app\.start \(p-1 #1\)"):
        app.wait(receipt, timeout=0.05)


def test_wait_ends_at_once_when_a_stream_is_parked(app_on: AppFactory) -> None:
    class Broken(Reactor, group="Broken"):
        @on
        def fail(self, event: Started) -> None:
            raise RuntimeError("no")

    app = app_on(Person, Broken, settings=Settings(errors=ErrorPolicy(retries=0)))
    receipt = app.dispatch(Start(), to="p-1")
    app.drain()

    with pytest.raises(StreamParkedError, match="'Broken' is parked"):
        app.wait(receipt, timeout=60)
    app.wait(receipt, groups=[Person], timeout=0)


def test_wait_for_waits_for_one_group_and_stream_only(app_on: AppFactory) -> None:
    app = app_on(Person, Greeter)
    app.append([Started(), Started()], to="p-1")
    app.append(Started(), to="p-2")

    with pytest.raises(WaitTimeoutError, match="up to #0 of 2"):
        app.wait_for(Person, "p-1", 2, timeout=0)
    app.drain()
    app.wait_for(Person, "p-1", 2, timeout=0)


# --- registering ----------------------------------------------------------------------------------


def test_two_reactors_under_one_name_are_refused(app_on: AppFactory) -> None:
    class Other(Reactor, group="Person"):
        @on
        def see(self, event: Started) -> None: ...

    app = app_on(Person)

    with pytest.raises(RegistrationError, match="group 'Person' is taken by Person"):
        app.register(Other)


def test_two_deciders_of_one_command_are_refused(app_on: AppFactory) -> None:
    class Twin(Person, group="Twin"):
        pass

    app = app_on(Person)

    with pytest.raises(RegistrationError, match="Start is decided by Person already"):
        app.register(Twin)


def test_a_handler_of_a_base_class_is_given_what_derives_from_it(app_on: AppFactory) -> None:
    class Closed(Event, type="app.closed"):
        pass

    class ClosedEarly(Closed, type="app.closed_early"):
        pass

    seen: list[str] = []

    class Watcher(Reactor, group="Watcher"):
        @on
        def see(self, event: Closed) -> None:
            seen.append(event.meta.type)

    app = app_on(Watcher)
    app.append([Closed(), ClosedEarly()], to="p-1")

    app.drain()
    Unit(app, Watcher).handle(ClosedEarly(), to="p-2")

    assert seen == ["app.closed", "app.closed_early", "app.closed_early"]


def test_registering_again_changes_nothing(app_on: AppFactory) -> None:
    app = app_on(Person)

    app.register(Person)

    assert [entry.group for entry in app.reactors] == ["Person"]


def test_what_is_no_reactor_is_refused(app_on: AppFactory) -> None:
    class Nothing:
        pass

    app = app_on(Person)

    with pytest.raises(RegistrationError, match="lacks `group`"):
        app.register(Nothing)


def test_a_new_group_can_start_now_or_at_a_time(app_on: AppFactory, clock: FakeClock) -> None:
    app = app_on(Person)
    app.append(Started(name="old"), to="p-1")
    clock.advance(hours=1)
    moment = clock.now()
    app.append(Started(name="new"), to="p-1")
    seen: dict[str, list[str]] = {"now": [], "since": [], "beginning": []}

    def recorder(name: str) -> Reactor:
        class Recorder(Reactor, group=name):
            @on
            def see(self, event: Started) -> None:
                seen[name].append(event.name)

        return Recorder()

    app.register(recorder("now"), start="now")
    app.register(recorder("since"), start=moment)
    app.register(recorder("beginning"))
    app.drain()

    assert seen == {"now": [], "since": ["new"], "beginning": ["old", "new"]}


def test_a_group_can_be_renamed(app_on: AppFactory) -> None:
    seen: list[str] = []

    class Before(Reactor, group="before"):
        @on
        def see(self, event: Started) -> None:
            seen.append("before")

    class After(Reactor, group="after", was=("before",)):
        @on
        def see(self, event: Started) -> None:
            seen.append("after")

    old = app_on(Before)
    old.append(Started(), to="p-1")
    old.drain()
    new = app_on(After)
    new.append(Started(), to="p-1")
    new.drain()

    assert seen == ["before", "after"]


def test_an_unknown_group_is_named(app_on: AppFactory) -> None:
    app = app_on(Person)

    with pytest.raises(UnknownGroupError, match="'Greeter'"):
        app.groups.stop(Greeter)


def test_a_group_that_is_nearly_named_so_is_suggested(app_on: AppFactory) -> None:
    app = app_on(Person)

    with pytest.raises(UnknownGroupError, match=r"unknown group 'Persn'; did you mean 'Person'\?"):
        app.groups.status("Persn")


@pytest.mark.parametrize(
    "verb",
    [
        lambda groups: groups.status(Person),
        lambda groups: groups.stop(Person),
        lambda groups: groups.start("Person"),
        lambda groups: groups.reset(Person),
        lambda groups: groups.retry(Person),
    ],
    ids=["status", "stop", "start", "reset", "retry"],
)
def test_the_first_verb_may_be_one_of_the_groups(verb: Callable[[Groups], object]) -> None:
    app = App().register(Person)

    verb(app.groups)

    assert [group.name for group in app.store.inspect.groups()] == ["Person"]


def test_skipping_may_be_the_first_verb() -> None:
    store = MemoryStore()
    App(store).register(Person).dispatch(Start(), to="p-1")

    assert App(store).register(Person, Greeter).groups.skip("Person", "p-1") == 1
    with pytest.raises(NotFoundError, match="nothing pending"):
        App(store).register(Person, Greeter).groups.skip(Greeter, "p-1")


def test_streams_and_groups_may_be_one_or_several(app_on: AppFactory) -> None:
    seen = []

    class Log(Reactor, group="Log"):
        @on
        def see(self, event: Started) -> None:
            seen.append(event.meta.stream_id)

    log = Log()
    app = app_on(log, Person)
    for stream_id in ("s1", "s2", "s", "1"):
        app.append(Started(), to=stream_id)
    app.drain()
    seen.clear()

    for streams, groups in (("s1", "Log"), (["s1", "s2"], ["Log"]), ("s2", Log), ({"s"}, log)):
        app.groups.reset(log, streams=streams)
        assert app.drain(groups=Person).handled == 0
        app.drain(groups=groups)

    assert seen == ["s1", "s1", "s2", "s2", "s"]


def test_a_stream_that_does_not_exist_is_told_before_any_is_reset(app_on: AppFactory) -> None:
    app = app_on(Person)
    app.append(Started(), to="p-1")
    app.drain()

    with pytest.raises(NotFoundError, match="no stream 'nope'"):
        app.groups.reset(Person, streams=["p-1", "nope"])
    with pytest.raises(NotFoundError, match="no stream 'p-'"):
        app.groups.reset(Person, streams="p-")

    assert app.groups.status(Person).pending == 0


@pytest.mark.parametrize("wrong", [5, None, b"p-1", ["p-1"], ""])
def test_what_is_no_stream_id_is_refused(app_on: AppFactory, wrong: Any) -> None:
    app = app_on(Person)

    with pytest.raises(UsageError, match="stream"):
        app.groups.reset(Person, streams=[wrong])
    with pytest.raises(UsageError, match="stream"):
        app.groups.skip(Person, wrong)
    if wrong is not None:
        with pytest.raises(UsageError, match="stream"):
            app.groups.retry(Person, wrong)


@pytest.mark.parametrize(
    "verb",
    [
        lambda app, groups: app.drain(groups=groups),
        lambda app, groups: app.wait(app.dispatch(Start(), to="p-2"), groups=groups, timeout=0),
    ],
    ids=["drain", "wait"],
)
def test_a_group_that_is_not_there_is_told_and_nothing_is_done(
    app_on: AppFactory, verb: Callable[[App, Any], object]
) -> None:
    app = app_on(Person)
    app.dispatch(Start(), to="p-1")

    for groups in ("Persona", ["Person", "Persona"]):
        with pytest.raises(UnknownGroupError, match=r"unknown group 'Persona'.*'Person'"):
            verb(app, groups)
    with pytest.raises(UnknownGroupError, match="unknown group 'Greeter'; register its reactor"):
        verb(app, Greeter)

    assert app.groups.status(Person).pending >= 1


def test_others_groups_can_be_waited_for_but_not_drained(app_on: AppFactory) -> None:
    app_on(Greeter)
    app = app_on(Person)
    receipt = app.dispatch(Greet(), to="greeter")

    with pytest.raises(WaitTimeoutError, match="'Greeter' has not handled"):
        app.wait(receipt, groups="Greeter", timeout=0)
    with pytest.raises(UnknownGroupError, match="'Greeter'"):
        app.drain(groups="Greeter")


# --- reading --------------------------------------------------------------------------------------


def test_types_may_be_one_or_several(app_on: AppFactory) -> None:
    app = app_on(Person)
    app.append([Started(name="a"), Greeted(name="b")], to="p-1")

    for types in (Started, [Started], (Started,)):
        assert list(app.read_stream("p-1", types=types)) == [Started(name="a")]
        assert list(app.read_all(types=types)) == [Started(name="a")]


def test_load_gives_the_state_as_of_a_seq(app_on: AppFactory) -> None:
    app = app_on(Person)
    app.append([Started(name="a"), Started(name="b")], to="p-1")

    assert app.load(Person, "p-1").state == {"name": "b"}
    assert app.load(Person, "p-1", upto=1).state == {"name": "a"}


def test_read_all_pages_both_ways(app_on: AppFactory) -> None:
    app = app_on(Person)
    for n in range(5):
        app.append(Started(name=str(n)), to=f"p-{n}")

    first = app.read_all(limit=3)
    second = app.read_all(after=first.next_after, limit=3)
    newest = app.read_all(limit=2, backwards=True)

    names = [[m.payload["name"] for m in page] for page in (first, second, newest)]
    assert names == [["0", "1", "2"], ["3", "4"], ["4", "3"]]


def test_trace_draws_the_causation_tree_with_its_open_branches(app_on: AppFactory) -> None:
    app = app_on(Person, Greeter)
    receipt = app.dispatch(Start(name="Ann"), to="p-1")
    app.drain(groups=[Person])

    open_tree = str(app.trace(receipt))
    app.drain()
    closed_tree = str(app.trace(receipt))

    assert open_tree.splitlines() == [
        "app.start  p-1 #1",
        "  app.started  p-1 #2",
        "    app.greet  greeter #1  [Greeter: ready]",
    ]
    assert closed_tree.splitlines()[2:] == [
        "    app.greet  greeter #1",
        "      app.greeted  greeter #2",
    ]


def test_trace_of_an_unknown_message_is_not_found(app_on: AppFactory) -> None:
    app = app_on(Person)

    with pytest.raises(NotFoundError, match="no message"):
        app.trace(UUID(int=1))


def test_a_type_that_is_not_defined_here_can_be_read_and_parks_its_stream_by_name(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T65."""
    app = app_on(Person)
    app.store.register("Person", ["app.vanished"])
    app.store.append([foreign("app.vanished", "p-1")])
    app.append(Started(name="fine"), to="p-2")

    result = app.drain()

    shown = next(app.read_stream("p-1"))
    row = app.store.inspect.deliveries(group="Person")[0]
    assert isinstance(shown, UnknownMessage)
    assert shown.payload == {"x": 1}
    assert (result.parked, result.handled) == (1, 1)
    assert (row.stream_id, row.state) == ("p-1", "parked")
    assert "app.vanished" in (row.error or "")


def test_a_type_that_a_live_worker_of_newer_code_knows_is_left_to_it_without_spinning(
    app_on: AppFactory,
) -> None:
    """T65."""
    from sourced._store import WorkerInfo

    app = app_on(Person)
    app.store.register("Person", ["app.newer"])
    app.store.append([foreign("app.newer", "p-1")])
    app.store.join(WorkerInfo(id="new", handles={"Person": frozenset({"app.newer"})}))

    app.drain()

    row = app.store.inspect.deliveries(group="Person")[0]
    assert (row.state, row.attempts) == ("retrying", 0)
    assert row.ready_at == app.store.now() + app.settings.lease


# --- life -----------------------------------------------------------------------------------------


def test_rows_and_messages_of_a_transaction_commit_together_or_not_at_all(
    app_on: AppFactory,
) -> None:
    app = app_on(Person)

    def change_my_mind() -> None:
        with app.transaction() as transaction:
            transaction.dispatch(Start(name="lost"), to="p-1")
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        change_my_mind()
    with app.transaction() as transaction:
        transaction.dispatch(Start(name="kept"), to="p-1")
        with pytest.raises(ConcurrencyError):
            transaction.append(Started(), to="p-1", expected_seq=7)

    assert [m.payload["name"] for m in app.read_stream("p-1")] == ["kept"]


def test_draining_in_several_threads_handles_each_message_once(app_on: AppFactory) -> None:
    app = app_on(Person, Greeter)
    for n in range(60):
        app.dispatch(Start(name=str(n)), to=f"p-{n % 20}")

    result = app.drain(threads=4)

    greeted = [m for m in app.read_stream("greeter") if isinstance(m, Greeted)]
    assert sorted(int(m.name) for m in greeted) == list(range(60))
    assert result.handled == 180


def test_slow_streams_are_handled_at_the_same_time_by_the_threads(app_on: AppFactory) -> None:
    """Four streams and four threads: each handler waits until all four are at work."""
    together = threading.Barrier(4)

    class Slow(Reactor, group="Slow"):
        @on
        def see(self, event: Started) -> None:
            together.wait(10)

    app = app_on(Slow)
    for n in range(4):
        app.append(Started(), to=f"p-{n}")

    result = app.drain(threads=4)

    assert (result.handled, result.failed) == (4, 0)


def test_what_does_not_fit_the_budget_is_left_to_other_threads(
    app_on: AppFactory, clock: FakeClock
) -> None:
    class Slow(Reactor, group="Slow"):
        @on
        def see(self, event: Started) -> None:
            clock.advance(seconds=1)

    app = app_on(Slow)
    for n in range(4):
        app.append(Started(), to=f"p-{n}")
    engine, registry = app.ready()
    with Session(engine, registry) as session:
        result = Round(engine, app.registered(Slow), session.worker_id).run()

    left = app.store.inspect.deliveries(group="Slow")
    assert (result.claimed, result.handled) == (1, 1)
    assert [(d.state, d.attempts) for d in left] == [("ready", 0)] * 3


def test_drain_stops_between_streams_when_told(app_on: AppFactory) -> None:
    app = app_on(Person)
    app.dispatch(Start(), to="p-1")

    result = app.drain(stopping=lambda: True)

    assert result.handled == 0
    assert app.store.inspect.deliveries()[0].attempts == 0


def test_messages_take_their_time_from_the_apps_clock(clock: FakeClock) -> None:
    app = App(MemoryStore(clock=clock))
    app.register(Person)

    app.handle(Start(), to="p-1")

    assert {m.meta.created_at for m in app.read_stream("p-1")} == {clock.now()}


def test_a_closed_app_can_be_used_as_a_context(clock: FakeClock) -> None:
    with App(clock=clock) as app:
        app.register(Person)
        app.handle(Start(name="x"), to="p-1")

    assert "Person" in repr(app)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///shop.db", "sqlite:///shop.db"),
        ("postgresql://ann:hush@db:5432/shop", "postgresql://ann:***@db:5432/shop"),
        (
            "postgresql://db/shop?user=ann&password=hush",
            "postgresql://db/shop?user=ann&password=***",
        ),
        ("ann:hush@db/shop", "ann:***@db/shop"),
        ("postgresql://:hush@db/shop", "postgresql://:***@db/shop"),
        ("postgresql://ann:hu/s@h?#[@db/shop", "postgresql://ann:***@db/shop"),
        ("postgresql://[::1]:5432/shop", "postgresql://[::1]:5432/shop"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
    ],
)
def test_no_password_of_a_url_is_shown(url: str, shown: str) -> None:
    assert safe_url(url) == shown


@pytest.mark.parametrize("url", ["nosuch://ann:[hush@db/shop", "nosuch://ann:hu/sh@db/shop"])
def test_no_password_is_shown_of_a_url_that_nobody_opens(url: str) -> None:
    with pytest.raises(StoreUrlError, match="unknown store scheme 'nosuch'") as refused:
        App(url)

    assert "sh@" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["mysql", "mariadb+pymysql"])
def test_a_package_that_is_installed_and_does_not_open_a_url_is_not_to_be_installed(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "sourced_sqlalchemy-0.1.7.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: sourced-sqlalchemy\nVersion: 0.1.7\n")
    (installed / "entry_points.txt").write_text("[sourced.stores]\nsqlite = nowhere:open\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(StoreUrlError) as refused:
        App(f"{scheme}://ann:hush@db/shop")

    name = scheme.partition("+")[0]
    assert str(refused.value) == (
        f"sourced-sqlalchemy is installed, but its version 0.1.7 opens sqlite:// URLs only, "
        f"and '{scheme}://ann:***@db/shop' is one of {name}://"
    )


def foreign(type_name: str, stream_id: str) -> NewMessage:
    """A message of a type that no class here has."""
    known = encode(with_meta(Started()), stream_id)
    return NewMessage(
        id=known.id,
        type=type_name,
        stream_id=stream_id,
        payload='{"x":1}',
        meta=known.meta,
        created_at=known.created_at,
        causation_id=known.causation_id,
        correlation_id=known.correlation_id,
    )

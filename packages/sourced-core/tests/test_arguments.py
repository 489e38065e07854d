"""What an app and its classes refuse before anything is stored: names, starts, numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sourced import (
    Actor,
    App,
    Batch,
    Command,
    Dispatch,
    ErrorPolicy,
    Event,
    Failure,
    Outcome,
    Park,
    Reactor,
    Receipt,
    Settings,
    command,
    event,
)
from sourced.errors import ConfigurationError, DefinitionError, RegistrationError, UsageError
from sourced.memory import MemoryStore
from sourced.runtime import Supervisor

AppFactory = Callable[..., App]


class Note(Command, type="arguments.note"):
    text: str = ""


class Noted(Event, type="arguments.noted"):
    text: str = ""


class Notes(Actor[list[str]], group="Notes"):
    def initial_state(self, stream_id: str) -> list[str]:
        return []

    @command
    def note(self, notes: list[str], cmd: Note):  # type: ignore[no-untyped-def]  # as users do
        yield Noted(text=cmd.text)

    @event
    def noted(self, notes: list[str], event: Noted) -> None:
        notes.append(event.text)


class Listener:
    """Fits the reactor protocol, and is no class of the library."""

    handles = (Noted,)

    def __init__(self, group: str, was: Sequence[str] = ()) -> None:
        self.group = group
        self.former_groups = tuple(was)

    def handle_batch(self, batch: Batch) -> Sequence[Outcome]:
        return ()


NO_NAMES = [
    pytest.param("", "not empty", id="empty"),
    pytest.param("a\0b", "NUL", id="NUL"),
    pytest.param("\ud800", "surrogate", id="lone surrogate"),
    pytest.param("x" * 256, "256 characters", id="too long"),
]


@pytest.mark.parametrize(("name", "says"), NO_NAMES)
def test_a_class_with_a_group_that_cannot_be_stored_is_not_defined(name: str, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):

        class Present(Reactor, group=name): ...

    with pytest.raises(DefinitionError, match=says):

        class Former(Reactor, group="Former", was=[name]): ...


def test_a_class_whose_own_name_is_too_long_for_a_group_asks_for_another() -> None:
    with pytest.raises(DefinitionError, match="group="):
        type("X" * 256, (Reactor,), {})


@pytest.mark.parametrize(("name", "says"), NO_NAMES)
def test_a_reactor_whose_group_cannot_be_stored_is_not_registered(name: str, says: str) -> None:
    app = App()

    if name:  # an empty one is none at all, which is said differently
        with pytest.raises(RegistrationError, match=says):
            app.register(Listener(name))
    with pytest.raises(RegistrationError, match=says):
        app.register(Listener("Listener", was=[name]))

    assert app.reactors == ()


@pytest.mark.parametrize(
    "start",
    [
        "Now",
        "yesterday",
        5,
        None,
        datetime(2030, 1, 1),  # noqa: DTZ001
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-10))),
    ],
)
def test_a_start_that_means_nothing_is_refused_when_it_is_given(start: Any) -> None:
    app = App()

    with pytest.raises(RegistrationError, match="'beginning', 'now' or an aware datetime"):
        app.register(Notes, start=start)

    assert app.reactors == ()


@pytest.mark.parametrize(
    "use",
    [
        lambda app: app.read_stream("a", after=-1),
        lambda app: app.read_stream("a", upto=-1),
        lambda app: app.read_all(after=-1),
        lambda app: app.read_all(limit=0),
        lambda app: app.load(Notes, "a", upto=-1),
        lambda app: app.wait_for(Notes, "a", -1),
    ],
)
def test_a_number_without_sense_is_refused_where_it_is_given(
    app_on: AppFactory, use: Callable[[App], object]
) -> None:
    app = app_on(Notes)

    with pytest.raises(UsageError, match="or more"):
        use(app)


def test_a_number_beyond_every_log_is_no_bound(app_on: AppFactory) -> None:
    app = app_on(Notes)
    app.append([Noted(text="a"), Noted(text="b")], to="a")

    assert list(app.read_stream("a", after=2**70)) == []
    assert len(list(app.read_stream("a", upto=2**70))) == 2
    assert app.read_all(after=2**70).messages == ()
    assert len(app.read_all(limit=2**70)) == 2
    assert app.load(Notes, "a", upto=2**70).state == ["a", "b"]


@pytest.mark.parametrize("stream_id", ["", "a\0b", "\ud800", "x" * 256])
def test_a_stream_that_could_never_be_stored_is_empty(app_on: AppFactory, stream_id: str) -> None:
    app = app_on(Notes)
    app.append(Noted(text="a"), to="a")

    assert list(app.read_stream(stream_id)) == []
    assert app.load(Notes, stream_id).state == []


RECEIPT = Receipt(
    message_id=UUID(int=1), correlation_id=UUID(int=1), stream_id="a", seq=1, position=1
)


async def never_awaited(failure: Failure) -> Park:
    return Park()


@pytest.mark.parametrize(
    ("policy", "got"),
    [
        (5, "got 5"),
        ("park", "got 'park'"),
        (Park(), r"got Park\(\)"),
        (ErrorPolicy, r"got the class ErrorPolicy; write ErrorPolicy\(…\)"),
        (never_awaited, "got an async function"),
    ],
)
def test_an_error_policy_that_is_none_is_refused_where_it_is_given(policy: Any, got: str) -> None:
    class Odd(Listener):
        error_policy = policy

    says = rf"ErrorPolicy\(retries=…\).*Retry\(after=…\), Park\(\), Stop\(\) or Skip\(\).*{got}"
    with pytest.raises(ConfigurationError, match=says):
        App(errors=policy)
    with pytest.raises(ConfigurationError, match=says):
        Settings(errors=policy)
    with pytest.raises(DefinitionError, match=rf"Wrong: errors=.*{says}"):

        class Wrong(Reactor, errors=policy): ...

    with pytest.raises(RegistrationError, match=rf"group 'Odd'.*{says}"):
        App().register(Odd("Odd"))


def test_an_error_policy_may_be_anything_that_decides() -> None:
    class Deciding:
        def __call__(self, failure: Failure) -> Park:
            return Park()

    for policy in (ErrorPolicy(), lambda failure: Park(), Deciding()):
        assert App(errors=policy).settings.errors is policy


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"retries": "x"}, "retries must be an integer of 0 or more, got 'x'"),
        ({"retries": True}, "retries must be an integer of 0 or more, got True"),
        ({"backoff": timedelta(1)}, r"backoff must be a function such as exponential\(\)"),
        ({"on_park": "log"}, "on_park must be a function of the failure, got 'log'"),
    ],
)
def test_an_error_policy_is_made_of_what_it_can_use(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        ErrorPolicy(**wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"lease": 5}, r"lease must be a timedelta such as timedelta\(seconds=15\), got 5"),
        ({"heartbeat": "5s"}, "heartbeat must be a timedelta"),
        ({"poll_interval": 1.0}, "poll_interval must be a timedelta"),
        ({"breaker_window": 60}, "breaker_window must be a timedelta"),
        ({"batch_budget": 0.2}, "batch_budget must be a timedelta"),
        ({"batch_budget": timedelta(-1)}, "batch_budget must be 0 or more"),
        ({"breaker_window": timedelta(0)}, "breaker_window must be positive"),
        ({"breaker": "20"}, "breaker must be an integer of 1 or more, got '20'"),
        ({"max_streams": 1.5}, "max_streams must be an integer of 1 or more, got 1.5"),
        ({"max_messages": True}, "max_messages must be an integer of 1 or more, got True"),
        ({"cache_size": -1}, "cache_size must be an integer of 0 or more, got -1"),
        ({"cache_size": None}, "cache_size must be an integer of 0 or more, got None"),
        ({"code_version": 5}, "code_version must be a text, got 5"),
        ({"lease": timedelta.max, "heartbeat": timedelta.max}, "three heartbeats"),
    ],
)
def test_settings_are_of_their_kind(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Settings(**wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"store": 5}, r"a URL such as 'sqlite:///shop\.db' or a store .*, got 5"),
        ({"store": Path("shop.db")}, "a URL such as"),
        ({"store": MemoryStore}, "got the class MemoryStore"),
        ({"settings": {"lease": 5}}, r"Settings\(…\), got \{'lease': 5\}"),
        ({"clock": 5}, "a clock .*, got 5"),
    ],
)
def test_an_app_is_made_of_what_it_can_use(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        App(**wrong)


MISUSES: list[tuple[Callable[[App], object], str]] = [
    (lambda app: app.append(None, to="a"), "an event, or several, got None"),  # type: ignore[arg-type]
    (lambda app: app.append(Noted, to="a"), "an event, or several, got <class"),  # type: ignore[arg-type]
    (lambda app: app.append("noted", to="a"), "an event, or several, got 'noted'"),  # type: ignore[arg-type]
    (lambda app: app.append({"text": "x"}, to="a"), "an event, or several, got {'text'"),  # type: ignore[arg-type]
    (lambda app: app.append([{"text": "x"}], to="a"), "an event, or several, got {'text'"),  # type: ignore[list-item]
    (lambda app: app.dispatch(Note(), to="a", meta=5), "meta= must be a mapping .*, got 5"),  # type: ignore[arg-type]
    (lambda app: app.dispatch(Note(), to="a", id="x"), "id= must be a UUID, got 'x'"),  # type: ignore[arg-type]
    (lambda app: app.dispatch_many(None), r"Dispatch\(AddItem\(…\), to=…\), got None"),  # type: ignore[arg-type]
    (lambda app: app.dispatch_many([Note()]), r"Dispatch\(.*\), got Note\("),  # type: ignore[list-item]
    (lambda app: app.handle(Note(), to="a", timeout="5"), "timeout= .* seconds, got '5'"),  # type: ignore[arg-type]
    (lambda app: app.wait(None), "receipt .*, got None"),  # type: ignore[arg-type]
    (lambda app: app.wait(RECEIPT, timeout="5"), "timeout= .* seconds, got '5'"),  # type: ignore[arg-type]
    (lambda app: app.wait(RECEIPT, timeout=float("nan")), "timeout= .* seconds, got nan"),
    (lambda app: app.wait_for(Notes, 5, 1), "stream_id= must be a text, got 5"),  # type: ignore[arg-type]
    (lambda app: app.wait_for(Notes, "a", 0, timeout=None), "timeout= .*, got None"),  # type: ignore[arg-type]
    (lambda app: app.cancel("x"), "a receipt or a message's id, a UUID, got 'x'"),  # type: ignore[arg-type]
    (lambda app: app.trace("x"), "a receipt or a message's id, a UUID, got 'x'"),  # type: ignore[arg-type]
    (lambda app: app.load(Notes, 5), "stream_id= must be a text, got 5"),  # type: ignore[arg-type]
    (lambda app: app.read_stream(5), "stream_id= must be a text, got 5"),  # type: ignore[arg-type]
    (lambda app: app.read_stream("a", types="noted"), "types= must be message classes"),  # type: ignore[arg-type]
    (lambda app: app.read_all(types=[5]), "types= must be message classes"),  # type: ignore[list-item]
    (lambda app: app.drain(threads="2"), "threads must be 1 or more, got '2'"),  # type: ignore[arg-type]
    (lambda app: Supervisor(app, threads=1.5), "threads must be 1 or more, got 1.5"),  # type: ignore[arg-type]
    (lambda app: Supervisor(app, grace="25s"), "grace= .* seconds, got '25s'"),  # type: ignore[arg-type]
    (lambda app: app.groups.stop(Notes, wait="5"), "wait= .* seconds, got '5'"),  # type: ignore[arg-type]
    (lambda app: app.groups.skip(Notes, "a", seq="1"), "seq= must be an integer"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("use", "says"), MISUSES)
def test_what_a_verb_cannot_use_is_refused_with_what_it_expects(
    app_on: AppFactory, use: Callable[[App], object], says: str
) -> None:
    app = app_on(Notes)
    app.append(Noted(text="a"), to="a")
    app.drain()

    with pytest.raises(UsageError, match=says):
        use(app)

    assert len(list(app.read_stream("a"))) == 1
    assert [group.status for group in app.store.inspect.groups()] == ["active"]


def test_one_dispatch_need_not_be_in_a_list(app_on: AppFactory) -> None:
    app = app_on(Notes)

    (receipt,) = app.dispatch_many(Dispatch(Note(text="n"), to="a"))

    assert (receipt.stream_id, receipt.seq) == ("a", 1)


@pytest.mark.parametrize("expected_seq", ["1", 1.0, True, -1])
def test_an_expectation_that_is_no_seq_is_refused_before_any_store(
    app_on: AppFactory, expected_seq: Any
) -> None:
    app = app_on(Notes)
    app.append(Noted(text="a"), to="a")

    with pytest.raises(UsageError, match="expected_seq= must be an integer of 0 or more"):
        app.append(Noted(text="b"), to="a", expected_seq=expected_seq)
    with app.transaction() as transaction, pytest.raises(UsageError, match="expected_seq="):
        transaction.append(Noted(text="b"), to="a", expected_seq=expected_seq)

    assert len(list(app.read_stream("a"))) == 1

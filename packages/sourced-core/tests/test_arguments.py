"""What an app and its classes refuse before anything is stored: names, starts, numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sourced import Actor, App, Batch, Command, Event, Outcome, Reactor, command, event
from sourced.errors import DefinitionError, RegistrationError, UsageError

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

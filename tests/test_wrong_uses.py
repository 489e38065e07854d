"""What people get wrong first: each error names the place and says what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import sourced._stores
from sourced import (
    Actor,
    App,
    Command,
    Dispatch,
    Event,
    Reactor,
    Settings,
    StateStoredProjector,
    Unit,
    command,
    event,
    on,
)
from sourced.errors import SourcedError

pytestmark = pytest.mark.integration


class Add(Command, type="wrong.add"):
    name: str


class Added(Event, type="wrong.added"):
    name: str


class Good(Actor[dict[str, str]], group="Good"):
    def initial_state(self, stream_id: str) -> dict[str, str]:
        return {}

    @command
    def add(self, state: dict[str, str], cmd: Add) -> Iterator[Event]:
        yield Added(name=cmd.name)


def app() -> App:
    return App().register(Good)


# --- the uses: a function that does it wrong, and what the error must say -------------------------


def two_handlers_for_one_message() -> None:
    class Cart(Actor[dict[str, str]]):
        @command
        def add(self, state: dict[str, str], cmd: Add) -> Iterator[Event]:
            yield Added(name=cmd.name)

        @command
        def add_again(self, state: dict[str, str], cmd: Add) -> Iterator[Event]:
            yield Added(name=cmd.name)


def a_handler_without_annotation() -> None:
    class Cart(Actor[dict[str, str]]):
        @command
        def add(self, state, cmd): ...  # type: ignore[no-untyped-def]


def a_command_handler_for_an_event() -> None:
    class Cart(Actor[dict[str, str]]):
        @command
        def add(self, state: dict[str, str], cmd: Added) -> Iterator[Event]:
            yield Added(name=cmd.name)


def an_event_handler_in_a_plain_reactor() -> None:
    class Log(Reactor):
        @event
        def added(self, state: dict[str, str], event: Added) -> None: ...


def a_command_handler_in_a_projector() -> None:
    class Listing(StateStoredProjector[dict[str, str]]):
        @command
        def add(self, state: dict[str, str], cmd: Add) -> Iterator[Event]:
            yield Added(name=cmd.name)


def an_unknown_type() -> None:
    Command.from_type("wrong.ad", {"name": "x"})


def a_reserved_field_name() -> None:
    class Bad(Command, type="wrong.bad"):
        payload: str  # type: ignore[assignment]


def a_field_of_an_unsupported_type() -> None:
    class Bad(Command, type="wrong.bad_field"):
        lock: re.Pattern[str]


def a_field_whose_type_is_never_defined() -> None:
    class Bad(Command, type="wrong.bad_name"):
        lock: Nowhere  # type: ignore[name-defined]  # noqa: F821

    Bad(lock=1)


def one_type_for_two_classes() -> None:
    class Other(Command, type="wrong.add"):
        pass


def a_payload_with_nul() -> None:
    app().dispatch(Add(name="a\x00b"), to="s")


def a_payload_of_the_wrong_type() -> None:
    app().dispatch(Add(name=7), to="s")  # type: ignore[arg-type]


def untrusted_input_that_does_not_fit() -> None:
    Add.parse({"nam": "x", "name": 7})


def a_group_name_twice() -> None:
    class Other(Reactor, group="Good"):
        @on
        def see(self, event: Added) -> None: ...

    app().register(Other)


def a_command_decided_twice() -> None:
    class Twin(Good, group="Twin"):
        pass

    app().register(Twin)


def something_that_is_no_reactor() -> None:
    @dataclass
    class Thing:
        n: int = 0

    app().register(Thing)


def a_reactor_that_handles_nothing() -> None:
    class Idle(Reactor):
        pass

    app().register(Idle)


def a_reactor_that_needs_arguments() -> None:
    class Mailer(Reactor, group="Mailer"):
        def __init__(self, server: str) -> None:
            self.server = server

        @on
        def see(self, event: Added) -> None: ...

    app().register(Mailer)


def a_store_url_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sourced._stores, "entry_points", lambda **_: [])
    App("postgresql://shop:secret@localhost/shop")


def a_store_url_that_the_installed_version_does_not_open() -> None:
    App("mysql://shop:secret@localhost/shop")


def a_store_url_of_no_known_kind() -> None:
    App("mongodb://localhost/shop")


def a_path_instead_of_a_url() -> None:
    App("shop.db")


def tables_that_are_not_installed(tmp_path: Path) -> None:
    App(f"sqlite:///{tmp_path / 'new.db'}").register(Good).dispatch(Add(name="x"), to="s")


def a_folder_that_does_not_exist(tmp_path: Path) -> None:
    App(f"sqlite:///{tmp_path / 'nowhere' / 'new.db'}").install()


def dispatching_to_no_stream() -> None:
    app().dispatch(Add(name="x"))


def dispatching_a_dict() -> None:
    app().dispatch({"name": "x"}, to="s")  # type: ignore[arg-type]


def handling_what_nobody_decides() -> None:
    App().handle(Add(name="x"), to="s")


def a_unit_of_nothing() -> None:
    Unit(app())


def a_naive_time() -> None:
    app().dispatch(Add(name="x"), to="s", at=datetime(2030, 1, 1))  # noqa: DTZ001


def a_lease_shorter_than_three_heartbeats() -> None:
    Settings(lease=timedelta(seconds=5), heartbeat=timedelta(seconds=5))


def an_error_policy_that_is_none() -> None:
    App(errors=5)  # type: ignore[arg-type]


def a_lease_without_its_unit() -> None:
    Settings(lease=5)  # type: ignore[arg-type]


def a_number_instead_of_a_store() -> None:
    App(5)  # type: ignore[arg-type]


def an_operation_on_an_unknown_group() -> None:
    app().groups.stop("God")


def draining_an_unknown_group() -> None:
    app().drain(groups="God")


def resetting_an_unknown_stream() -> None:
    app().groups.reset(Good, streams="nope")


def appending_nothing() -> None:
    app().append(None, to="s")  # type: ignore[arg-type]


def an_expectation_that_is_no_seq() -> None:
    app().append(Added(name="x"), to="s", expected_seq="1")  # type: ignore[arg-type]


def yielding_a_command_from_a_decision() -> None:
    class Chain(Actor[dict[str, str]], group="Chain"):
        def initial_state(self, stream_id: str) -> dict[str, str]:
            return {}

        @command
        def add(self, state: dict[str, str], cmd: Add):  # type: ignore[no-untyped-def]
            yield Add(name="again")

    App().register(Chain).handle(Add(name="x"), to="s")


def performing_a_command_inside_a_handler() -> None:
    class Chain(Actor[dict[str, str]], group="Chain2"):
        def initial_state(self, stream_id: str) -> dict[str, str]:
            return {}

        @command
        def start(self, state: dict[str, str], *, name: str):  # type: ignore[no-untyped-def]
            self.other(name=name)
            return []

        @command
        def other(self, state: dict[str, str], *, name: str):  # type: ignore[no-untyped-def]
            return []

    Chain("s", app=App().register(Chain)).start(name="x")


def two_times_for_one_dispatch() -> None:
    class Late(Reactor, group="Late"):
        @on
        def see(self, event: Added) -> Iterator[Dispatch[Add]]:
            yield Dispatch(
                Add(name="x"), to="s", after=timedelta(1), at=datetime(2030, 1, 1, tzinfo=UTC)
            )

    late = App().register(Late)
    Unit(late, Late).handle(Added(name="x"), to="s")


def an_async_decision() -> None:
    class Cart(Actor[dict[str, str]]):
        @command  # type: ignore[arg-type]  # refused by type checkers as well
        async def add(self, state: dict[str, str], cmd: Add) -> None: ...


WRONG: list[tuple[Callable[..., None], str]] = [
    (two_handlers_for_one_message, r"Cart.*add.*Add"),
    (a_handler_without_annotation, r"Cart\.add: .*annotat"),
    (a_command_handler_for_an_event, r"Cart\.add: .*Added.*event"),
    (an_event_handler_in_a_plain_reactor, r"Log.*@on"),
    (a_command_handler_in_a_projector, r"Listing.*[Aa]ctor"),
    (an_unknown_type, r"'wrong\.ad' in Command; did you mean 'wrong\.add'\?"),
    (a_reserved_field_name, r"Bad\.payload: the name is reserved"),
    (a_field_of_an_unsupported_type, r"Bad.*lock"),
    (a_field_whose_type_is_never_defined, r"Bad\.lock: the name 'Nowhere' is not defined"),
    (one_type_for_two_classes, r"'wrong\.add'"),
    (a_payload_with_nul, r"wrong\.add: name: .*NUL"),
    (a_payload_of_the_wrong_type, r"wrong\.add: name: "),
    (untrusted_input_that_does_not_fit, r"nam: .*name: |name: .*nam: "),
    (a_group_name_twice, r"group 'Good' is taken by Good; give .*Other another"),
    (a_command_decided_twice, r"Add is decided by Good already"),
    (something_that_is_no_reactor, r"Thing.*is no reactor"),
    (a_reactor_that_handles_nothing, r"Idle.*(@command|@on)"),
    (a_reactor_that_needs_arguments, r"app\.register\(.*Mailer\(…\)\)"),
    (a_store_url_without_its_package, r"pip install sourced-postgres"),
    (
        a_store_url_that_the_installed_version_does_not_open,
        r"^sourced-sqlalchemy is installed, but its version .* opens sqlite:// URLs only",
    ),
    (a_store_url_of_no_known_kind, r"'mongodb'.*known are"),
    (a_path_instead_of_a_url, r"sqlite:///shop\.db"),
    (tables_that_are_not_installed, r"install"),
    (a_folder_that_does_not_exist, r"nowhere"),
    (dispatching_to_no_stream, r'to="a-stream-id"'),
    (dispatching_a_dict, r"expected a message such as"),
    (handling_what_nobody_decides, r"Add; register the actor"),
    (a_unit_of_nothing, r"Unit\(app, Order, Payment\)"),
    (a_naive_time, r"aware datetime"),
    (a_lease_shorter_than_three_heartbeats, r"at least three heartbeats"),
    (an_error_policy_that_is_none, r"ErrorPolicy\(retries=…\).*got 5"),
    (a_lease_without_its_unit, r"timedelta\(seconds=15\), got 5"),
    (a_number_instead_of_a_store, r"'sqlite:///shop\.db'.*got 5"),
    (an_operation_on_an_unknown_group, r"unknown group 'God'; did you mean 'Good'\?"),
    (draining_an_unknown_group, r"unknown group 'God'; did you mean 'Good'\?"),
    (resetting_an_unknown_stream, r"no stream 'nope'"),
    (appending_nothing, r"an event, or several, got None"),
    (an_expectation_that_is_no_seq, r"expected_seq= must be an integer.*got '1'"),
    (yielding_a_command_from_a_decision, r"add.*reaction"),
    (performing_a_command_inside_a_handler, r"start.*'other'"),
    (two_times_for_one_dispatch, r"at.*after"),
    (an_async_decision, r"Cart\.add.*(async|plain)"),
]


@pytest.mark.parametrize(("use", "says"), WRONG, ids=[use.__name__ for use, _ in WRONG])
def test_the_error_names_the_place_and_the_remedy(
    use: Callable[..., None], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = use.__code__.co_varnames[: use.__code__.co_argcount]
    given = {"tmp_path": tmp_path, "monkeypatch": monkeypatch}

    with pytest.raises((SourcedError, TypeError)) as raised:
        use(**{name: given[name] for name in wanted})

    assert re.search(says, str(raised.value), re.DOTALL), str(raised.value)
    assert "secret" not in str(raised.value)

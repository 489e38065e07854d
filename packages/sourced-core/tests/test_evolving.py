"""States are made, and evolved by events that may change or replace them."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any

import pytest

from sourced import (
    Actor,
    Command,
    Event,
    Events,
    Fail,
    command,
    event,
)
from sourced.errors import DefinitionError, UsageError
from sourced_testing._list_stream import ListStream, appended, handled, only
from sourced_testing._watched import Look, Noted, Place, Step, Walker
from sourced_testing.examples import CartState


def test_an_event_handler_may_return_a_new_state() -> None:
    stream = ListStream("s", Step(by=2), Step(by=3), Look())
    walker = Walker()

    handled(walker, stream.batch(after=2))

    assert walker.seen == [5]


def test_an_event_handler_that_returns_something_else_is_told() -> None:
    class Odd(Actor[Place]):
        @command
        def look(self, place: Place, cmd: Look) -> None: ...

        @event
        def step(self, place: Place, event: Step) -> Any:
            return place.at + 1

    error = only(Fail, handled(Odd(), ListStream("s", Step(), Look()).batch(after=1))).error

    assert isinstance(error, UsageError)
    assert "Odd.step returned int(…)" in str(error)
    assert "Place" in str(error)


def test_before_evolve_runs_before_each_event_that_has_a_handler() -> None:
    class Counted(Event, type="evolving.counted"):
        pass

    class Ask(Command, type="evolving.ask_counting"):
        pass

    class Counting(Actor[dict[str, int]]):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {"before": 0, "step": 0}

        def before_evolve(self, state: dict[str, int], event: Event) -> None:
            assert event.meta.seq is not None
            state["before"] += 1

        @command
        def ask(self, state: dict[str, int], cmd: Ask) -> Events:
            assert state == {"before": 2, "step": 2}
            yield Noted()

        @event
        def step(self, state: dict[str, int], event: Step) -> None:
            state["step"] += 1

    stream = ListStream("s", Step(), Counted(), Step(), Ask())

    outcomes = handled(Counting(), stream.batch(after=3))

    assert appended(outcomes) == [Noted()]


@pytest.mark.parametrize(
    ("annotation", "made"),
    [(dict, {}), (CartState, CartState("s-1")), (Place, Place()), (int, 0), (None, None)],
)
def test_a_first_state_is_made_of_the_states_class(annotation: Any, made: object) -> None:
    cls: Any = types.new_class("Some", (Actor[annotation],))

    assert cls().initial_state("s-1") == made


def test_a_state_that_cannot_be_made_asks_for_initial_state() -> None:
    @dataclass
    class Big:
        one: int
        two: int

    with pytest.raises(DefinitionError, match=r"define initial_state\(self, stream_id\) -> Big"):

        class BigActor(Actor[Big]):
            @event
            def step(self, state: Big, event: Step) -> None: ...


def test_an_actor_that_names_no_state_is_told_when_it_needs_one() -> None:
    class Plain(Actor):  # type: ignore[type-arg]
        @command
        def look(self, state: Any, cmd: Look) -> None: ...

    error = only(Fail, handled(Plain(), ListStream("s", Look()).batch())).error

    assert isinstance(error, UsageError)
    assert "initial_state" in str(error)

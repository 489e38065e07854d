"""Actors decide on the newest state and evolve it: values in, outcomes out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import field
from typing import Any

import pytest

from sourced import (
    Ack,
    Actor,
    Append,
    Command,
    Dispatch,
    Event,
    Events,
    Fail,
    command,
    event,
)
from sourced._messages import stored_types, with_meta
from sourced._outcomes import Expect
from sourced.errors import PayloadError, UsageError
from sourced_testing._list_stream import ListStream, appended, handled, only
from sourced_testing._watched import Noted, Reject, Rejected, SendMail, WatchedCart
from sourced_testing.examples import AddItem, CartState, ItemAdded, Touch

# --- deciding ---


def test_a_command_becomes_events_of_its_stream_and_an_ack() -> None:
    stream = ListStream("cart-1", AddItem(product_id="a", price=3))

    outcomes = handled(WatchedCart(), stream.batch())

    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Expect",
        "Append",
        "Evolved",
        "Ack",
    ]
    append = only(Append, outcomes)
    assert append.message == ItemAdded(product_id="a", price=3)
    assert append.to == "cart-1"
    assert only(Ack, outcomes) == Ack(1)


def test_what_a_decision_rests_on_is_expected_with_former_names_too() -> None:
    class Open(Command, type="actors.open"):
        pass

    class Opened(Event, type="actors.opened", was=("actors.unlocked",)):
        pass

    class Door(Actor[CartState]):
        @command
        def open(self, door: CartState, cmd: Open) -> Events:
            yield Opened()

        @event
        def opened(self, door: CartState, event: Opened) -> None:
            door.status = "open"

    stream = ListStream("door-1", Opened(), Noted(), Open())

    outcomes = handled(Door(), stream.batch(after=2))

    expected = frozenset({"actors.opened", "actors.unlocked"})
    assert stored_types([Opened]) == expected
    assert only(Expect, outcomes) == Expect(3, expected)


def test_a_decision_without_events_still_expects() -> None:
    stream = ListStream("cart-1", Touch())

    outcomes = handled(WatchedCart(), stream.batch())

    assert only(Expect, outcomes).seq == 1
    assert appended(outcomes) == []


def test_the_newest_state_is_decided_on() -> None:
    """What came after the command, from somebody else, counts."""
    stream = ListStream("cart-1", ItemAdded(product_id="a"), Touch(), ItemAdded(product_id="b"))
    cart = WatchedCart()

    handled(cart, stream.batch(after=1, upto=2))

    assert cart.seen == [("a", "b")]


@pytest.mark.parametrize("size", [1, 2, 50])
def test_each_waiting_command_sees_its_predecessors_events(size: int) -> None:
    """T5, for batches of 1, 2 and 50 commands."""
    names = [str(number) for number in range(50)]
    stream = ListStream("cart-1", *(AddItem(product_id=name) for name in names))
    cart = WatchedCart()

    for start in range(0, 50, size):
        stream.commit(handled(cart, stream.batch(after=start, upto=start + size)))

    assert cart.seen == [tuple(names[:n]) for n in range(50)]


def test_waiting_commands_are_decided_in_one_go_over_one_read() -> None:
    stream = ListStream("cart-1", *(AddItem(product_id=str(n)) for n in range(50)))

    outcomes = handled(WatchedCart(), stream.batch())

    assert len(stream.reads) == 1
    assert only(Expect, outcomes).seq == 50
    assert [o.seq for o in outcomes if isinstance(o, Ack)] == list(range(1, 51))


def test_every_prefix_of_acks_is_complete() -> None:
    """The engine may keep any prefix: each message's outputs stand before its ack."""
    stream = ListStream("cart-1", AddItem(product_id="a"), AddItem(product_id="b"))

    outcomes = handled(WatchedCart(), stream.batch())

    kinds = [type(outcome).__name__ for outcome in outcomes]
    assert kinds == ["Expect", "Append", "Ack", "Append", "Evolved", "Ack"]


def test_a_replaying_command_is_acknowledged_undecided() -> None:
    """I6."""
    stream = ListStream("cart-1", AddItem(product_id="a"), AddItem(product_id="b"))
    cart = WatchedCart()

    outcomes = handled(cart, stream.batch(replay_until=1))

    assert appended(outcomes) == [ItemAdded(product_id="b")]
    assert [o.seq for o in outcomes if isinstance(o, Ack)] == [1, 2]


def test_nothing_is_read_for_replaying_commands() -> None:
    stream = ListStream("cart-1", AddItem(product_id="a"))

    outcomes = handled(WatchedCart(), stream.batch(replay_until=1))

    assert outcomes == [Ack(1)]
    assert stream.reads == []


def test_a_failed_decision_leaves_no_trace_of_what_it_yielded() -> None:
    """T70: not in the outcomes, not in the state, not in the cache."""
    stream = ListStream("cart-1", Reject(), AddItem(product_id="a"))

    outcomes = handled(WatchedCart(), stream.batch())

    assert [type(outcome) for outcome in outcomes] == [Fail]
    fail = only(Fail, outcomes)
    assert fail.seq == 1
    assert isinstance(fail.error, Rejected)


def test_what_earlier_commands_did_is_kept_when_a_later_one_fails() -> None:
    stream = ListStream("cart-1", AddItem(product_id="a"), Reject(), AddItem(product_id="b"))

    outcomes = handled(WatchedCart(), stream.batch())

    assert [type(outcome).__name__ for outcome in outcomes] == ["Expect", "Append", "Ack", "Fail"]
    assert only(Fail, outcomes).seq == 2
    assert stream.commit(outcomes) == 1
    assert stream.remembered == {}


def test_keyboard_interrupts_are_no_failure_of_the_message() -> None:
    class Stop(Command, type="actors.stop"):
        pass

    class Interrupted(Actor[None]):
        @command
        def stop(self, state: None, cmd: Stop) -> None:
            raise KeyboardInterrupt

    stream = ListStream("s", Stop())

    with pytest.raises(KeyboardInterrupt):
        Interrupted().handle_batch(stream.batch())


def test_events_carry_cause_correlation_user_keys_and_producer() -> None:
    source = with_meta(AddItem(product_id="a"), user={"user_id": 7})
    stream = ListStream("cart-1", source)

    (event,) = appended(handled(WatchedCart(), stream.batch(group="carts")))

    assert event.meta.causation_id == source.meta.id
    assert event.meta.correlation_id == source.meta.correlation_id
    assert event.meta["user_id"] == 7
    assert event.meta["producer"] == "carts"


def test_a_yielded_event_is_checked_before_the_handler_goes_on() -> None:
    class Put(Command, type="actors.put"):
        pass

    went_on = []

    class Careless(Actor[CartState]):
        @command
        def put(self, cart: CartState, cmd: Put) -> Events:
            yield ItemAdded(product_id="nul \x00")
            went_on.append(True)

    outcomes = handled(Careless(), ListStream("s", Put()).batch())

    assert isinstance(only(Fail, outcomes).error, PayloadError)
    assert went_on == []


def test_state_shares_nothing_with_what_is_stored() -> None:
    """T70: neither an evolve nor a handler that goes on can change an event that was yielded."""

    class Tag(Command, type="actors.tag"):
        pass

    class Tagged(Event, type="actors.tagged"):
        tags: list[str] = field(default_factory=list)

    class Tagging(Actor[dict[str, list[str]]]):
        @command
        def tag(self, state: dict[str, list[str]], cmd: Tag) -> Events:
            tags = ["a"]
            yield Tagged(tags=tags)
            assert tags == ["a"]
            tags.append("changed by the handler")
            state["tags"].append("changed through the state")

        @event
        def tagged(self, state: dict[str, list[str]], event: Tagged) -> None:
            state["tags"] = event.tags
            event.tags.append("changed by evolve")

    stream = ListStream("s", Tag())

    stream.commit(handled(Tagging(), stream.batch()))

    stored = stream.messages[-1]
    assert isinstance(stored, Tagged)
    assert stored.tags == ["a"]


def test_returned_events_count_like_yielded_ones() -> None:
    class Get(Command, type="actors.get"):
        how: str

    class Returning(Actor[CartState]):
        @command
        def get(self, cart: CartState, cmd: Get) -> Any:
            if cmd.how == "one":
                return ItemAdded(product_id="a")
            if cmd.how == "list":
                return [ItemAdded(product_id="a"), ItemAdded(product_id="b")]
            if cmd.how == "generator":
                return self._generate()
            return None

        def _generate(self) -> Generator[Event, None, Event]:
            yield ItemAdded(product_id="a")
            return ItemAdded(product_id="z")

    counts = {}
    for how in ("one", "list", "generator", "nothing"):
        stream = ListStream("s", Get(how=how))
        counts[how] = len(appended(handled(Returning(), stream.batch())))

    assert counts == {"one": 1, "list": 2, "generator": 2, "nothing": 0}


@pytest.mark.parametrize(
    ("yielded", "says"),
    [
        (lambda: SendMail(product_id="a"), "reaction"),
        (lambda: Dispatch(SendMail(product_id="a"), to="x"), "reaction"),
        (lambda: "text", "which is no event"),
        (lambda: [ItemAdded(product_id="a")], "yield from"),
        (lambda: None, "which is no event"),
    ],
)
def test_deciding_yields_events_and_nothing_else(yielded: Callable[[], Any], says: str) -> None:
    class Try(Command, type="actors.try"):
        pass

    class Trying(Actor[CartState]):
        @command
        def attempt(self, cart: CartState, cmd: Try) -> Events:
            yield yielded()

    error = only(Fail, handled(Trying(), ListStream("s", Try()).batch())).error

    assert isinstance(error, TypeError)
    assert says in str(error)
    assert "Trying.attempt" in str(error)


def test_an_event_cannot_be_yielded_twice() -> None:
    class Twice(Command, type="actors.twice"):
        pass

    class Repeating(Actor[CartState]):
        @command
        def twice(self, cart: CartState, cmd: Twice) -> Events:
            added = ItemAdded(product_id="a")
            yield added
            yield added

    error = only(Fail, handled(Repeating(), ListStream("s", Twice()).batch())).error

    assert isinstance(error, UsageError)
    assert "build another one" in str(error)


# --- what is remembered ---


def test_a_remembered_state_saves_reading_the_stream_again() -> None:
    stream = ListStream("cart-1", AddItem(product_id="a"))
    cart = WatchedCart()
    stream.commit(handled(cart, stream.batch()))
    stream.add(ItemAdded(product_id="imported"), AddItem(product_id="b"))

    stream.commit(handled(cart, stream.batch(after=3)))

    assert stream.reads == [(0, None), (2, None)]
    assert cart.seen[-1] == ("a", "imported")
    assert stream.remembered["decide"].state.product_ids == ("a", "imported", "b")


def test_a_state_is_taken_out_while_in_use_and_not_put_back_after_a_failure() -> None:
    stream = ListStream("cart-1", AddItem(product_id="a"))
    cart = WatchedCart()
    stream.commit(handled(cart, stream.batch()))
    stream.add(Reject())

    stream.commit(handled(cart, stream.batch(after=2)))

    assert "decide" not in stream.remembered


def test_an_actor_without_events_reads_nothing_to_decide() -> None:
    class Ask(Command, type="actors.ask"):
        pass

    class Stateless(Actor[None]):
        @command
        def ask(self, state: None, cmd: Ask) -> Events:
            yield Noted()

    stream = ListStream("s", Ask())

    outcomes = handled(Stateless(), stream.batch())

    assert appended(outcomes) == [Noted()]
    assert stream.reads == []

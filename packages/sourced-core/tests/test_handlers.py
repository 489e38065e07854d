"""Handlers are read when their class is defined, and what does not fit is refused there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sourced import (
    Actor,
    Command,
    ErrorPolicy,
    Event,
    Events,
    EventSourcedProjector,
    Fail,
    Message,
    Reactor,
    StateStoredProjector,
    command,
    event,
    on,
    react,
)
from sourced.errors import DefinitionError, HandlerError, UsageError
from sourced_testing._list_stream import ListStream, appended, handled, only

if TYPE_CHECKING:
    from sourced_testing import FakeClock as OnlyForTypes

T = TypeVar("T")


class AddItem(Command, type="handlers.add_item"):
    product_id: str


class ItemAdded(Event, type="handlers.item_added"):
    product_id: str


class ItemRemoved(Event, type="handlers.item_removed"):
    product_id: str


@dataclass
class CartState:
    id: str
    items: list[str] = field(default_factory=list)


class Cart(Actor[CartState]):
    """The long form: messages are classes."""

    @command
    def add_item(self, cart: CartState, cmd: AddItem) -> Events:
        """Put a product into the cart."""
        yield ItemAdded(product_id=cmd.product_id)

    @event
    def item_added(self, cart: CartState, event: ItemAdded) -> None:
        cart.items.append(event.product_id)


class Basket(Actor[CartState]):
    """The short form: keyword-only parameters are the payload."""

    @command
    def put(self, cart: CartState, *, product_id: str, quantity: int = 1) -> Events:
        yield self.was_put(product_id=product_id, quantity=quantity)

    @event
    def was_put(self, cart: CartState, *, product_id: str, quantity: int) -> None:
        cart.items += [product_id] * quantity

    @command
    def label(self, cart: CartState, *, tags: list[str] = []) -> Events:  # noqa: B006
        yield self.labelled(tags=tags)

    @event
    def labelled(self, cart: CartState, *, tags: list[str]) -> None: ...

    @command
    def check_out(self, cart: CartState) -> Events:
        yield self.checked_out()

    @event
    def checked_out(self, cart: CartState) -> None: ...

    @react(was_put, checked_out)
    def say(self, event: Any) -> Message:
        return Said(what=event.meta.type)


class Said(Command, type="handlers.said"):
    what: str


# --- what a handler is ----------------------------------------------------------------------------


def test_on_its_class_a_handler_is_its_message_class() -> None:
    assert Cart.add_item is AddItem
    assert Cart.item_added is ItemAdded


def test_a_class_knows_what_it_decides_evolves_and_handles() -> None:
    assert Cart.decides == (AddItem,)
    assert Cart.evolves == (ItemAdded,)
    assert Cart.handles == (AddItem,)


def test_with_state_and_message_a_handler_is_the_plain_function() -> None:
    state = CartState("x")

    (added,) = Cart().add_item(state, AddItem(product_id="a"))
    Cart().item_added(state, ItemAdded(product_id="b"))

    assert added == ItemAdded(product_id="a")
    assert state.items == ["b"]


def test_a_handler_keeps_its_name_and_docstring() -> None:
    slot = vars(Cart)["add_item"]

    assert slot.__doc__ == "Put a product into the cart."
    assert slot.__qualname__ == "Cart.add_item"


def test_the_group_is_the_class_unless_it_is_named() -> None:
    class Local(Actor[None]): ...

    class Named(Actor[None], group="carts", was="baskets"): ...

    class Sub(Named): ...

    assert Cart.group == "Cart"
    assert Local.group == "test_the_group_is_the_class_unless_it_is_named.Local"
    assert (Named.group, Named.former_groups) == ("carts", ("baskets",))
    assert Sub.group.endswith(".Sub")
    assert Sub.former_groups == ()


def test_options_of_the_class_are_attributes_and_are_inherited() -> None:
    policy = ErrorPolicy()

    class Tuned(Cart, snapshot_every=5, max_streams=3, max_messages=7, errors=policy): ...

    class Sub(Tuned): ...

    assert (Sub.snapshot_every, Sub.max_streams, Sub.max_messages) == (5, 3, 7)
    assert Sub.error_policy is policy
    assert (Cart.max_streams, Cart.max_messages, Cart.error_policy) == (None, None, None)


# --- the short form -------------------------------------------------------------------------------


def test_the_short_form_defines_message_classes_with_proper_names() -> None:
    put: Any = Basket.Put  # type: ignore[attr-defined]  # for tools and tests only

    assert issubclass(put, Command)
    assert issubclass(Basket.WasPut, Event)  # type: ignore[attr-defined]
    assert put.__qualname__ == "Basket.Put"
    assert put.__module__ == __name__
    assert put(product_id="a").meta.type == "basket.put"
    assert Basket.decides == (put, Basket.Label, Basket.CheckOut)  # type: ignore[attr-defined]


def test_called_on_its_class_a_short_handler_builds_its_message() -> None:
    message = Basket.put(product_id="a")

    assert message.payload == {"product_id": "a", "quantity": 1}
    assert type(message) is Basket.Put  # type: ignore[attr-defined]
    assert Basket.check_out().payload == {}


def test_short_messages_pickle() -> None:
    message = Basket.put(product_id="a", quantity=2)

    again = pickle.loads(pickle.dumps(message))  # noqa: S301

    assert again == message
    assert again.meta == message.meta


def test_mutable_defaults_are_not_shared() -> None:
    first: Any = Basket.label()
    first.tags.append("x")

    assert Basket.label().payload == {"tags": []}


def test_the_short_form_decides_and_evolves() -> None:
    stream = ListStream("b", Basket.put(product_id="a", quantity=2), Basket.check_out())

    outcomes = handled(Basket(), stream.batch())
    stream.commit(outcomes)

    assert [message.meta.type for message in appended(outcomes)] == [
        "basket.was_put",
        "basket.checked_out",
    ]
    assert stream.remembered["decide"].state.items == ["a", "a"]


def test_a_reaction_may_name_short_form_events() -> None:
    stream = ListStream("b", Basket.was_put(product_id="a", quantity=1), Basket.labelled(tags=[]))

    outcomes = handled(Basket(), stream.batch())

    assert appended(outcomes) == [Said(what="basket.was_put")]


def test_a_reaction_of_another_class_may_name_them_too() -> None:
    class Watcher(Actor[None]):
        @react(Basket.was_put)
        def watch(self, event: Any) -> Message:
            return Said(what=event.product_id)

    outcomes = handled(
        Watcher(), ListStream("b", Basket.was_put(product_id="a", quantity=1)).batch()
    )

    assert appended(outcomes) == [Said(what="a")]


def test_an_event_that_was_built_and_not_yielded_is_an_error() -> None:
    class Forgetful(Actor[None]):
        @command
        def do(self, state: None) -> None:
            self.done()

        @event
        def done(self, state: None) -> None: ...

    error = only(Fail, handled(Forgetful(), ListStream("f", Forgetful.do()).batch())).error

    assert isinstance(error, UsageError)
    assert "did not yield it" in str(error)
    assert "Forgetful.do" in str(error)


def test_performing_a_command_in_a_handler_is_an_error() -> None:
    class Eager(Actor[None]):
        @command
        def do(self, state: None) -> Events:
            yield self.done()

        @event
        def done(self, state: None) -> None: ...

        @react(done)
        def again(self, event: Any) -> None:
            self.do()

    error = only(Fail, handled(Eager(), ListStream("e", Eager.done()).batch())).error

    assert isinstance(error, UsageError)
    assert "Eager.do(...)" in str(error)


def test_a_prototype_performs_nothing_outside_of_handlers_either() -> None:
    with pytest.raises(UsageError, match="has no stream"):
        Basket().check_out()


# --- inheritance ----------------------------------------------------------------------------------


def test_subclasses_inherit_handlers_and_may_override_them() -> None:
    class Loud(Cart):
        @command
        def add_item(self, cart: CartState, cmd: AddItem) -> Events:
            for added in super().add_item(cart, cmd):
                assert isinstance(added, ItemAdded)
                yield ItemAdded(product_id=added.product_id.upper())

    stream = ListStream("l", AddItem(product_id="a"))

    stream.commit(handled(Loud(), stream.batch()))

    assert stream.remembered["decide"].state.items == ["A"]
    assert Loud.decides == (AddItem,)


def test_short_handlers_are_overridden_for_the_same_message() -> None:
    class Double(Basket):
        @command
        def put(self, cart: CartState, *, product_id: str, quantity: int = 1) -> Events:
            yield from super().put(cart, product_id=product_id, quantity=quantity)
            yield self.was_put(product_id=product_id, quantity=quantity)

    stream = ListStream("d", Basket.put(product_id="a"))

    stream.commit(handled(Double(), stream.batch()))

    assert Double.Put is Basket.Put  # type: ignore[attr-defined]
    assert stream.remembered["decide"].state.items == ["a", "a"]


def test_an_override_with_another_payload_is_another_message() -> None:
    class Priced(Basket):
        @command
        def put(self, cart: CartState, *, product_id: str, price: int) -> Events:  # type: ignore[override]
            yield self.was_put(product_id=product_id, quantity=price)

    message = Priced.put(product_id="a", price=3)

    assert message.meta.type.endswith("priced.put")
    assert Basket.put(product_id="a").meta.type == "basket.put"


def test_handlers_of_a_plain_class_can_be_mixed_in() -> None:
    class Countable:
        @event
        def counted(self, state: CartState, *, by: int) -> None:
            state.items.append(f"counted {by}")

    class One(Countable, Actor[CartState]):
        @command
        def count(self, state: CartState) -> Events:
            yield self.counted(by=1)

    stream = ListStream("o", One.count())

    stream.commit(handled(One(), stream.batch()))

    assert stream.remembered["decide"].state.items == ["counted 1"]
    assert One.counted(by=1).meta.type.endswith("one.counted")


def test_a_handler_can_be_taken_away() -> None:
    class Quiet(Cart):
        add_item = None  # type: ignore[assignment]

    assert Quiet.decides == ()


# --- annotations ----------------------------------------------------------------------------------


def test_classes_local_to_a_function_are_found() -> None:
    """Although `from __future__ import annotations` leaves only their names."""

    class Went(Event, type="handlers.went"):
        where: str

    class Go(Command, type="handlers.go"):
        where: str

    class Trip(Actor[list[str]]):
        @command
        def go(self, trip: list[str], cmd: Go) -> Events:
            yield Went(where=cmd.where)

        @event
        def went(self, trip: list[str], event: Went) -> None:
            trip.append(event.where)

    stream = ListStream("t", Go(where="home"))
    stream.commit(handled(Trip(), stream.batch()))

    assert stream.remembered["decide"].state == ["home"]


def local_actor() -> type[Actor[list[str]]]:
    class Rang(Event, type="handlers.rang"):
        pass

    class Bell(Actor[list[str]]):
        @event
        def rang(self, bell: list[str], event: Rang) -> None: ...

    return Bell


def test_handlers_are_inherited_as_they_were_read() -> None:
    """The names that the parent's annotations use need not exist where the subclass is."""
    bell: Any = local_actor()

    class LoudBell(bell):  # type: ignore[misc]
        pass

    assert LoudBell.evolves == bell.evolves


def test_messages_inside_the_class_and_the_class_itself_are_found() -> None:
    class Inner(Actor[None]):
        class Do(Command, type="handlers.inner_do"):
            pass

        @command
        def do(self, state: None, cmd: Do) -> None: ...

        @react
        def other(self, event: ItemAdded | Inner.Done) -> None: ...

        class Done(Event, type="handlers.inner_done"):
            pass

    assert Inner.decides == (Inner.Do,)
    assert Inner.Done in Inner.handles


def test_the_states_annotation_may_exist_for_type_checkers_only() -> None:
    class Lenient(Actor[Any]):
        def initial_state(self, stream_id: str) -> Any:
            return None

        @command
        def do(self, state: OnlyForTypes, *, times: int) -> Events:
            yield from ()

    assert Lenient.do(times=1).payload == {"times": 1}


# --- what is refused ------------------------------------------------------------------------------


def two_handlers() -> type:
    class Bad(Actor[None]):
        @event
        def one(self, state: None, event: ItemAdded) -> None: ...

        @event
        def two(self, state: None, event: ItemAdded) -> None: ...

    return Bad


def two_wildcards() -> type:
    class Bad(Actor[None]):
        @react
        def one(self, event: Event) -> None: ...

        @react
        def two(self, event: Event) -> None: ...

    return Bad


def a_reaction_to_a_command() -> type:
    class Bad(Actor[None]):
        @command
        def add(self, state: None, cmd: AddItem) -> None: ...

        @react
        def on_add(self, event: AddItem) -> None: ...

    return Bad


def no_annotation() -> type:
    class Bad(Actor[None]):
        @command
        def add(self, state, cmd): ...  # type: ignore[no-untyped-def]

    return Bad


def no_annotation_of_a_payload() -> type:
    class Bad(Actor[None]):
        @command
        def add(self, state, *, size): ...  # type: ignore[no-untyped-def]

    return Bad


def type_checking_only() -> type:
    class Bad(Actor[None]):
        @react
        def add(self, event: OnlyForTypes) -> None: ...

    return Bad


def type_checking_only_payload() -> type:
    class Bad(Actor[None]):
        @command
        def add(self, state: None, *, clock: OnlyForTypes) -> None: ...

    return Bad


def undefined_name() -> type:
    class Bad(Actor[None]):
        @react
        def add(self, event: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    return Bad


def an_event_to_decide() -> type:
    class Bad(Actor[None]):
        @command
        def add(self, state: None, cmd: ItemAdded) -> None: ...

    return Bad


def a_command_to_evolve() -> type:
    class Bad(Actor[None]):
        @event
        def added(self, state: None, event: AddItem) -> None: ...

    return Bad


def no_message_at_all() -> type:
    class Bad(Actor[None]):
        @command
        def add(self, state: None, cmd: str) -> None: ...

    return Bad


def a_type_parameter() -> type:
    class Bad(Actor[None]):
        @command
        def add(self, state: None, cmd: T) -> None: ...

    return Bad


def too_many_parameters() -> type:
    class Bad(Actor[None]):
        @command
        def add(self, state: None, cmd: AddItem, more: int) -> None: ...

    return Bad


def state_is_missing() -> type:
    class Bad(Actor[None]):
        @command
        def add(self, cmd: AddItem) -> None: ...

    return Bad


def star_arguments() -> type:
    class Bad(Actor[None]):
        @react
        def add(self, *events: ItemAdded) -> None: ...

    return Bad


def reaction_with_keywords() -> type:
    class Bad(Actor[None]):
        @react
        def add(self, event: ItemAdded, *, history: Any) -> None: ...

    return Bad


def async_command() -> type:
    class Bad(Actor[None]):
        @command  # type: ignore[arg-type]
        async def add(self, state: None, cmd: AddItem) -> None: ...

    return Bad


def async_event() -> type:
    class Bad(Actor[None]):
        @event  # type: ignore[misc]
        async def added(self, state: None, event: ItemAdded) -> None: ...

    return Bad


def generator_event() -> type:
    class Bad(Actor[None]):
        @event
        def added(self, state: None, event: ItemAdded) -> Any:
            yield

    return Bad


def command_in_a_projector() -> type:
    class Bad(EventSourcedProjector[None]):
        @command
        def add(self, state: None, cmd: AddItem) -> None: ...

    return Bad


def on_in_an_actor() -> type:
    class Bad(Actor[None]):
        @on
        def added(self, event: ItemAdded) -> None: ...

    return Bad


def react_in_a_reactor() -> type:
    class Bad(Reactor):
        @react
        def added(self, event: ItemAdded) -> None: ...

    return Bad


def unknown_keyword_of_on() -> type:
    class Bad(Reactor):
        @on
        def added(self, event: ItemAdded, *, histroy: Any) -> None: ...

    return Bad


def everything_in_a_reactor() -> type:
    class Bad(Reactor):
        @on
        def added(self, event: Event) -> None: ...

    return Bad


def yields_inside_the_commit() -> type:
    class Bad(Reactor):
        @on
        def added(self, event: ItemAdded, *, connection: Any) -> Any:
            yield Said(what="x")

    return Bad


def reserved_name() -> type:
    class Bad(Actor[None]):
        @command
        def load(self, state: None) -> None: ...  # type: ignore[override]

    return Bad


def overridden_without_decorator() -> type:
    class Bad(Cart):
        def add_item(self, cart: Any, cmd: Any) -> Any: ...  # type: ignore[override]

    return Bad


def taken_name() -> type:
    class Bad(Actor[None]):
        AddMore = 3

        @command
        def add_more(self, state: None) -> None: ...

    return Bad


def reaction_to_what_a_projector_does_not_evolve() -> type:
    class Bad(EventSourcedProjector[None]):
        @event
        def added(self, state: None, event: ItemAdded) -> None: ...

        @react
        def removed(self, event: ItemRemoved) -> None: ...

    return Bad


def no_load() -> type:
    class Bad(StateStoredProjector[None]):
        @event
        def added(self, state: None, event: ItemAdded) -> None: ...

    return Bad


def load_twice() -> type:
    class Bad(StateStoredProjector[None]):
        def load(self, stream_id: str, connection: Any) -> None: ...

        def load_many(self, stream_ids: Any, connection: Any) -> dict[str, None]:
            return {}

    return Bad


def load_of_an_event_sourced_one() -> type:
    class Bad(EventSourcedProjector[None]):
        def load(self, stream_id: str, connection: Any) -> None: ...

    return Bad


def async_load() -> type:
    class Bad(StateStoredProjector[None]):
        async def load(self, stream_id: str, connection: Any) -> None: ...  # type: ignore[override]

    return Bad


def unknown_option() -> type:
    class Bad(Actor[None], grop="x"): ...

    return Bad


def no_bound() -> type:
    class Bad(Actor[None], max_messages=0): ...

    return Bad


def state_of_nowhere() -> type:
    class Bad(Actor["Nowhere"]): ...  # type: ignore[name-defined]

    return Bad


@pytest.mark.parametrize(
    ("define", "says"),
    [
        (two_handlers, "two: ItemAdded has a handler already, one"),
        (two_wildcards, "one and two both react to every event"),
        (a_reaction_to_a_command, "AddItem is a command; @react takes events"),
        (no_annotation, r"'cmd' needs an annotation.*def add\(self, state, command: SomeCommand\)"),
        (no_annotation_of_a_payload, "'size' needs a type"),
        (type_checking_only, "'OnlyForTypes' exists only under TYPE_CHECKING"),
        (type_checking_only_payload, "'OnlyForTypes' exists only under TYPE_CHECKING"),
        (undefined_name, "'Nowhere' is not defined"),
        (an_event_to_decide, "ItemAdded is an event; @command takes commands: def add"),
        (a_command_to_evolve, "AddItem is a command; @event takes events: def added"),
        (no_message_at_all, "annotated with str, which is no message class"),
        (a_type_parameter, "the type parameter T"),
        (too_many_parameters, r"write def add\(self, state, command: SomeCommand\)"),
        (state_is_missing, "the state is missing; write def add"),
        (star_arguments, r"cannot take \*events"),
        (reaction_with_keywords, r"'history'; write def add\(self, event: SomeEvent\)"),
        (async_command, "plain functions"),
        (async_event, "plain functions"),
        (generator_event, "yields nothing"),
        (command_in_a_projector, "EventSourcedProjector has no @command.*@event and @react"),
        (on_in_an_actor, "Actor has no @on"),
        (react_in_a_reactor, "Reactor has no @react"),
        (unknown_keyword_of_on, "'histroy'; write .*history, replaying, connection, batch"),
        (everything_in_a_reactor, "annotated with Event"),
        (yields_inside_the_commit, "cannot yield"),
        (reserved_name, "'load' is a name of Actor itself"),
        (overridden_without_decorator, "needs @command too"),
        (taken_name, "AddMore is 3 here"),
        (reaction_to_what_a_projector_does_not_evolve, "reacts to ItemRemoved"),
        (no_load, "define load"),
        (load_twice, "load or load_many, not both"),
        (load_of_an_event_sourced_one, "be a StateStoredProjector"),
        (async_load, "plain `def`"),
        (unknown_option, "grop"),
        (no_bound, "max_messages must be 1 or more"),
        (state_of_nowhere, "'Nowhere' is not defined"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_does_not_fit_is_refused_with_its_place(define: Callable[[], type], says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        define()

    assert define.__name__ in caught.value.where
    assert caught.value.where.startswith(__name__)


def test_handler_errors_are_definition_errors_and_type_errors() -> None:
    with pytest.raises(HandlerError) as caught:
        two_handlers()

    assert isinstance(caught.value, TypeError)

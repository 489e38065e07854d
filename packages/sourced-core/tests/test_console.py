"""Actors in a console: commands as method calls, and state that shows what is stored."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sourced import Actor, App, Command, Dispatch, Events, Unit, command, event, react
from sourced.errors import PayloadError, UsageError
from sourced_testing import examples
from sourced_testing._watched import SendMail
from sourced_testing.examples import (
    AddItem,
    CartClosed,
    CartItem,
    CartPlaced,
    CartState,
    ItemAdded,
)


class Cart(examples.Cart):
    """Sends mail, and refuses an item only after it has yielded it."""

    @command
    def add_item(self, cart: CartState, cmd: AddItem) -> Events:
        yield ItemAdded(product_id=cmd.product_id, price=cmd.price, quantity=cmd.quantity)
        if cart.status != "open":
            raise CartClosed(cart.id)

    @react
    def mail(self, event: ItemAdded) -> Iterator[Command]:
        yield SendMail(product_id=event.product_id)


class Trolley(Actor[CartState]):
    """The same in the short form."""

    @command
    def add_item(
        self, cart: CartState, *, product_id: str, price: int, quantity: int = 1
    ) -> Events:
        yield self.item_added(product_id=product_id, price=price, quantity=quantity)

    @event
    def item_added(self, cart: CartState, *, product_id: str, price: int, quantity: int) -> None:
        cart.items.append(CartItem(product_id, price, quantity))


@pytest.fixture
def app() -> Iterator[App]:
    """An app of both."""
    with App() as app:
        yield app.register(Cart, Trolley)


@pytest.mark.parametrize(
    ("actor", "types"),
    [
        (Cart, ["examples.carts.add_item", "examples.carts.item_added"]),
        (Trolley, ["trolley.add_item", "trolley.item_added"]),
    ],
)
def test_the_session_of_the_tour(app: App, actor: Any, types: list[str]) -> None:
    cart = actor("test-cart")

    cmd = cart.add_item(product_id="p123", price=1000, quantity=2)

    assert cmd.payload == {"product_id": "p123", "price": 1000, "quantity": 2}
    assert (cart.state.total, cart.seq) == (2000, 2)
    assert [message.meta.type for message in cart.events] == types
    assert actor.load("test-cart").state.total == 2000


def test_an_unregistered_actor_works_in_memory() -> None:
    class Note(Actor[list[str]]):
        @command
        def write(self, note: list[str], *, text: str) -> Events:
            yield self.written(text=text)

        @event
        def written(self, note: list[str], *, text: str) -> None:
            note.append(text)

    note = Note("note-of-a-console-test")
    note.write(text="a")

    assert note.state == ["a"]
    assert Note.load("note-of-a-console-test").seq == 2


def test_untrusted_arguments_are_parsed_and_change_nothing_when_wrong(app: App) -> None:
    cart = Cart("c-1")

    with pytest.raises(PayloadError) as caught:
        cart.add_item(product_id="p", price="free", amount=3)

    assert set(caught.value.problems) == {"price", "amount"}
    assert cart.seq == 0
    assert list(app.read_stream("c-1")) == []


def test_what_the_handler_raises_changes_nothing(app: App) -> None:
    cart = Cart("c-1")
    cart.place()

    with pytest.raises(CartClosed):
        cart.add_item(product_id="p")

    assert cart.state.items == []
    assert cart.seq == 2
    assert len(list(app.read_stream("c-1"))) == 2


def test_state_follows_what_others_add_when_refreshed(app: App) -> None:
    cart = Cart("c-1")
    cart.add_item(product_id="a", price=1)
    Cart("c-1").add_item(product_id="b", price=2)
    assert cart.state.total == 1

    cart.refresh()

    assert cart.state.total == 3
    assert [type(message) for message in cart.events] == [
        AddItem,
        ItemAdded,
        SendMail,  # the first command's reaction ran before the second command
        AddItem,
        ItemAdded,
    ]


def test_a_command_sees_what_others_added_meanwhile(app: App) -> None:
    cart = Cart("c-1")
    cart.add_item(product_id="a", price=1)
    app.append([CartPlaced()], to="c-1")

    with pytest.raises(CartClosed):
        cart.add_item(product_id="b")


def test_the_events_end_where_the_state_does(app: App) -> None:
    cart = Cart("c-1")
    cart.add_item(product_id="a", price=1)
    app.append([CartPlaced()], to="c-1")

    assert len(cart.events) == cart.seq == 2


def test_looking_at_a_new_stream_stores_nothing(app: App) -> None:
    cart = Cart("c-new")

    assert (cart.seq, cart.events, cart.state) == (0, (), CartState("c-new"))


def test_making_an_instance_reads_nothing_until_it_is_looked_at(app: App) -> None:
    cart = Cart("c-1")
    Cart("c-1").add_item(product_id="a", price=5)

    assert cart.state.total == 5
    assert repr(cart) == "Cart('c-1')"


def test_the_states_of_two_instances_are_not_shared(app: App) -> None:
    one, two = Cart("c-1"), Cart("c-1")
    one.add_item(product_id="a", price=1)

    one.state.items.clear()

    assert two.state.total == 1
    assert Cart.load("c-1").state.total == 1


def test_an_older_state_can_be_loaded_and_then_refreshed(app: App) -> None:
    cart = Cart("c-1")
    cart.add_item(product_id="a", price=1)
    cart.add_item(product_id="b", price=2)

    old = app.load(Cart, "c-1", upto=2)
    assert (old.state.total, old.seq, len(old.events)) == (1, 2, 2)
    old.refresh()

    assert (old.state.total, old.seq) == (3, 5)


def test_a_later_snapshot_does_not_spoil_an_older_state() -> None:
    class Sum(Actor[int], snapshot_every=1):
        @command
        def add(self, total: int, *, amount: int) -> Events:
            yield self.added(amount=amount)

        @event
        def added(self, total: int, *, amount: int) -> int:
            return total + amount

    with App() as app:
        app.register(Sum)
        for amount in (1, 2, 4):
            app.dispatch(Sum.add(amount=amount), to="s-1")
            app.drain()

        assert app.load(Sum, "s-1", upto=2).state == 1
        assert app.load(Sum, "s-1").state == 7


def test_with_several_apps_the_one_has_to_be_named() -> None:
    with App() as one, App() as two:
        one.register(Cart)
        two.register(Cart)

        with pytest.raises(UsageError, match=r"app\.load\(Cart.*Cart\(\"x\", app=app\)"):
            Cart("x")
        Cart("x", app=one).add_item(product_id="a", price=1)
        two.load(Cart, "x").add_item(product_id="a", price=2)

        assert Cart.load("x", app=one).state.total == 1
        assert two.load(Cart, "x").state.total == 2


def test_an_app_that_is_gone_is_not_in_the_way() -> None:
    other = App().register(Cart)
    del other
    gc.collect()

    with App() as app:
        app.register(Cart)
        Cart("c").add_item(product_id="a", price=1)

        assert len(list(app.read_stream("c"))) == 2


def test_an_actor_with_dependencies_is_loaded_from_its_registered_instance() -> None:
    class Priced(Actor[list[int]]):
        def __init__(self, prices: dict[str, int]) -> None:
            self.prices = prices

        @command
        def add(self, cart: list[int], *, product_id: str) -> Events:
            yield self.added(price=self.prices[product_id])

        @event
        def added(self, cart: list[int], *, price: int) -> None:
            cart.append(price)

    with App() as app:
        app.register(Priced({"p1": 100}))
        cart = app.load(Priced, "c-1")

        cart.add(product_id="p1")

        assert cart.state == [100]
        assert cart.prices == {"p1": 100}
        assert cart.stream_id == "c-1"


def test_an_instance_without_a_stream_says_what_to_take() -> None:
    with pytest.raises(UsageError, match=r'Cart\("a-stream"\)'):
        _ = Cart().state


def test_commands_are_not_performed_inside_of_handlers(app: App) -> None:
    class Meddling(Actor[None]):
        @command
        def meddle(self, state: None) -> None:
            Cart("c-1").place()

    app.register(Meddling)

    with pytest.raises(UsageError, match=r"meddle performs the command 'place'"):
        Meddling("m").meddle()


@pytest.mark.parametrize("how", ["handle", "unit", "dispatch", "dispatch_many", "append"])
def test_a_decision_records_nothing_by_itself(app: App, how: str) -> None:
    """It would stay if the decision is refused, and be recorded again when it is made again."""
    ways: dict[str, Callable[[], object]] = {
        "handle": lambda: app.handle(Cart.place(), to="c-1"),
        "unit": lambda: Unit(app, Cart).handle(Cart.place(), to="c-1"),
        "dispatch": lambda: app.dispatch(Cart.place(), to="c-1"),
        "dispatch_many": lambda: app.dispatch_many([Dispatch(Cart.place(), to="c-1")]),
        "append": lambda: app.append(Cart.item_added(product_id="a", price=1), to="c-1"),
    }

    class Meddling(Actor[None]):
        @command
        def meddle(self, state: None) -> None:
            ways[how]()

    app.register(Meddling, Cart)

    with pytest.raises(UsageError, match=r"Meddling\.meddle .*reaction"):
        Meddling("m").meddle()
    assert list(app.read_stream("c-1")) == []


def test_an_actor_with_an_init_of_its_own_is_loaded_as_a_copy() -> None:
    class Counting(Actor[int]):
        def __init__(self) -> None:
            self.step = 2

        @command
        def count(self, state: int) -> Events:
            yield self.counted(by=self.step)

        @event
        def counted(self, state: int, *, by: int) -> int:
            return state + by

    with App() as app:
        app.register(Counting)
        counting = Counting.load("c-1")

        counting.count()

        assert counting.state == 2


def test_loading_a_class_that_needs_arguments_says_how() -> None:
    class Needy(Actor[int]):
        def __init__(self, prices: dict[str, int]) -> None:
            self.prices = prices

    with pytest.raises(UsageError, match=r"app\.load\(Needy, 'n-1'\)"):
        Needy.load("n-1")

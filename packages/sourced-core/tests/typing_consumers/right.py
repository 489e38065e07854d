"""What users write, in both forms; type checkers accept all of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, assert_type

from sourced import (
    Actor,
    App,
    Batch,
    Command,
    Dispatch,
    Event,
    Events,
    EventSourcedProjector,
    History,
    Message,
    Reactor,
    ReactorProtocol,
    StateStoredProjector,
    command,
    event,
    on,
    react,
)


class AddItem(Command, type="typing.add_item"):
    product_id: str
    price: int = 0


class ItemAdded(Event, type="typing.item_added"):
    product_id: str
    price: int


class Placed(Event, type="typing.placed"):
    pass


class SendMail(Command, type="typing.send_mail"):
    product_id: str


@dataclass
class CartState:
    id: str
    items: list[str] = field(default_factory=list)
    total: int = 0


class LongCart(Actor[CartState], group="long", was=("cart",), snapshot_every=100, max_streams=5):
    def initial_state(self, stream_id: str) -> CartState:
        return CartState(stream_id)

    def before_evolve(self, cart: CartState, event: Event) -> None: ...

    @command
    def add_item(self, cart: CartState, cmd: AddItem) -> Events:
        yield ItemAdded(product_id=cmd.product_id, price=cmd.price)

    @event
    def item_added(self, cart: CartState, event: ItemAdded) -> None:
        cart.items.append(event.product_id)

    @event
    def placed(self, cart: CartState, event: Placed) -> CartState:
        return CartState(cart.id)

    @react
    def mail(self, event: ItemAdded) -> Iterator[Command]:
        yield SendMail(product_id=event.product_id)

    @react
    async def rest(self, cart: CartState, event: Event) -> Dispatch[SendMail]:
        return Dispatch(SendMail(product_id="x"), to="mail", after=timedelta(hours=1))

    def sync(self, cart: CartState, batch: Batch) -> None:
        batch.connection.execute("…", cart.total)

    async def after_commit(self, cart: CartState, batch: Batch) -> None: ...


class ShortCart(Actor[CartState]):
    @command
    def add_item(self, cart: CartState, *, product_id: str, price: int = 0) -> Events:
        yield self.item_added(product_id=product_id, price=price)

    @command
    def check_out(self, cart: CartState) -> Events:
        yield self.checked_out()

    @event
    def item_added(self, cart: CartState, *, product_id: str, price: int) -> None:
        cart.items.append(product_id)

    @event
    def checked_out(self, cart: CartState) -> None: ...

    @react(item_added, checked_out)
    def mail(self, cart: CartState, event: Any) -> Iterator[Command]:
        yield SendMail(product_id=event.product_id)


class LoudCart(ShortCart):
    @command
    def add_item(self, cart: CartState, *, product_id: str, price: int = 0) -> Events:
        yield from super().add_item(cart, product_id=product_id.upper(), price=price)


class CarefulCart(LongCart):
    @command
    def add_item(self, cart: CartState, cmd: AddItem) -> Events:
        yield from super().add_item(cart, cmd)


class Listings(StateStoredProjector[CartState]):
    def load(self, stream_id: str, connection: Any) -> CartState | None:
        return None

    @event
    def item_added(self, listing: CartState, event: ItemAdded) -> None:
        listing.total += event.price

    def sync(self, listing: CartState, batch: Batch) -> None: ...


class ManyListings(StateStoredProjector[CartState]):
    def load_many(self, stream_ids: Sequence[str], connection: Any) -> dict[str, CartState]:
        return {}

    def sync_many(self, listings: Sequence[CartState], batches: Sequence[Batch]) -> None: ...

    def clear(self, stream_ids: Sequence[str], connection: Any) -> None: ...


class Totals(EventSourcedProjector[dict[str, int]]):
    @event
    def item_added(self, totals: dict[str, int], event: ItemAdded) -> None:
        totals["total"] += event.price

    async def sync(self, totals: dict[str, int], batch: Batch) -> None: ...


class Telemetry(Reactor, group="telemetry"):
    @on
    def log(self, event: ItemAdded | Placed, *, history: History, replaying: bool) -> None: ...


def use() -> None:
    assert_type(LongCart.add_item, type[AddItem])
    assert_type(LongCart.add_item(product_id="p1", price=3), AddItem)
    assert_type(LongCart("cart-1").add_item(product_id="p1"), AddItem)
    assert_type(LongCart("cart-1").state, CartState)
    assert_type(LongCart.load("cart-1").state.total, int)
    assert_type(LongCart("cart-1").events, tuple[Message, ...])

    assert_type(ShortCart.add_item(product_id="p1", price=3), Command)
    assert_type(ShortCart("cart-1").add_item(product_id="p1"), Command)
    assert_type(ShortCart.item_added(product_id="p1", price=3), Event)
    assert_type(ShortCart.check_out(), Command)
    assert_type(ShortCart("cart-1", app=App()).state, CartState)

    app = App()
    app.register(LongCart, ShortCart, Listings, Totals, Telemetry())
    assert_type(app.load(LongCart, "cart-1"), LongCart)
    reactors: list[ReactorProtocol] = [LongCart(), ShortCart(), Listings(), Totals(), Telemetry()]
    assert reactors

"""Carts: what somebody means to buy, until they check out."""

from dataclasses import dataclass, field

from examples.shop import streams
from examples.shop.catalogue import PRICES
from examples.shop.messages import (
    AddItem,
    CheckedOut,
    CheckOut,
    ItemAdded,
    ItemRemoved,
    Line,
    Reason,
    RemoveItem,
    StartOrder,
    refused,
)
from sourced import Actor, Dispatch, Events, Yielded, command, event, react

MOST_OF_ONE = 10
"""How many of one product a cart may hold."""


@dataclass
class CartState:
    """What is in a cart, by product."""

    lines: dict[str, Line] = field(default_factory=dict)
    is_checked_out: bool = False

    @property
    def total(self) -> int:
        """What all of it costs."""
        return sum(line.quantity * line.price for line in self.lines.values())

    def quantity_of(self, product_id: str) -> int:
        """Return how many of a product are in the cart."""
        return self.lines[product_id].quantity if product_id in self.lines else 0


class Cart(Actor[CartState]):
    """One stream per cart."""

    @command
    def add_item(self, cart: CartState, cmd: AddItem) -> Events:
        """Put more into an open cart, at today's price."""
        price = PRICES.get(cmd.product_id)
        if cart.is_checked_out:
            yield refused(cmd, Reason.CART_CHECKED_OUT)
        elif price is None:
            yield refused(cmd, Reason.UNKNOWN_PRODUCT)
        elif cart.quantity_of(cmd.product_id) + cmd.quantity > MOST_OF_ONE:
            yield refused(cmd, Reason.TOO_MANY)
        else:
            yield ItemAdded(product_id=cmd.product_id, quantity=cmd.quantity, price=price)

    @command
    def remove_item(self, cart: CartState, cmd: RemoveItem) -> Events:
        """Take a product out of an open cart."""
        if cart.is_checked_out:
            yield refused(cmd, Reason.CART_CHECKED_OUT)
        elif cmd.product_id not in cart.lines:
            yield refused(cmd, Reason.NOT_IN_CART)
        else:
            yield ItemRemoved(product_id=cmd.product_id)

    @command
    def check_out(self, cart: CartState, cmd: CheckOut) -> Events:
        """Close a cart that holds something."""
        if cart.is_checked_out:
            yield refused(cmd, Reason.CART_CHECKED_OUT)
        elif not cart.lines:
            yield refused(cmd, Reason.CART_EMPTY)
        else:
            lines = tuple(cart.lines.values())
            yield CheckedOut(customer_id=cmd.customer_id, lines=lines, total=cart.total)

    @event
    def item_added(self, cart: CartState, event: ItemAdded) -> None:
        """Count it in."""
        quantity = cart.quantity_of(event.product_id) + event.quantity
        cart.lines[event.product_id] = Line(event.product_id, quantity, event.price)

    @event
    def item_removed(self, cart: CartState, event: ItemRemoved) -> None:
        """Take it out."""
        del cart.lines[event.product_id]

    @event
    def checked_out(self, cart: CartState, event: CheckedOut) -> None:
        """Close the cart."""
        cart.is_checked_out = True

    @react
    def order(self, event: CheckedOut) -> Yielded:
        """Begin the order, on a stream of its own."""
        yield Dispatch(
            StartOrder(customer_id=event.customer_id, lines=event.lines),
            to=streams.order(streams.number_of(event)),
        )

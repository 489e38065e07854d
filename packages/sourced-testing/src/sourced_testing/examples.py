"""An example domain for tests: a cart that takes items until it is placed."""

from __future__ import annotations

from dataclasses import dataclass, field

from sourced import Actor, Command, Event, Events, command, event

__all__ = [
    "AddItem",
    "Cart",
    "CartClosed",
    "CartItem",
    "CartPlaced",
    "CartState",
    "ItemAdded",
    "PlaceCart",
    "Touch",
]


# The types stay clear of an app's own `carts.add_item`: one process may well have both.
class AddItem(Command, type="examples.carts.add_item"):
    """Put a product into an open cart.

    Attributes:
        product_id: the product.
        price: what one of it costs.
        quantity: how many of it.
    """

    product_id: str
    price: int = 0
    quantity: int = 1


class PlaceCart(Command, type="examples.carts.place"):
    """Order what is in an open cart, which closes it."""


class Touch(Command, type="examples.carts.touch"):
    """Decide nothing, whatever the cart's status."""


class ItemAdded(Event, type="examples.carts.item_added"):
    """A product is in the cart.

    Attributes:
        product_id: the product.
        price: what one of it costs.
        quantity: how many of it.
    """

    product_id: str
    price: int = 0
    quantity: int = 1


class CartPlaced(Event, type="examples.carts.placed"):
    """The cart is ordered and takes no more items."""


class CartClosed(Exception):  # noqa: N818 - a refusal, in the user's words
    """The cart is no longer open; its argument is the cart's id."""


@dataclass
class CartItem:
    """A line of a cart.

    Attributes:
        product_id: the product.
        price: what one of it costs.
        quantity: how many of it.
    """

    product_id: str
    price: int
    quantity: int


@dataclass
class CartState:
    """What a cart's events add up to.

    Attributes:
        id: the cart's stream.
        status: `"open"`, then `"placed"`.
        items: the lines, in the order in which they were added.
    """

    id: str
    status: str = "open"
    items: list[CartItem] = field(default_factory=list)

    @property
    def total(self) -> int:
        """What everything in the cart costs."""
        return sum(item.price * item.quantity for item in self.items)

    @property
    def product_ids(self) -> tuple[str, ...]:
        """The product of each line, in order."""
        return tuple(item.product_id for item in self.items)


class Cart(Actor[CartState]):
    """A cart in the long form: its messages are classes, its handlers name them.

    It refuses with `CartClosed` what is no longer possible, and reacts to nothing: a test that
    wants a reaction, a hook or a snapshot adds it in a subclass.
    """

    @command
    def add_item(self, cart: CartState, cmd: AddItem) -> Events:
        """Put a product into an open cart.

        Raises:
            CartClosed: the cart has been placed.
        """
        if cart.status != "open":
            raise CartClosed(cart.id)
        yield ItemAdded(product_id=cmd.product_id, price=cmd.price, quantity=cmd.quantity)

    @command
    def place(self, cart: CartState, cmd: PlaceCart) -> Events:
        """Order what is in an open cart.

        Raises:
            CartClosed: the cart has been placed before.
        """
        if cart.status != "open":
            raise CartClosed(cart.id)
        yield CartPlaced()

    @command
    def touch(self, cart: CartState, cmd: Touch) -> None:
        """Decide nothing."""

    @event
    def item_added(self, cart: CartState, event: ItemAdded) -> None:
        """Add a line."""
        cart.items.append(CartItem(event.product_id, event.price, event.quantity))

    @event
    def placed(self, cart: CartState, event: CartPlaced) -> None:
        """Close the cart."""
        cart.status = "placed"

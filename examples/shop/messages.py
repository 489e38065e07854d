"""Everything that is said in the shop: commands are intents, events are facts.

Commands from outside are `PublicCommand`s. The registry nests, so a file or a form that is read
with `PublicCommand.from_type` cannot name the commands that the shop's parts send each other.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from sourced import Command, Event
from sourced.types import Ge, LaxInt, Pattern

ProductId = Annotated[str, Pattern(r"^p[0-9]{2}$")]
Quantity = Annotated[LaxInt, Ge(1)]


@dataclass(frozen=True)
class Line:
    """So many of one product, at the price it had when it was put into the cart."""

    product_id: str
    quantity: int
    price: int


class PublicCommand(Command):
    """What may come from outside."""


# --- refusals -------------------------------------------------------------------------------------


class Reason(StrEnum):
    """Why the shop says no."""

    CART_CHECKED_OUT = "cart is checked out"
    CART_EMPTY = "cart is empty"
    UNKNOWN_PRODUCT = "unknown product"
    TOO_MANY = "too many of one product"
    NOT_IN_CART = "not in the cart"
    CARD_DECLINED = "card declined"
    PAID_ALREADY = "paid already"
    PAYMENT_TOO_LATE = "payment too late"


class CommandRefused(Event, type="shop.command_refused"):
    """A rule of business said no.

    That is a fact like any other, so it is recorded. An exception would be a failure: retried,
    and then parked with the stream, for somebody to mend. There is nothing to mend here.
    """

    command: str
    reason: Reason


def refused(command: Command, reason: Reason) -> CommandRefused:
    """Return the fact that a command was refused."""
    return CommandRefused(command=command.meta.type, reason=reason)


# --- carts ----------------------------------------------------------------------------------------


class AddItem(PublicCommand, type="carts.add_item"):
    """Put some of a product into the cart."""

    product_id: ProductId
    quantity: Quantity = 1


class RemoveItem(PublicCommand, type="carts.remove_item"):
    """Take all of a product out of the cart."""

    product_id: ProductId


class CheckOut(PublicCommand, type="carts.check_out"):
    """Order what is in the cart."""

    customer_id: Annotated[str, Pattern(r"^c[0-9]{3}$")]


class ItemAdded(Event, type="carts.item_added"):
    """The cart holds more of a product."""

    product_id: str
    quantity: int
    price: int


class ItemRemoved(Event, type="carts.item_removed"):
    """The cart holds none of a product any more."""

    product_id: str


class CheckedOut(Event, type="carts.checked_out"):
    """The cart is closed, and this is what was in it."""

    customer_id: str
    lines: tuple[Line, ...]
    total: int


# --- orders ---------------------------------------------------------------------------------------


class StartOrder(Command, type="orders.start"):
    """Begin an order: ask for its payment and its goods."""

    customer_id: str
    lines: tuple[Line, ...]


class ConfirmLine(Command, type="orders.confirm_line"):
    """The stock of this product says yes."""

    product_id: str


class RefuseLine(Command, type="orders.refuse_line"):
    """The stock of this product says no."""

    product_id: str


class ConfirmPayment(Command, type="orders.confirm_payment"):
    """The money is there."""


class RefusePayment(Command, type="orders.refuse_payment"):
    """The money did not come in time."""


class OrderStarted(Event, type="orders.started"):
    """The order waits for its payment and for each of its lines."""

    customer_id: str
    lines: tuple[Line, ...]
    total: int


class LineConfirmed(Event, type="orders.line_confirmed"):
    """One line's goods are set aside."""

    product_id: str


class LineRefused(Event, type="orders.line_refused"):
    """One line's goods are not to be had."""

    product_id: str


class PaymentConfirmed(Event, type="orders.payment_confirmed"):
    """The order is paid."""


class PaymentRefused(Event, type="orders.payment_refused"):
    """The order will not be paid."""


class OrderPlaced(Event, type="orders.placed"):
    """All answers are there, and all are yes."""

    total: int


class OrderCancelled(Event, type="orders.cancelled"):
    """All answers are there, and one of them is no."""

    reason: str


# --- payments -------------------------------------------------------------------------------------


class Pay(PublicCommand, type="payments.pay"):
    """Pay with a card, whenever the amount is asked for."""

    card: Annotated[str, Pattern(r"^[0-9]{4}$")]


class RequestPayment(Command, type="payments.request"):
    """Ask for the amount of an order."""

    amount: int


class ExpirePayment(Command, type="payments.expire"):
    """The time to pay is over."""


class RefundPayment(Command, type="payments.refund"):
    """Give back what was collected."""


class CardAuthorized(Event, type="payments.card_authorized"):
    """A card stands good for the payment."""

    card: str


class PaymentRequested(Event, type="payments.requested"):
    """The amount is known."""

    amount: int


class PaymentCollected(Event, type="payments.collected"):
    """Amount and card came together: the money is there."""

    amount: int


class PaymentExpired(Event, type="payments.expired"):
    """No card came in time."""


class PaymentRefunded(Event, type="payments.refunded"):
    """The money went back."""

    amount: int


# --- stock ----------------------------------------------------------------------------------------


class ReceiveStock(PublicCommand, type="stock.receive"):
    """Put delivered goods on the shelf."""

    quantity: Quantity


class ReserveStock(Command, type="stock.reserve"):
    """Set goods aside for an order."""

    order_id: str
    quantity: int


class ReleaseStock(Command, type="stock.release"):
    """Put back what was set aside for an order."""

    order_id: str


class StockReceived(Event, type="stock.received"):
    """Goods came."""

    quantity: int


class StockReserved(Event, type="stock.reserved"):
    """Goods are set aside for an order."""

    order_id: str
    quantity: int


class StockRefused(Event, type="stock.refused"):
    """There are not enough for an order."""

    order_id: str
    quantity: int


class StockReleased(Event, type="stock.released"):
    """What was set aside for an order is back on the shelf."""

    order_id: str
    quantity: int

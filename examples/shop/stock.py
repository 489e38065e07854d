"""Stock: so many of one product on the shelf, some of them set aside for orders."""

from dataclasses import dataclass, field

from examples.shop import streams
from examples.shop.messages import (
    ConfirmLine,
    ReceiveStock,
    RefuseLine,
    ReleaseStock,
    ReserveStock,
    StockReceived,
    StockRefused,
    StockReleased,
    StockReserved,
)
from sourced import Actor, Dispatch, Events, Yielded, command, event, react


@dataclass
class StockState:
    """What is free, and what is set aside by order."""

    free: int = 0
    reserved: dict[str, int] = field(default_factory=dict)


class Stock(Actor[StockState], snapshot_every=100):
    """One stream per product, where the reservations of all orders come one after the other.

    These are the shop's longest streams, so the state is stored every hundred messages: a worker
    that meets a stream for the first time reads the snapshot and what came after it.
    """

    @command
    def receive(self, stock: StockState, cmd: ReceiveStock) -> Events:
        """Put goods on the shelf."""
        yield StockReceived(quantity=cmd.quantity)

    @command
    def reserve(self, stock: StockState, cmd: ReserveStock) -> Events:
        """Set goods aside, if there are enough."""
        if cmd.quantity > stock.free:
            yield StockRefused(order_id=cmd.order_id, quantity=cmd.quantity)
        else:
            yield StockReserved(order_id=cmd.order_id, quantity=cmd.quantity)

    @command
    def release(self, stock: StockState, cmd: ReleaseStock) -> Events:
        """Put back what was set aside for an order."""
        quantity = stock.reserved.get(cmd.order_id, 0)
        if quantity:
            yield StockReleased(order_id=cmd.order_id, quantity=quantity)

    @event
    def received(self, stock: StockState, event: StockReceived) -> None:
        """Have more."""
        stock.free += event.quantity

    @event
    def reserved(self, stock: StockState, event: StockReserved) -> None:
        """Move it aside."""
        stock.free -= event.quantity
        stock.reserved[event.order_id] = event.quantity

    @event
    def released(self, stock: StockState, event: StockReleased) -> None:
        """Move it back."""
        stock.free += event.quantity
        del stock.reserved[event.order_id]

    @react
    def tell_order(self, event: StockReserved | StockRefused) -> Yielded:
        """Answer the order."""
        product_id = streams.number_of(event)
        answer = (
            ConfirmLine(product_id=product_id)
            if isinstance(event, StockReserved)
            else RefuseLine(product_id=product_id)
        )
        yield Dispatch(answer, to=event.order_id)

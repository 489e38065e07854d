"""Orders: each asks several streams at once, waits for all their answers, and joins them again.

```
            ┌─ RequestPayment ──→ payment ── ConfirmPayment or RefusePayment ─┐
OrderStarted┤                                                                 ├→ placed or cancelled
            └─ ReserveStock ×n ─→ stock ──── ConfirmLine or RefuseLine ×n ────┘
```

The answers come in any order. An order decides when the last one is there, so what it decides does
not depend on which came first; and a cancelled order knows all there is to undo.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from examples.shop import streams
from examples.shop.messages import (
    ConfirmLine,
    ConfirmPayment,
    ExpirePayment,
    Line,
    LineConfirmed,
    LineRefused,
    OrderCancelled,
    OrderPlaced,
    OrderStarted,
    PaymentConfirmed,
    PaymentRefused,
    RefundPayment,
    RefuseLine,
    RefusePayment,
    ReleaseStock,
    RequestPayment,
    ReserveStock,
    StartOrder,
)
from sourced import Actor, Dispatch, Events, Yielded, command, event, react

TIME_TO_PAY = timedelta(seconds=2)
"""After so long an unpaid order is cancelled. A real shop would say a quarter of an hour."""


@dataclass
class OrderState:
    """An order and the answers it has: None is an answer that has not come."""

    id: str
    lines: tuple[Line, ...] = ()
    total: int = 0
    is_paid: bool | None = None
    is_reserved: dict[str, bool | None] = field(default_factory=dict)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is missing."""
        return self.is_paid is None or None in self.is_reserved.values()


def outcome(order: OrderState) -> Events:
    """Give what the answers come to, once they are all there."""
    if order.is_waiting:
        return
    if not all(order.is_reserved.values()):
        yield OrderCancelled(reason="out of stock")
    elif not order.is_paid:
        yield OrderCancelled(reason="not paid in time")
    else:
        yield OrderPlaced(total=order.total)


class Order(Actor[OrderState]):
    """One stream per order."""

    # --- decide: each answer may be the last ---

    @command
    def start(self, order: OrderState, cmd: StartOrder) -> Events:
        """Begin to wait."""
        total = sum(line.quantity * line.price for line in cmd.lines)
        yield OrderStarted(customer_id=cmd.customer_id, lines=cmd.lines, total=total)

    @command
    def confirm_line(self, order: OrderState, cmd: ConfirmLine) -> Events:
        """Note the goods; the event is applied to `order` before the next line runs."""
        yield LineConfirmed(product_id=cmd.product_id)
        yield from outcome(order)

    @command
    def refuse_line(self, order: OrderState, cmd: RefuseLine) -> Events:
        """Note that there are no goods."""
        yield LineRefused(product_id=cmd.product_id)
        yield from outcome(order)

    @command
    def confirm_payment(self, order: OrderState, cmd: ConfirmPayment) -> Events:
        """Note the money."""
        yield PaymentConfirmed()
        yield from outcome(order)

    @command
    def refuse_payment(self, order: OrderState, cmd: RefusePayment) -> Events:
        """Note that there is no money."""
        yield PaymentRefused()
        yield from outcome(order)

    # --- evolve ---

    @event
    def started(self, order: OrderState, event: OrderStarted) -> None:
        """Know what is waited for."""
        order.lines = event.lines
        order.total = event.total
        order.is_reserved = dict.fromkeys((line.product_id for line in event.lines), None)

    @event
    def line_confirmed(self, order: OrderState, event: LineConfirmed) -> None:
        """Tick a line."""
        order.is_reserved[event.product_id] = True

    @event
    def line_refused(self, order: OrderState, event: LineRefused) -> None:
        """Cross a line out."""
        order.is_reserved[event.product_id] = False

    @event
    def payment_confirmed(self, order: OrderState, event: PaymentConfirmed) -> None:
        """Tick the payment."""
        order.is_paid = True

    @event
    def payment_refused(self, order: OrderState, event: PaymentRefused) -> None:
        """Cross the payment out."""
        order.is_paid = False

    # --- react ---

    @react
    def ask(self, event: OrderStarted) -> Yielded:
        """Ask for money and goods at once, and say until when the money may come.

        The end of the time to pay goes to the payment's stream, not to this one. There it stands
        behind a card that came before it, so the order of one stream decides who was first, and
        not how busy the workers are.
        """
        number = streams.number_of(event)
        order_id, payment_id = streams.order(number), streams.payment(number)
        yield Dispatch(RequestPayment(amount=event.total), to=payment_id)
        yield Dispatch(ExpirePayment(), to=payment_id, after=TIME_TO_PAY)
        for line in event.lines:
            yield Dispatch(
                ReserveStock(order_id=order_id, quantity=line.quantity),
                to=streams.stock(line.product_id),
            )

    @react
    def undo(self, order: OrderState, event: OrderCancelled) -> Yielded:
        """Put back what was set aside, and give back what was paid."""
        for product_id, is_reserved in order.is_reserved.items():
            if is_reserved:
                yield Dispatch(ReleaseStock(order_id=order.id), to=streams.stock(product_id))
        if order.is_paid:
            yield Dispatch(RefundPayment(), to=streams.payment(streams.number_of(event)))

"""Payments: a card and an amount find each other, whichever comes first, or the time is over."""

from dataclasses import dataclass

from examples.shop import streams
from examples.shop.messages import (
    CardAuthorized,
    ConfirmPayment,
    ExpirePayment,
    Pay,
    PaymentCollected,
    PaymentExpired,
    PaymentRefunded,
    PaymentRequested,
    Reason,
    RefundPayment,
    RefusePayment,
    RequestPayment,
    refused,
)
from sourced import Actor, Dispatch, Events, Yielded, command, event, react

DECLINED = "0000"
"""The card that the bank never takes."""


@dataclass
class PaymentState:
    """What is known of a payment so far."""

    amount: int | None = None
    card: str | None = None
    collected: int = 0
    is_over: bool = False


def collection(payment: PaymentState) -> Events:
    """Give the collection, if amount and card are both there."""
    if payment.amount is not None and payment.card is not None:
        yield PaymentCollected(amount=payment.amount)


class Payment(Actor[PaymentState]):
    """One stream per order's payment."""

    @command
    def pay(self, payment: PaymentState, cmd: Pay) -> Events:
        """Take the first card that is good."""
        if payment.is_over:
            yield refused(cmd, Reason.PAYMENT_TOO_LATE)
        elif payment.card is not None:
            yield refused(cmd, Reason.PAID_ALREADY)
        elif cmd.card == DECLINED:
            yield refused(cmd, Reason.CARD_DECLINED)
        else:
            yield CardAuthorized(card=cmd.card)
            yield from collection(payment)

    @command
    def request(self, payment: PaymentState, cmd: RequestPayment) -> Events:
        """Learn the amount."""
        yield PaymentRequested(amount=cmd.amount)
        yield from collection(payment)

    @command
    def expire(self, payment: PaymentState, cmd: ExpirePayment) -> Events:
        """End the time to pay; nothing, if the money is there."""
        if payment.card is None:
            yield PaymentExpired()

    @command
    def refund(self, payment: PaymentState, cmd: RefundPayment) -> Events:
        """Give back what was collected."""
        yield PaymentRefunded(amount=payment.collected)

    @event
    def requested(self, payment: PaymentState, event: PaymentRequested) -> None:
        """Know the amount."""
        payment.amount = event.amount

    @event
    def card_authorized(self, payment: PaymentState, event: CardAuthorized) -> None:
        """Know the card."""
        payment.card = event.card

    @event
    def collected(self, payment: PaymentState, event: PaymentCollected) -> None:
        """Have the money."""
        payment.collected = event.amount

    @event
    def expired(self, payment: PaymentState, event: PaymentExpired) -> None:
        """Take no card any more."""
        payment.is_over = True

    @event
    def refunded(self, payment: PaymentState, event: PaymentRefunded) -> None:
        """Have the money no more."""
        payment.collected -= event.amount

    @react
    def tell_order(self, event: PaymentCollected | PaymentExpired) -> Yielded:
        """Answer the order."""
        answer = ConfirmPayment() if isinstance(event, PaymentCollected) else RefusePayment()
        yield Dispatch(answer, to=streams.order(streams.number_of(event)))

"""Counts everything again, from the log alone, in one plain loop.

It shares nothing with actors and projectors: it knows messages by the names of their types, and
reads every one of them in the order of the log.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sourced import App, Message

FROM_OUTSIDE = {
    "carts.add_item",
    "carts.remove_item",
    "carts.check_out",
    "payments.pay",
    "stock.receive",
}


@dataclass
class CountedOrder:
    """An order, as its own events tell it."""

    customer_id: str
    total: int
    lines: tuple[Any, ...]
    status: str = "waiting"
    reason: str = ""


@dataclass
class Recount:
    """What the log says.

    Attributes:
        messages: how many there are.
        decisions: by id of a command from outside: the types of the events that it caused.
        refused: commands from outside that were refused, by reason.
        first_refused: the line of the first refusal of each reason.
        orders: the orders by stream.
        money: cents that were collected and not refunded.
        set_aside: by product: units that were reserved and not released.
        check_outs: by cart: the command that closed it.
    """

    messages: int = 0
    decisions: dict[UUID, list[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    first_refused: dict[str, int] = field(default_factory=dict)
    orders: dict[str, CountedOrder] = field(default_factory=dict)
    money: int = 0
    set_aside: Counter[str] = field(default_factory=Counter)
    check_outs: dict[str, UUID] = field(default_factory=dict)

    def placed(self) -> dict[str, CountedOrder]:
        """Return the orders that were placed."""
        return {id: order for id, order in self.orders.items() if order.status == "placed"}

    def sold(self, *, by_customer: bool = False) -> dict[str, tuple[int, int]]:
        """Return units and revenue of placed orders by product, or by customer."""
        sold: dict[str, tuple[int, int]] = {}
        for order in self.placed().values():
            for line in order.lines:
                key = order.customer_id if by_customer else line.product_id
                units, revenue = sold.get(key, (0, 0))
                sold[key] = (units + line.quantity, revenue + line.quantity * line.price)
        return sold


def recount(app: App) -> Recount:
    """Read the whole log and count."""
    count = Recount()
    for message in whole_log(app):
        count.messages += 1
        _count_decision(count, message)
        _count_order(count, message)
        _count_money_and_goods(count, message)
    return count


def whole_log(app: App) -> Iterator[Message]:
    """Give every message there is, in the order of the log."""
    page = app.read_all(after=0)
    while page.messages:
        yield from page
        page = app.read_all(after=page.next_after)


def _count_decision(count: Recount, message: Message) -> None:
    meta = message.meta
    if meta.type in FROM_OUTSIDE:
        count.decisions[meta.id] = []
    elif meta.causation_id in count.decisions:
        count.decisions[meta.causation_id].append(meta.type)
    if meta.type == "shop.command_refused":
        reason = str(message.payload["reason"])
        count.refused[reason] += 1
        line = count.first_refused.get(reason, meta["line"])
        count.first_refused[reason] = min(line, meta["line"])
    elif meta.type == "carts.checked_out":
        count.check_outs[meta.stream_id or ""] = meta.causation_id


def _count_order(count: Recount, message: Message) -> None:
    order_id, payload = message.meta.stream_id or "", message.payload
    match message.meta.type:
        case "orders.started":
            count.orders[order_id] = CountedOrder(
                payload["customer_id"], payload["total"], payload["lines"]
            )
        case "orders.placed":
            count.orders[order_id].status = "placed"
        case "orders.cancelled":
            count.orders[order_id].status = "cancelled"
            count.orders[order_id].reason = payload["reason"]


def _count_money_and_goods(count: Recount, message: Message) -> None:
    product_id = (message.meta.stream_id or "").removeprefix("stock-")
    match message.meta.type:
        case "payments.collected":
            count.money += message.payload["amount"]
        case "payments.refunded":
            count.money -= message.payload["amount"]
        case "stock.reserved":
            count.set_aside[product_id] += message.payload["quantity"]
        case "stock.released":
            count.set_aside[product_id] -= message.payload["quantity"]

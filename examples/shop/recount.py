"""Counts everything again, from the log alone, in one plain loop.

It shares no code with actors and projectors: it knows messages by the names of their types, reads
every one of them in the order of the log, and believes none that another one contradicts. What it
begins with is what was put into the carts; what comes later must follow from that.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sourced import App, Message

REFUSED = "shop.command_refused"

DECISIONS = {
    "carts.add_item": {"carts.item_added", REFUSED},
    "carts.remove_item": {"carts.item_removed", REFUSED},
    "carts.check_out": {"carts.checked_out", REFUSED},
    "orders.start": {"orders.started"},
    "orders.confirm_line": {"orders.line_confirmed"},
    "orders.refuse_line": {"orders.line_refused"},
    "orders.confirm_payment": {"orders.payment_confirmed"},
    "orders.refuse_payment": {"orders.payment_refused"},
    "payments.pay": {"payments.card_authorized", REFUSED},
    "payments.request": {"payments.requested"},
    "payments.expire": {"payments.expired"},
    "payments.refund": {"payments.refunded"},
    "stock.receive": {"stock.received"},
    "stock.reserve": {"stock.reserved", "stock.refused"},
    "stock.release": {"stock.released"},
}
"""The commands, and the events of which each causes one: its decision."""

IS_DECISION = frozenset().union(*DECISIONS.values())

FROM_OUTSIDE = {
    "carts.add_item",
    "carts.remove_item",
    "carts.check_out",
    "payments.pay",
    "stock.receive",
}

MAY_COME_TO_NOTHING = {"payments.expire", "stock.release"}
"""When these come, there may be nothing left to do."""

CountedLine = tuple[str, int, int]
"""Product, quantity and price."""


@dataclass
class CountedCommand:
    """A command, and the events that decided it."""

    message: Message
    decisions: list[Message] = field(default_factory=list)

    @property
    def is_from_outside(self) -> bool:
        """Whether it came from outside, and not from another part of the shop."""
        return self.message.meta.type in FROM_OUTSIDE

    @property
    def is_decided(self) -> bool:
        """Whether there is a decision, or need be none."""
        return bool(self.decisions) or self.message.meta.type in MAY_COME_TO_NOTHING

    @property
    def is_decided_as_asked(self) -> bool:
        """Whether the decisions fit: of its kind, in its stream, with what the command says."""
        return all(_fits(self.message, decision) for decision in self.decisions)


@dataclass
class Bought:
    """Who bought what, for how much, as one event says or as others add up to."""

    customer_id: str
    lines: list[CountedLine]
    total: int


@dataclass
class CountedCart:
    """A cart: what was put into it and not taken out, and what it says that it was closed with."""

    held: dict[str, tuple[int, int]] = field(default_factory=dict)
    check_outs: list[Bought] = field(default_factory=list)

    def added_up(self, customer_id: str) -> Bought:
        """Return what a customer buys who checks out."""
        lines = sorted((id, quantity, price) for id, (quantity, price) in self.held.items())
        return Bought(customer_id, lines, sum(quantity * price for _, quantity, price in lines))

    @property
    def is_checked_out_as_filled(self) -> bool:
        """Whether it was closed once at most, with what is in it."""
        closed = self.check_outs
        return not closed or closed == [self.added_up(closed[0].customer_id)]


@dataclass
class CountedOrder:
    """An order, as its own events tell it."""

    starts: list[Bought] = field(default_factory=list)
    endings: list[tuple[str, str]] = field(default_factory=list)
    placed_for: int = 0

    @property
    def bought(self) -> Bought:
        """What it is about."""
        return self.starts[0] if self.starts else Bought("", [], 0)

    @property
    def status(self) -> str:
        """What became of it."""
        return self.endings[-1][0] if self.endings else "waiting"

    @property
    def reason(self) -> str:
        """Why it was cancelled."""
        return self.endings[-1][1] if self.endings else ""

    @property
    def is_ended_once(self) -> bool:
        """Whether it was either placed, for its total, or cancelled."""
        is_total = self.status != "placed" or self.placed_for == self.bought.total
        return len(self.endings) == 1 and is_total


@dataclass
class Recount:
    """What the log says.

    Attributes:
        messages: how many there are.
        commands: all commands by id, each with its decisions.
        refused: commands from outside that were refused, by reason.
        first_refused: the line of the first refusal of each reason.
        prices: products with the prices for which they were put into carts.
        carts: the carts by number.
        orders: the orders by number.
        collected: by number: cents that were collected and not refunded.
        set_aside: by order's stream and product: units that were reserved and not released.
        check_outs: by number: the command that closed the cart.
    """

    messages: int = 0
    commands: dict[UUID, CountedCommand] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    first_refused: dict[str, int] = field(default_factory=dict)
    prices: set[tuple[str, int]] = field(default_factory=set)
    carts: dict[str, CountedCart] = field(default_factory=dict)
    orders: dict[str, CountedOrder] = field(default_factory=dict)
    collected: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[tuple[str, str]] = field(default_factory=Counter)
    check_outs: dict[str, UUID] = field(default_factory=dict)

    def taken_in(self) -> int:
        """Return how many commands came from outside."""
        return sum(command.is_from_outside for command in self.commands.values())

    def decided(self) -> int:
        """Return how many commands from outside were decided."""
        return sum(
            command.is_from_outside and bool(command.decisions)
            for command in self.commands.values()
        )

    def placed(self) -> dict[str, CountedOrder]:
        """Return the orders that were placed."""
        return {number: order for number, order in self.orders.items() if order.status == "placed"}

    def sold(self, *, by_customer: bool = False) -> dict[str, tuple[int, int]]:
        """Return units and revenue of placed orders by product, or by customer."""
        sold: dict[str, tuple[int, int]] = {}
        for order in self.placed().values():
            for product_id, quantity, price in order.bought.lines:
                key = order.bought.customer_id if by_customer else product_id
                units, revenue = sold.get(key, (0, 0))
                sold[key] = (units + quantity, revenue + quantity * price)
        return sold


def recount(app: App) -> Recount:
    """Read the whole log and count."""
    count = Recount()
    for message in whole_log(app):
        count.messages += 1
        _count_decision(count, message)
        _count_cart(count, message)
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
    if meta.type in DECISIONS:
        count.commands[meta.id] = CountedCommand(message)
    elif meta.type in IS_DECISION and meta.causation_id in count.commands:
        count.commands[meta.causation_id].decisions.append(message)
    if meta.type == REFUSED:
        reason = str(message.payload["reason"])
        count.refused[reason] += 1
        line = int(meta.get("line", 0))
        count.first_refused[reason] = min(line, count.first_refused.get(reason, line))


def _fits(command: Message, event: Message) -> bool:
    asked, decided = command.payload, event.payload
    return (
        event.meta.type in DECISIONS[command.meta.type]
        and event.meta.stream_id == command.meta.stream_id
        and decided.get("command", command.meta.type) == command.meta.type
        and all(decided[name] == asked[name] for name in asked.keys() & decided.keys())
    )


def _count_cart(count: Recount, message: Message) -> None:
    kind, number = _place(message)
    if kind != "cart":
        return
    payload, cart = message.payload, count.carts.setdefault(number, CountedCart())
    match message.meta.type:
        case "carts.item_added":
            held, _ = cart.held.get(payload["product_id"], (0, 0))
            cart.held[payload["product_id"]] = (held + payload["quantity"], payload["price"])
            count.prices.add((payload["product_id"], payload["price"]))
        case "carts.item_removed":
            cart.held.pop(payload["product_id"], None)
        case "carts.checked_out":
            cart.check_outs.append(_bought(payload))
            count.check_outs[number] = message.meta.causation_id


def _count_order(count: Recount, message: Message) -> None:
    kind, number = _place(message)
    if kind != "order":
        return
    payload, order = message.payload, count.orders.setdefault(number, CountedOrder())
    match message.meta.type:
        case "orders.started":
            order.starts.append(_bought(payload))
        case "orders.placed":
            order.endings.append(("placed", ""))
            order.placed_for = payload["total"]
        case "orders.cancelled":
            order.endings.append(("cancelled", payload["reason"]))


def _count_money_and_goods(count: Recount, message: Message) -> None:
    payload, (_, number) = message.payload, _place(message)
    match message.meta.type:
        case "payments.collected":
            count.collected[number] += payload["amount"]
        case "payments.refunded":
            count.collected[number] -= payload["amount"]
        case "stock.reserved":
            count.set_aside[payload["order_id"], number] += payload["quantity"]
        case "stock.released":
            count.set_aside[payload["order_id"], number] -= payload["quantity"]


def _place(message: Message) -> tuple[str, str]:
    """Return of which kind the message's stream is, and its number, or product."""
    kind, _, number = (message.meta.stream_id or "").partition("-")
    return kind, number


def _bought(payload: dict[str, Any]) -> Bought:
    lines = sorted((line.product_id, line.quantity, line.price) for line in payload["lines"])
    return Bought(payload["customer_id"], lines, payload["total"])

"""What must be true when the shop is quiet, and the fingerprint of what it has come to."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256

from examples.shop.catalogue import PRICES
from examples.shop.intake import Intake
from examples.shop.recount import Recount
from examples.shop.rows import ListedOrder, Sale
from examples.shop.shop import Shop


def checks(shop: Shop, count: Recount, intake: Intake) -> dict[str, bool]:
    """Return what was checked, and whether it holds."""
    return dict([*_of_commands(count, intake), *_of_the_log(count), *_of_the_store(shop, count)])


Checked = Iterator[tuple[str, bool]]


def _of_commands(count: Recount, intake: Intake) -> Checked:
    """Check what was sent against what was decided."""
    commands = count.commands.values()
    yield (
        "the log has as many commands as were taken in",
        count.taken_in() == intake.recorded + intake.known,
    )
    yield "every command was decided", all(command.is_decided for command in commands)
    yield "none was decided twice", all(len(command.decisions) <= 1 for command in commands)
    yield (
        "every command was decided as it asked, or refused",
        all(command.is_decided_as_asked for command in commands),
    )


def _of_the_log(count: Recount) -> Checked:
    """Check what came later against what was put into the carts."""
    carts, orders, placed = count.carts, count.orders, count.placed()
    yield "every item has the catalogue's price", count.prices <= PRICES.items()
    yield (
        "every cart was checked out with what was put into it",
        all(cart.is_checked_out_as_filled for cart in carts.values()),
    )
    yield (
        "every order started with what its cart was checked out with",
        {number: order.starts for number, order in orders.items()}
        == {number: cart.check_outs for number, cart in carts.items() if cart.check_outs},
    )
    yield (
        "every order was placed for its total or cancelled, once",
        all(order.is_ended_once for order in orders.values()),
    )
    yield (
        "the money collected is that of the orders placed",
        {number: cents for number, cents in count.collected.items() if cents}
        == {number: order.bought.total for number, order in placed.items()},
    )
    yield (
        "the goods set aside are those of the orders placed",
        {place: units for place, units in count.set_aside.items() if units}
        == {(sale.order_id, sale.product_id): sale.units for sale in _as_sales(count)},
    )


def _of_the_store(shop: Shop, count: Recount) -> Checked:
    """Check the rows against the log, and that there is nothing left to do."""
    with shop.app.store.connection() as connection:
        listed = shop.orders.all(connection)
        sold = shop.sales.all(connection)
        by_product = shop.sales.totals("product_id", connection)
        by_customer = shop.sales.totals("customer_id", connection)
    yield "the list of orders is what the log says", listed == _as_listed(count)
    yield (
        "the rows of the sales are what the log says",
        sorted(sold, key=_key) == sorted(_as_sales(count), key=_key),
    )
    yield "the sales by product are what the log says", by_product == count.sold()
    yield "the sales by customer are what the log says", by_customer == count.sold(by_customer=True)
    yield (
        "nothing is pending, nothing is parked",
        not any(group.pending or group.parked for group in shop.app.store.inspect.groups()),
    )


def fingerprint(count: Recount) -> str:
    """Return a few letters that differ whenever the totals do."""
    totals = {
        "messages": count.messages,
        "refused": count.refused,
        "orders": {id: asdict(order) for id, order in _as_listed(count).items()},
        "sales": sorted(list(asdict(sale).values()) for sale in _as_sales(count)),
        "money": count.collected.total(),
        "set_aside": count.set_aside.total(),
    }
    return sha256(json.dumps(totals, sort_keys=True).encode()).hexdigest()[:12]


def _as_listed(count: Recount) -> dict[str, ListedOrder]:
    return {
        f"order-{number}": ListedOrder(
            order_id=f"order-{number}",
            customer_id=order.bought.customer_id,
            total=order.bought.total,
            status=order.status,
            reason=order.reason,
        )
        for number, order in count.orders.items()
    }


def _as_sales(count: Recount) -> list[Sale]:
    return [
        Sale(
            order_id=f"order-{number}",
            customer_id=order.bought.customer_id,
            product_id=product_id,
            units=quantity,
            revenue=quantity * price,
        )
        for number, order in count.placed().items()
        for product_id, quantity, price in order.bought.lines
    ]


def _key(sale: Sale) -> tuple[str, str]:
    return sale.order_id, sale.product_id

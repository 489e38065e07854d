"""What must be true when the shop is quiet, and the fingerprint of what it has come to."""

import json
from collections import Counter
from dataclasses import asdict
from hashlib import sha256

from examples.shop.recount import Recount
from examples.shop.rows import ListedOrder
from examples.shop.shop import Shop


def checks(shop: Shop, count: Recount) -> dict[str, bool]:
    """Return what was checked, and whether it holds."""
    with shop.app.store.connection() as connection:
        listed = shop.orders.all(connection)
        by_product = shop.sales.totals("product_id", connection)
        by_customer = shop.sales.totals("customer_id", connection)
    placed = count.placed()
    in_orders: Counter[str] = Counter()
    for order in placed.values():
        in_orders.update({line.product_id: line.quantity for line in order.lines})
    groups = shop.app.store.inspect.groups()
    return {
        "every command was decided": all(count.decisions.values()),
        "none was decided twice": all(
            len(types) == len(set(types)) for types in count.decisions.values()
        ),
        "every order was placed or cancelled": all(
            order.status != "waiting" for order in count.orders.values()
        ),
        "the list of orders is what the log says": listed == _as_listed(count),
        "the sales by product are what the log says": by_product == count.sold(),
        "the sales by customer are what the log says": by_customer == count.sold(by_customer=True),
        "the money collected is that of the orders placed": count.money
        == sum(order.total for order in placed.values()),
        "the goods set aside are those of the orders placed": +count.set_aside == in_orders,
        "nothing is pending, nothing is parked": not any(
            group.pending or group.parked for group in groups
        ),
    }


def fingerprint(count: Recount) -> str:
    """Return a few letters that differ whenever the totals do."""
    totals = {
        "messages": count.messages,
        "refused": count.refused,
        "orders": {id: asdict(order) for id, order in _as_listed(count).items()},
        "products": count.sold(),
        "customers": count.sold(by_customer=True),
        "money": count.money,
        "set_aside": +count.set_aside,
    }
    return sha256(json.dumps(totals, sort_keys=True).encode()).hexdigest()[:12]


def _as_listed(count: Recount) -> dict[str, ListedOrder]:
    return {
        id: ListedOrder(id, order.customer_id, order.total, order.status, order.reason)
        for id, order in count.orders.items()
    }

"""Where the rows of the read models are: in the store's own database, or in dicts.

A projector writes through the connection of the transaction that acknowledges its events, so rows
and progress commit together. The store in memory has no connection; its rows live in dicts.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from sqlalchemy import Column, Connection, Integer, MetaData, Row, Table, Text, delete, func, select

__all__ = [
    "By",
    "ListedOrder",
    "OrderRows",
    "OrdersInMemory",
    "OrdersInSql",
    "Sale",
    "SaleRows",
    "SalesInMemory",
    "SalesInSql",
    "Totals",
    "metadata",
]

By = Literal["product_id", "customer_id"]

Totals = dict[str, tuple[int, int]]
"""By product or customer: units, and revenue in cents."""


@dataclass
class ListedOrder:
    """One order in the list."""

    order_id: str
    customer_id: str = ""
    total: int = 0
    status: str = "waiting"
    reason: str = ""


@dataclass(frozen=True)
class Sale:
    """So much of one product in one placed order."""

    order_id: str
    customer_id: str
    product_id: str
    units: int
    revenue: int


class OrderRows(Protocol):
    """The list of orders."""

    def load(
        self, order_ids: Collection[str], connection: Connection | None
    ) -> dict[str, ListedOrder]:
        """Return those of the orders that are listed."""
        ...

    def save(self, orders: Collection[ListedOrder], connection: Connection | None) -> None:
        """List orders, in place of what was listed of them."""
        ...

    def all(self, connection: Connection | None) -> dict[str, ListedOrder]:
        """Return the list."""
        ...


class SaleRows(Protocol):
    """What was sold."""

    def add(self, sales: Collection[Sale], connection: Connection | None) -> None:
        """Add what was sold."""
        ...

    def remove(self, order_ids: Collection[str], connection: Connection | None) -> None:
        """Remove all that was sold by orders."""
        ...

    def all(self, connection: Connection | None) -> list[Sale]:
        """Return the rows."""
        ...

    def totals(self, by: By, connection: Connection | None) -> Totals:
        """Return units and revenue by product or by customer."""
        ...


# --- in the store's own database ------------------------------------------------------------------

metadata = MetaData()

orders = Table(
    "orders",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

sales = Table(
    "sales",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("product_id", Text, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("units", Integer, nullable=False),
    Column("revenue", Integer, nullable=False),
)


class OrdersInSql:
    """The list of orders, as a table."""

    def load(
        self, order_ids: Collection[str], connection: Connection | None
    ) -> dict[str, ListedOrder]:
        """See `OrderRows`."""
        found = _of(connection).execute(select(orders).where(orders.c.order_id.in_(order_ids)))
        return _listed(found)

    def save(self, listed: Collection[ListedOrder], connection: Connection | None) -> None:
        """See `OrderRows`."""
        ids = [order.order_id for order in listed]
        _of(connection).execute(delete(orders).where(orders.c.order_id.in_(ids)))
        _of(connection).execute(orders.insert(), [asdict(order) for order in listed])

    def all(self, connection: Connection | None) -> dict[str, ListedOrder]:
        """See `OrderRows`."""
        return _listed(_of(connection).execute(select(orders)))


class SalesInSql:
    """What was sold, as a table with a row for each product of each order."""

    def add(self, sold: Collection[Sale], connection: Connection | None) -> None:
        """See `SaleRows`."""
        _of(connection).execute(sales.insert(), [asdict(sale) for sale in sold])

    def remove(self, order_ids: Collection[str], connection: Connection | None) -> None:
        """See `SaleRows`."""
        _of(connection).execute(delete(sales).where(sales.c.order_id.in_(order_ids)))

    def all(self, connection: Connection | None) -> list[Sale]:
        """See `SaleRows`."""
        return [Sale(**row._mapping) for row in _of(connection).execute(select(sales))]

    def totals(self, by: By, connection: Connection | None) -> Totals:
        """See `SaleRows`."""
        key = sales.c[by]
        added = select(key, func.sum(sales.c.units), func.sum(sales.c.revenue)).group_by(key)
        return {name: (units, revenue) for name, units, revenue in _of(connection).execute(added)}


def _listed(rows: Iterable[Row[Any]]) -> dict[str, ListedOrder]:
    listed = [ListedOrder(**row._mapping) for row in rows]
    return {order.order_id: order for order in listed}


def _of(connection: Connection | None) -> Connection:
    assert connection is not None, "these rows are in the database, and the store is not"
    return connection


# --- in memory ------------------------------------------------------------------------------------


class OrdersInMemory:
    """The list of orders, as a dict."""

    def __init__(self) -> None:
        self._rows: dict[str, ListedOrder] = {}

    def load(
        self, order_ids: Collection[str], connection: Connection | None
    ) -> dict[str, ListedOrder]:
        """See `OrderRows`."""
        found = (self._rows[order_id] for order_id in order_ids if order_id in self._rows)
        return {order.order_id: ListedOrder(**asdict(order)) for order in found}

    def save(self, listed: Collection[ListedOrder], connection: Connection | None) -> None:
        """See `OrderRows`."""
        self._rows.update((order.order_id, ListedOrder(**asdict(order))) for order in listed)

    def all(self, connection: Connection | None) -> dict[str, ListedOrder]:
        """See `OrderRows`."""
        return self.load(list(self._rows), connection)


class SalesInMemory:
    """What was sold, as a dict."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Sale]] = {}

    def add(self, sold: Collection[Sale], connection: Connection | None) -> None:
        """See `SaleRows`."""
        for sale in sold:
            self._rows.setdefault(sale.order_id, []).append(sale)

    def remove(self, order_ids: Collection[str], connection: Connection | None) -> None:
        """See `SaleRows`."""
        for order_id in order_ids:
            self._rows.pop(order_id, None)

    def all(self, connection: Connection | None) -> list[Sale]:
        """See `SaleRows`."""
        return [sale for sold in self._rows.values() for sale in sold]

    def totals(self, by: By, connection: Connection | None) -> Totals:
        """See `SaleRows`."""
        units: Counter[str] = Counter()
        revenue: Counter[str] = Counter()
        for sale in self.all(connection):
            units[getattr(sale, by)] += sale.units
            revenue[getattr(sale, by)] += sale.revenue
        return {name: (units[name], revenue[name]) for name in units}

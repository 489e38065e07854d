"""The shop put together: one app, its actors, its projectors, and where their rows are."""

import os
from dataclasses import dataclass

from examples.shop.carts import Cart
from examples.shop.listing import OrderListing
from examples.shop.orders import Order
from examples.shop.payments import Payment
from examples.shop.rows import (
    OrderRows,
    OrdersInMemory,
    OrdersInSql,
    SaleRows,
    SalesInMemory,
    SalesInSql,
    metadata,
)
from examples.shop.sales import Sales
from examples.shop.stock import Stock
from sourced import App, Clock, Settings

DEFAULT_STORE = "sqlite:///shop.db"


@dataclass(frozen=True)
class Shop:
    """An app, and the read models that it keeps."""

    app: App
    orders: OrderRows
    sales: SaleRows

    def install(self) -> None:
        """Make the tables that are missing: the store's, and those of the read models."""
        self.app.install()
        with self.app.transaction() as transaction:
            if transaction.connection is not None:
                metadata.create_all(transaction.connection)


def open_shop(
    store: str = DEFAULT_STORE, *, clock: Clock | None = None, settings: Settings | None = None
) -> Shop:
    """Return the shop on a store, such as `sqlite:///shop.db`, or `memory://`."""
    in_memory = store.startswith("memory:")
    orders: OrderRows = OrdersInMemory() if in_memory else OrdersInSql()
    sales: SaleRows = SalesInMemory() if in_memory else SalesInSql()
    app = App(store, clock=clock, settings=settings)
    app.register(Cart, Order, Payment, Stock, OrderListing(orders), Sales(sales))
    return Shop(app, orders, sales)


def app() -> App:
    """Return the app alone, on the store that `SHOP_STORE` names, for the `sourced` command."""
    return open_shop(os.environ.get("SHOP_STORE", DEFAULT_STORE)).app

"""The list of orders: a state-stored projector, many orders at a time."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from examples.shop.messages import OrderCancelled, OrderPlaced, OrderStarted
from examples.shop.rows import ListedOrder, OrderRows
from sourced import Batch, StateStoredProjector, event


class OrderListing(StateStoredProjector[ListedOrder]):
    """One row per order; the row is the state.

    A worker claims up to fifty orders at once. With `load_many` and `sync_many` that is one read
    and one write of rows, in the transaction that says how far each order has been listed.

    Args:
        rows: where the rows are.
    """

    def __init__(self, rows: OrderRows) -> None:
        self._rows = rows

    def initial_state(self, stream_id: str) -> ListedOrder:
        """Return the row of an order that is not listed yet."""
        return ListedOrder(stream_id)

    def load_many(
        self, stream_ids: Sequence[str], connection: Connection | None
    ) -> Mapping[str, ListedOrder]:
        """Return the rows that are there."""
        return self._rows.load(stream_ids, connection)

    @event
    def started(self, order: ListedOrder, event: OrderStarted) -> None:
        """List it."""
        order.customer_id = event.customer_id
        order.total = event.total

    @event
    def placed(self, order: ListedOrder, event: OrderPlaced) -> None:
        """Say that it will be sent."""
        order.status = "placed"

    @event
    def cancelled(self, order: ListedOrder, event: OrderCancelled) -> None:
        """Say that it will not, and why."""
        order.status = "cancelled"
        order.reason = event.reason

    def sync_many(self, orders: Sequence[ListedOrder], batches: Sequence[Batch]) -> None:
        """Write the rows, in the transaction of the acknowledgement."""
        self._rows.save(orders, batches[0].connection)

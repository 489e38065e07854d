"""What was sold, by product and by customer: an event-sourced projector."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from examples.shop.messages import Line, OrderPlaced, OrderStarted
from examples.shop.rows import Sale, SaleRows
from sourced import Batch, EventSourcedProjector, event


@dataclass
class OrderLines:
    """What an order is about, as its first event said."""

    customer_id: str = ""
    lines: tuple[Line, ...] = ()


class Sales(EventSourcedProjector[OrderLines]):
    """Rows for each placed order, to be added up over all of them.

    `OrderPlaced` does not repeat the lines of the order, and nobody needs a table of those: the
    state comes from the order's earlier events, out of the process's memory or the log.

    Args:
        rows: where the rows are.
    """

    def __init__(self, rows: SaleRows) -> None:
        self._rows = rows

    @event
    def started(self, order: OrderLines, event: OrderStarted) -> None:
        """Know the lines."""
        order.customer_id = event.customer_id
        order.lines = event.lines

    @event
    def placed(self, order: OrderLines, event: OrderPlaced) -> None:
        """Change nothing: that it was placed is what `sync` looks for."""

    def sync(self, order: OrderLines, batch: Batch) -> None:
        """Add the lines of an order that was placed, in the transaction of the acknowledgement."""
        if not any(isinstance(event, OrderPlaced) for event in batch.events):
            return
        sold = [
            Sale(
                order_id=batch.stream_id,
                customer_id=order.customer_id,
                product_id=line.product_id,
                units=line.quantity,
                revenue=line.quantity * line.price,
            )
            for line in order.lines
        ]
        self._rows.add(sold, batch.connection)

    def clear(self, stream_ids: Sequence[str], connection: Connection | None) -> None:
        """Take back what orders have added, before a replay adds it again."""
        self._rows.remove(stream_ids, connection)

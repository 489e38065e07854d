"""Which streams belong together: cart, order and payment of one purchase share its number."""

from sourced import Message


def cart(number: str) -> str:
    """Return the stream of a cart."""
    return f"cart-{number}"


def order(number: str) -> str:
    """Return the stream of the order that a cart becomes."""
    return f"order-{number}"


def payment(number: str) -> str:
    """Return the stream of an order's payment."""
    return f"payment-{number}"


def stock(product_id: str) -> str:
    """Return the stream of a product's stock."""
    return f"stock-{product_id}"


def number_of(message: Message) -> str:
    """Return what comes after the kind in a stored message's stream: a number, or a product."""
    assert message.meta.stream_id is not None, "only a stored message stands in a stream"
    return message.meta.stream_id.partition("-")[2]

"""What the shop sells, and for how much, in cents."""

PRODUCTS = 40

PRICES = {f"p{number:02}": 295 + 170 * number for number in range(1, PRODUCTS + 1)}

SOLD_OUT = frozenset({"p13", "p27"})
"""Still listed, never delivered again: an order of one of these cannot be kept."""

"""Makes the file of commands: the same one, whenever and wherever it is run.

python -m examples.shop.generate > examples/shop/commands.jsonl
"""

import json
import sys
from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import UUID

from examples.shop import streams
from examples.shop.carts import MOST_OF_ONE
from examples.shop.catalogue import PRICES, SOLD_OUT
from examples.shop.payments import DECLINED

LINES = 5_000
CARTS = 500
OPEN_AT_ONCE = 25
BROKEN = 160
BORROWED_IDS = 4
SEED = 20_260_101


def command_lines() -> list[str]:
    """Return the lines of the file."""
    random = Random(SEED)
    lines = [_line(random, *sent) for sent in [*_deliveries(), *_visits(random)]]
    for _ in range(BROKEN):
        lines.insert(random.randrange(1, len(lines)), _broken(random))
    for _ in range(BORROWED_IDS):
        _insert_later(random, lines, _with_a_borrowed_id(random, lines))
    while len(lines) < LINES:
        at = random.randrange(len(lines))
        _insert_later(random, lines, lines[at], after=at)
    return lines


Sent = tuple[str, str, dict[str, Any]]


def _deliveries() -> Iterator[Sent]:
    """Give two deliveries of each product that is not sold out, which suffice for all carts.

    Who gets the last piece depends on who comes first. Totals that are to be the same in every run
    must not: each product is plentiful or sold out.
    """
    for product_id in PRICES:
        if product_id not in SOLD_OUT:
            for _ in range(2):
                quantity = CARTS * MOST_OF_ONE // 2
                yield "stock.receive", streams.stock(product_id), {"quantity": quantity}


def _visits(random: Random) -> Iterator[Sent]:
    """Give what all visitors do, each in order, some of them at the same time."""
    waiting = [_visit(random, f"{number:04}") for number in range(CARTS, 0, -1)]
    present: list[Iterator[Sent]] = []
    while waiting or present:
        while waiting and len(present) < OPEN_AT_ONCE:
            present.append(waiting.pop())
        visitor = random.choice(present)
        sent = next(visitor, None)
        if sent is None:
            present.remove(visitor)
        else:
            yield sent


def _visit(random: Random, number: str) -> Iterator[Sent]:
    """Give what one visitor does."""
    cart = streams.cart(number)
    customer = {"customer_id": f"c{random.randrange(1, 121):03}"}
    if random.random() < 0.03:  # checks out before there is anything
        yield "carts.check_out", cart, customer
    for _ in range(random.randrange(4, 9)):
        yield from _add(random, cart)
    if random.random() < 0.92:
        yield "carts.check_out", cart, customer
        if random.random() < 0.12:  # an afterthought
            yield from _add(random, cart)
        if random.random() < 0.06:  # an impatient click
            yield "carts.check_out", cart, customer
        yield from _pay(random, streams.payment(number))


def _add(random: Random, cart: str) -> Iterator[Sent]:
    product_id = random.choice(sorted(PRICES.keys() - SOLD_OUT))
    if random.random() < 0.015:
        product_id = random.choice(sorted(SOLD_OUT))
    elif random.random() < 0.01:
        product_id = "p99"
    quantity: int | str = random.choices([1, 2, 3, 4, 11], [60, 25, 10, 4, 1])[0]
    if random.random() < 0.1:  # as an HTML form sends it
        quantity = str(quantity)
    yield "carts.add_item", cart, {"product_id": product_id, "quantity": quantity}
    if random.random() < 0.08:
        gone = product_id if random.random() < 0.8 else random.choice(sorted(PRICES))
        yield "carts.remove_item", cart, {"product_id": gone}


def _pay(random: Random, payment: str) -> Iterator[Sent]:
    if random.random() < 0.1:
        yield "payments.pay", payment, {"card": DECLINED}
    if random.random() < 0.9:
        card = f"{random.randrange(1, 10_000):04}"
        yield "payments.pay", payment, {"card": card}
        if random.random() < 0.05:
            yield "payments.pay", payment, {"card": card}


def _line(random: Random, type: str, to: str, payload: object) -> str:
    id = UUID(int=random.getrandbits(128), version=4)
    return json.dumps({"id": str(id), "type": type, "to": to, "payload": payload})


def _broken(random: Random) -> str:
    """Return a line that is no command, in one of many ways."""
    cart = streams.cart(f"{random.randrange(1, CARTS + 1):04}")
    item = {"product_id": "p07", "quantity": 1}
    whole = _line(random, "carts.add_item", cart, item)
    return random.choice(
        [
            whole[: random.randrange(5, len(whole) - 2)],
            "",
            json.dumps([cart, item]),
            json.dumps({"type": "carts.add_item", "to": cart, "payload": item}),
            json.dumps({"id": "17", "type": "carts.add_item", "to": cart, "payload": item}),
            _line(random, "carts.ad_item", cart, item),
            _line(random, "orders.confirm_payment", cart.replace("cart", "order"), {}),
            _line(random, "carts.add_item", streams.stock("p07"), item),
            _line(random, "carts.add_item", cart, {"quantity": "many"}),
            _line(random, "carts.add_item", cart, {"product_id": "p07", "quantity": 0}),
            _line(random, "carts.add_item", cart, {**item, "price": 1}),
            _line(random, "carts.check_out", cart, {"customer_id": "\0"}),
        ]
    )


def _with_a_borrowed_id(random: Random, lines: list[str]) -> str:
    """Return a command under the id of another one, which is for another stream."""
    first = json.loads(lines[0])
    borrowed = json.loads(_line(random, "carts.remove_item", "cart-0001", {"product_id": "p01"}))
    return json.dumps({**borrowed, "id": first["id"]})


def _insert_later(random: Random, lines: list[str], line: str, *, after: int = 0) -> None:
    lines.insert(random.randrange(after + 1, min(after + 200, len(lines)) + 1), line)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in command_lines())

"""What the shop's rules say, each in a small story in memory."""

from collections.abc import Iterator

import pytest

from examples.shop.carts import Cart
from examples.shop.command_file import Sent, Unreadable, read_lines
from examples.shop.messages import (
    AddItem,
    CheckOut,
    CommandRefused,
    OrderCancelled,
    Pay,
    PublicCommand,
    Reason,
    ReceiveStock,
    RemoveItem,
)
from examples.shop.orders import TIME_TO_PAY, Order
from examples.shop.payments import DECLINED, Payment
from examples.shop.shop import Shop, open_shop
from examples.shop.stock import Stock
from sourced import new_id
from sourced_testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shop(clock: FakeClock) -> Iterator[Shop]:
    shop = open_shop("memory://", clock=clock)
    with shop.app:
        yield shop


def send(shop: Shop, *sent: tuple[str, PublicCommand]) -> None:
    for stream_id, command in sent:
        shop.app.dispatch(command, to=stream_id, id=new_id())
    shop.app.drain()


def order_status(shop: Shop) -> tuple[str, str]:
    order = shop.orders.all(None)["order-1"]
    return order.status, order.reason


def refusals(shop: Shop, stream_id: str) -> list[Reason]:
    refused = shop.app.read_stream(stream_id, types=[CommandRefused])
    return [event.reason for event in refused if isinstance(event, CommandRefused)]


DELIVERY = ("stock-p01", ReceiveStock(quantity=5))
ITEM = ("cart-1", AddItem(product_id="p01", quantity=2))
CHECK_OUT = ("cart-1", CheckOut(customer_id="c001"))
PAYMENT = ("payment-1", Pay(card="1234"))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([DELIVERY, ITEM, CHECK_OUT, PAYMENT], id="payment last"),
        pytest.param([DELIVERY, PAYMENT, ITEM, CHECK_OUT], id="payment first"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_an_order_is_placed_when_goods_and_money_are_there(
    shop: Shop, sent: list[tuple[str, PublicCommand]], at_once: bool
) -> None:
    for some in [sent] if at_once else [[one] for one in sent]:
        send(shop, *some)

    assert order_status(shop) == ("placed", "")
    assert shop.app.load(Stock, "stock-p01").state.reserved == {"order-1": 2}
    assert shop.sales.totals("product_id", None) == {"p01": (2, 930)}


def test_an_order_waits_while_an_answer_is_missing(shop: Shop) -> None:
    send(shop, DELIVERY, ITEM, CHECK_OUT)

    assert order_status(shop) == ("waiting", "")
    assert shop.app.load(Order, "order-1").state.is_reserved == {"p01": True}


def test_an_order_that_is_not_paid_in_time_is_cancelled_and_its_goods_are_put_back(
    shop: Shop, clock: FakeClock
) -> None:
    send(shop, DELIVERY, ITEM, CHECK_OUT)

    clock.advance(TIME_TO_PAY.total_seconds())
    shop.app.drain()

    assert order_status(shop) == ("cancelled", "not paid in time")
    assert shop.app.load(Stock, "stock-p01").state.free == 5


def test_the_end_of_the_time_to_pay_means_nothing_to_a_paid_order(
    shop: Shop, clock: FakeClock
) -> None:
    send(shop, DELIVERY, ITEM, CHECK_OUT, PAYMENT)

    clock.advance(TIME_TO_PAY.total_seconds())
    shop.app.drain()

    assert order_status(shop) == ("placed", "")


def test_an_order_without_goods_is_cancelled_and_its_money_given_back(shop: Shop) -> None:
    sold_out = ("cart-1", AddItem(product_id="p13"))

    send(shop, DELIVERY, ITEM, sold_out, CHECK_OUT, PAYMENT)

    assert order_status(shop) == ("cancelled", "out of stock")
    assert shop.app.load(Stock, "stock-p01").state.free == 5
    assert shop.app.load(Payment, "payment-1").state.collected == 0
    assert shop.sales.totals("product_id", None) == {}


def test_an_order_with_neither_goods_nor_money_says_that_the_goods_are_missing(
    shop: Shop, clock: FakeClock
) -> None:
    send(shop, ITEM, CHECK_OUT)
    clock.advance(TIME_TO_PAY.total_seconds())
    shop.app.drain()

    (cancelled,) = shop.app.read_stream("order-1", types=[OrderCancelled])
    assert cancelled == OrderCancelled(reason="out of stock")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ([CHECK_OUT], Reason.CART_EMPTY),
        ([("cart-1", AddItem(product_id="p99"))], Reason.UNKNOWN_PRODUCT),
        ([("cart-1", AddItem(product_id="p01", quantity=11))], Reason.TOO_MANY),
        ([("cart-1", RemoveItem(product_id="p01"))], Reason.NOT_IN_CART),
        ([ITEM, CHECK_OUT, ITEM], Reason.CART_CHECKED_OUT),
        ([ITEM, CHECK_OUT, CHECK_OUT], Reason.CART_CHECKED_OUT),
        ([ITEM, CHECK_OUT, ("cart-1", RemoveItem(product_id="p01"))], Reason.CART_CHECKED_OUT),
    ],
)
def test_what_a_cart_refuses_is_a_fact_in_its_stream(
    shop: Shop, sent: list[tuple[str, PublicCommand]], reason: Reason
) -> None:
    send(shop, *sent)

    assert refusals(shop, "cart-1") == [reason]
    assert shop.app.groups.status(Cart).parked == 0


def test_a_declined_card_may_be_followed_by_a_good_one_but_by_one_only(shop: Shop) -> None:
    declined = ("payment-1", Pay(card=DECLINED))

    send(shop, DELIVERY, ITEM, CHECK_OUT, declined, PAYMENT, ("payment-1", Pay(card="4321")))

    assert refusals(shop, "payment-1") == [Reason.CARD_DECLINED, Reason.PAID_ALREADY]
    assert order_status(shop) == ("placed", "")


def test_a_payment_that_comes_too_late_is_refused(shop: Shop, clock: FakeClock) -> None:
    send(shop, DELIVERY, ITEM, CHECK_OUT)
    clock.advance(TIME_TO_PAY.total_seconds())
    shop.app.drain()

    send(shop, PAYMENT)

    assert refusals(shop, "payment-1") == [Reason.PAYMENT_TOO_LATE]
    assert order_status(shop) == ("cancelled", "not paid in time")


def test_a_product_that_was_taken_out_of_the_cart_is_not_ordered(shop: Shop) -> None:
    other = ("cart-1", AddItem(product_id="p02"))

    send(shop, DELIVERY, ITEM, other, ("cart-1", RemoveItem(product_id="p02")), CHECK_OUT)

    order = shop.app.load(Order, "order-1").state
    assert [line.product_id for line in order.lines] == ["p01"]


ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
GOOD = '{"id": "%s", "type": "%s", "to": "%s", "payload": {"product_id": "p01"}}'


def test_a_line_that_is_a_command_is_read() -> None:
    (line,) = read_lines([(GOOD % (ID, "carts.add_item", "cart-1")).encode()])

    assert isinstance(line, Sent)
    assert (str(line.id), line.to) == (ID, "cart-1")
    assert line.command == AddItem(product_id="p01", quantity=1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not JSON"),
        ('{"id": ', "not JSON"),
        ("[]", "not a command"),
        ("{}", "not a command"),
        (GOOD % ("17", "carts.add_item", "cart-1"), "bad id"),
        (GOOD % (ID, "carts.ad_item", "cart-1"), "unknown command"),
        (GOOD % (ID, "orders.confirm_line", "order-1"), "unknown command"),
        (GOOD % (ID, "carts.add_item", "stock-p01"), "wrong stream"),
        (GOOD % (ID, "carts.check_out", "cart-1"), "bad payload"),
        ((GOOD % (ID, "carts.add_item", "cart-1")).replace("p01", "p01\\u0000"), "bad payload"),
        (GOOD.replace('{"product_id": "p01"}', "[]") % (ID, "carts.add_item", "c"), "bad payload"),
        (GOOD.replace('"%s", "to"', '["%s"], "to"') % (ID, "x", "cart-1"), "unknown command"),
    ],
)
def test_a_line_that_is_no_command_says_why(line: str, reason: str) -> None:
    (read,) = read_lines([line.encode()])

    assert isinstance(read, Unreadable)
    assert read.reason == reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b'{"id": "\xe4"}\n', "not UTF-8", id="Latin-1"),
        pytest.param(b"\xff\xfe{\x00}\x00\n", "not UTF-8", id="UTF-16"),
        pytest.param(b"[" * 200_000 + b"\n", "nested too deeply", id="lists"),
        pytest.param(b'{"id":' * 200_000 + b"\n", "nested too deeply", id="objects"),
    ],
)
def test_a_line_that_no_reader_can_take_is_told_by_its_number_and_the_rest_is_read(
    line: bytes, reason: str
) -> None:
    good = (GOOD % (ID, "carts.add_item", "cart-1")).encode()

    read = list(read_lines([good, line, good]))

    assert [type(each) for each in read] == [Sent, Unreadable, Sent]
    refused = read[1]
    assert isinstance(refused, Unreadable)
    assert (refused.number, refused.reason) == (2, reason)
    assert 0 < len(refused.detail) < 200


@pytest.mark.parametrize("depth", [10, *range(900, 1_000, 5), 9_990, 100_000])
def test_no_depth_of_nesting_ends_the_reading(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    whole = GOOD % (ID, "carts.add_item", "cart-1")
    lines = [
        whole.replace(f'"{ID}"', nested),
        whole.replace('"carts.add_item"', nested),
        whole.replace('"cart-1"', nested),
        whole.replace('{"product_id": "p01"}', nested),
        whole.replace('"p01"', nested),
        whole,
    ]

    read = list(read_lines(line.encode() for line in lines))

    assert [isinstance(each, Unreadable) for each in read] == [True] * 5 + [False]

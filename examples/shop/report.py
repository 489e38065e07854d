"""Tells what was taken in, what was decided, what came of it, and what was checked."""

from collections import Counter
from collections.abc import Mapping

from examples.shop.checks import checks, fingerprint
from examples.shop.intake import Intake
from examples.shop.recount import Recount, recount
from examples.shop.shop import Shop

WIDTH = 100


def report(shop: Shop, intake: Intake) -> bool:
    """Print it all; return whether all checks passed."""
    count = recount(shop.app)
    _tell_intake(intake)
    _tell_decisions(count)
    _tell_orders(count)
    _tell_sales(count)
    _tell_lag(shop)
    _tell_tree(shop, count)
    return _tell_checks(shop, count, intake)


def _tell_intake(intake: Intake) -> None:
    _heading(f"{intake.lines:,} lines")
    print(f"{intake.recorded:7,}  new commands")
    print(f"{intake.known:7,}  commands known from an earlier run")
    print(f"{intake.repeats:7,}  repeats of an earlier line, recorded once")
    for reason, number in intake.unreadable.most_common():
        first = intake.first[reason]
        _row(number, reason, f"line {first.number}: {first.detail}")


def _tell_decisions(count: Recount) -> None:
    decided = count.decided()
    _heading(f"{decided:,} commands decided")
    print(f"{decided - count.refused.total():7,}  accepted")
    for reason, number in count.refused.most_common():
        _row(number, reason, f"line {count.first_refused[reason]} was the first")


def _tell_orders(count: Recount) -> None:
    _heading(f"{len(count.orders):,} orders")
    outcomes = Counter((order.status, order.reason) for order in count.orders.values())
    for (status, reason), number in outcomes.most_common():
        _row(number, status, reason)


def _tell_sales(count: Recount) -> None:
    sold = count.sold()
    units = sum(units for units, _ in sold.values())
    _heading(f"{units:,} units sold for {_money(count.collected.total())}")
    _tell_best("products", sold)
    _tell_best("customers", count.sold(by_customer=True))


def _tell_best(what: str, sold: Mapping[str, tuple[int, int]]) -> None:
    best = sorted(sold.items(), key=lambda item: (-item[1][1], item[0]))[:3]
    named = ", ".join(f"{name} {_money(revenue)}" for name, (_, revenue) in best)
    _row(len(sold), what, f"best: {named}")


def _tell_lag(shop: Shop) -> None:
    _heading("Lag")
    for group in shop.app.store.inspect.groups():
        _row(group.pending, group.name, f"{group.parked} streams parked")


def _tell_tree(shop: Shop, count: Recount) -> None:
    """Draw the causation tree of a placed order, one with few lines, to fit a screen."""
    placed = count.placed().items()
    sizes = [(len(order.bought.lines), number) for number, order in placed]
    fitting = [(size, number) for size, number in sizes if size > 1 and number in count.check_outs]
    if not fitting:
        return
    _, number = min(fitting)
    _heading(f"What checking out cart-{number} caused")
    print(shop.app.trace(count.check_outs[number]))


def _tell_checks(shop: Shop, count: Recount, intake: Intake) -> bool:
    checked = checks(shop, count, intake)
    _heading(f"Checks ({count.messages:,} messages, fingerprint {fingerprint(count)})")
    for what, holds in checked.items():
        print(f"{'ok' if holds else 'FAILED':>7}  {what}")
    return all(checked.values())


def _heading(text: str) -> None:
    print(f"\n{text}")


def _row(number: int, what: str, detail: str) -> None:
    line = f"{number:7,}  {what:24} {detail}".rstrip()
    print(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…")


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f}"

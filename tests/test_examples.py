"""The shop runs from a file of commands to checked totals, and a second time changes nothing."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from shutil import copyfile

import pytest
from sqlalchemy import update

from examples.shop.__main__ import COMMANDS
from examples.shop.checks import checks
from examples.shop.command_file import read_lines
from examples.shop.generate import command_lines
from examples.shop.intake import take_in
from examples.shop.listing import OrderListing
from examples.shop.recount import recount, whole_log
from examples.shop.rows import orders
from examples.shop.sales import Sales
from examples.shop.shop import Shop, open_shop

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.integration


def run_shop(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.shop", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )


def fingerprint_in(output: str) -> str:
    found = re.search(r"fingerprint (\w+)", output)
    assert found, output
    return found[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('shop') / 'shop.db'}"


@pytest.fixture(scope="module")
def first_run(store: str) -> "subprocess.CompletedProcess[str]":
    """The shop has run on `store`."""
    return run_shop("--store", store, "--workers", "2", "--threads", "2")


@pytest.fixture
def shop(store: str, first_run: object) -> Shop:
    return open_shop(store)


def failed_checks(shop: Shop) -> list[str]:
    with COMMANDS.open("rb") as lines:
        intake = take_in(shop.app, read_lines(lines))
    return [what for what, holds in checks(shop, recount(shop.app), intake).items() if not holds]


def test_the_command_file_is_what_the_generator_makes() -> None:
    assert COMMANDS.read_text().splitlines() == command_lines()


def test_the_shop_on_sqlite_ends_with_its_checks_passed(
    first_run: "subprocess.CompletedProcess[str]",
) -> None:
    assert first_run.returncode == 0, first_run.stdout + first_run.stderr
    assert "All checks passed." in first_run.stdout


def test_a_second_run_changes_nothing(
    store: str, first_run: "subprocess.CompletedProcess[str]", shop: Shop
) -> None:
    before = [message.meta.id for message in whole_log(shop.app)]

    again = run_shop("--store", store)

    assert again.returncode == 0, again.stdout + again.stderr
    assert "0  new commands" in again.stdout
    assert fingerprint_in(again.stdout) == fingerprint_in(first_run.stdout)
    assert [message.meta.id for message in whole_log(shop.app)] == before


def test_the_totals_in_memory_are_those_on_sqlite(
    first_run: "subprocess.CompletedProcess[str]",
) -> None:
    in_memory = run_shop("--store", "memory://", "--threads", "2")

    assert in_memory.returncode == 0, in_memory.stdout + in_memory.stderr
    assert fingerprint_in(in_memory.stdout) == fingerprint_in(first_run.stdout)


def test_a_read_model_that_is_wrong_fails_the_run_until_it_is_replayed(
    store: str, shop: Shop
) -> None:
    with shop.app.transaction() as transaction:
        transaction.connection.execute(update(orders).values(status="lost"))

    wrong = run_shop("--store", store)
    shop.app.groups.reset(OrderListing.group)
    shop.app.drain()

    assert wrong.returncode == 1
    assert "FAILED  the list of orders is what the log says" in wrong.stdout
    assert failed_checks(shop) == []


def test_replaying_the_sales_does_not_double_them(shop: Shop) -> None:
    shop.app.groups.reset(Sales.group)

    drained = shop.app.drain()

    assert drained.handled > 0
    assert failed_checks(shop) == []


@pytest.fixture(scope="module")
def few_commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The deliveries, and all that concerns nine carts."""
    few = re.compile(r'"to": "(stock-|(cart|payment)-000)')
    path = tmp_path_factory.mktemp("few") / "commands.jsonl"
    path.write_text("\n".join(line for line in command_lines() if few.search(line)))
    return path


@pytest.fixture(scope="module")
def few_handled(few_commands: Path) -> Path:
    """The database of a shop that has handled them, with nothing left outside the file."""
    path = few_commands.with_name("shop.db")
    ran = run_shop("--store", f"sqlite:///{path}", "--commands", str(few_commands))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def test_a_line_that_no_reader_can_take_is_counted_and_the_run_goes_on(
    few_commands: Path, tmp_path: Path
) -> None:
    head, _, rest = few_commands.read_bytes().partition(b"\n")
    spoilt = tmp_path / "commands.jsonl"
    spoilt.write_bytes(b"\n".join([head, b'{"id": "\xe4"}', b"[" * 200_000, rest]))

    ran = run_shop("--store", "memory://", "--commands", str(spoilt))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r" 1  not UTF-8 +line 2: ", ran.stdout)
    assert re.search(r" 1  nested too deeply +line 3: ", ran.stdout)
    assert "All checks passed." in ran.stdout


PAYLOAD_OF_FIRST = """
UPDATE sourced_messages SET payload = json_set(payload, :path, :value)
WHERE position = (SELECT min(position) FROM sourced_messages WHERE type = :type)
"""
TYPE_OF_LAST = """
UPDATE sourced_messages SET type = :other
WHERE position = (SELECT max(position) FROM sourced_messages WHERE type = :type)
"""
CAUSE_OF_FIRST = """
UPDATE sourced_messages
SET causation_id = (SELECT id FROM sourced_messages WHERE type = :other ORDER BY position LIMIT 1)
WHERE position = (SELECT min(position) FROM sourced_messages WHERE type = :type)
"""
ONE_MORE_LIKE_THE_FIRST = """
INSERT INTO sourced_messages
SELECT (SELECT max(position) + 1 FROM sourced_messages), stream,
       (SELECT max(seq) + 1 FROM sourced_messages AS other WHERE other.stream = message.stream),
       randomblob(16), :other, version, created_at, causation_id, correlation_id, size, meta,
       coalesce(:payload, payload)
FROM sourced_messages AS message
WHERE type = :type ORDER BY position LIMIT 1
"""
SALE_OF_ANOTHER_ORDER = "UPDATE sales SET order_id = 'order-9999' WHERE rowid = 1"
SALE_OF_NOTHING = """
INSERT INTO sales (order_id, product_id, customer_id, units, revenue)
SELECT one.order_id, other.product_id, one.customer_id, 0, 0 FROM sales AS one, sales AS other
WHERE (one.order_id, other.product_id) NOT IN (SELECT order_id, product_id FROM sales) LIMIT 1
"""

REFUSAL = '{"command": "carts.add_item", "reason": "unknown product"}'

FALSIFICATIONS = [
    pytest.param(
        PAYLOAD_OF_FIRST,
        {"type": "carts.item_added", "path": "$.price", "value": 1},
        "every item has the catalogue's price",
        id="an item's price",
    ),
    pytest.param(
        PAYLOAD_OF_FIRST,
        {"type": "carts.checked_out", "path": "$.total", "value": 1},
        "every cart was checked out with what was put into it",
        id="a cart's total",
    ),
    pytest.param(
        PAYLOAD_OF_FIRST,
        {"type": "carts.checked_out", "path": "$.lines[0].quantity", "value": 7},
        "every cart was checked out with what was put into it",
        id="a cart's line",
    ),
    pytest.param(
        TYPE_OF_LAST,
        {"type": "carts.item_added", "other": "carts.item_removed"},
        "every command was decided as it asked, or refused",
        id="an event's type",
    ),
    pytest.param(
        PAYLOAD_OF_FIRST,
        {"type": "orders.started", "path": "$.total", "value": 1},
        "every order started with what its cart was checked out with",
        id="an order's total",
    ),
    pytest.param(
        PAYLOAD_OF_FIRST,
        {"type": "orders.placed", "path": "$.total", "value": 1},
        "every order was placed for its total or cancelled, once",
        id="a placed order's total",
    ),
    pytest.param(
        PAYLOAD_OF_FIRST,
        {"type": "payments.collected", "path": "$.amount", "value": 1},
        "the money collected is that of the orders placed",
        id="a payment",
    ),
    pytest.param(
        CAUSE_OF_FIRST,
        {"type": "carts.item_added", "other": "stock.receive"},
        "every command was decided",
        id="an event's cause",
    ),
    pytest.param(
        ONE_MORE_LIKE_THE_FIRST,
        {"type": "carts.item_added", "other": "shop.command_refused", "payload": REFUSAL},
        "none was decided twice",
        id="a second decision",
    ),
    pytest.param(
        ONE_MORE_LIKE_THE_FIRST,
        {"type": "carts.add_item", "other": "carts.add_item", "payload": None},
        "the log has as many commands as were taken in",
        id="a command that nobody sent",
    ),
    pytest.param(
        SALE_OF_ANOTHER_ORDER,
        {},
        "the rows of the sales are what the log says",
        id="a sale's order",
    ),
    pytest.param(
        SALE_OF_NOTHING,
        {},
        "the rows of the sales are what the log says",
        id="a sale of nothing",
    ),
]


@pytest.mark.parametrize(("falsification", "values", "check"), FALSIFICATIONS)
def test_what_is_falsified_between_runs_fails_its_check(
    falsification: str,
    values: dict[str, object],
    check: str,
    few_commands: Path,
    few_handled: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "shop.db"
    copyfile(few_handled, path)
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(falsification, values).rowcount == 1

    ran = run_shop(
        "--store", f"sqlite:///{path}", "--commands", str(few_commands), "--workers", "1"
    )

    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert f" FAILED  {check}\n" in ran.stdout

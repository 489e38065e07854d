"""The shop runs from a file of commands to checked totals, and a second time changes nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from examples.shop.__main__ import COMMANDS
from examples.shop.checks import checks
from examples.shop.generate import command_lines
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
    return [what for what, holds in checks(shop, recount(shop.app)).items() if not holds]


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

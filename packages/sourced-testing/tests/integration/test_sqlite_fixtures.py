"""The fixtures on SQLite: a file of its own for every test, and never a database in use."""

from pathlib import Path

import pytest

from sourced._store import Store
from sourced._stores import open_store
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given, message

pytest_plugins = ["pytester"]

A_TEST = """
    from sourced_testing.conformance._given import message

    def test_one(sourced_store):
        assert type(sourced_store).__module__.startswith("sourced_sqlalchemy")
        assert sourced_store.append([message()]).messages[0].seq == 1

    def test_two(sourced_store):
        assert sourced_store.append([message()]).messages[0].seq == 1
"""


def test_the_sqlite_store_is_empty_and_goes_by_the_fake_clock(
    sourced_sqlite: Store, sourced_clock: FakeClock
) -> None:
    given = Given(sourced_sqlite, sourced_clock)
    given.group()
    given.due(after=60)

    sourced_clock.advance(60)
    sourced_sqlite.promote_due()

    assert given.drained() == [("a", 1)]


@pytest.mark.parametrize("store", ["sqlite", "sqlite:///tests.db"])
def test_every_test_gets_an_empty_store(pytester: pytest.Pytester, store: str) -> None:
    pytester.makepyfile(A_TEST)

    result = pytester.runpytest_subprocess(f"--sourced-store={store}", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=2)


def test_a_database_that_holds_a_store_is_refused_and_left_alone(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    shop = open_store(url)
    shop.install()
    shop.append([message()])
    pytester.makepyfile("def test_store(sourced_store): pass")

    result = pytester.runpytest_subprocess(f"--sourced-store={url}", "-p", "no:cacheprovider")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*holds a store already*"])
    assert shop.inspect.status().messages == 1
    shop.close()

"""The pytest plugin: imports only pytest and the standard library, the rest inside fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sourced._store import Store
    from sourced_testing import FakeClock

# The suite's asserts explain themselves as a test module's do, also from an editable install.
pytest.register_assert_rewrite("sourced_testing.conformance")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says which store the tests run on."""
    parser.getgroup("sourced").addoption(
        "--sourced-store",
        default="memory",
        metavar="STORE",
        help="what the fixture sourced_store opens: memory (default), sqlite (a fresh file per "
        "test), or the URL of an empty database, which is installed and dropped for each test",
    )


@pytest.fixture
def sourced_clock() -> FakeClock:
    """A clock that moves only when the test advances it."""
    from sourced_testing import FakeClock

    return FakeClock()


@pytest.fixture
def sourced_store(
    request: pytest.FixtureRequest, sourced_clock: FakeClock, tmp_path: Path
) -> Iterator[Store]:
    """An empty store whose clock is `sourced_clock`; `--sourced-store` says of which kind."""
    from sourced_testing._stores import opened

    name = request.config.getoption("--sourced-store")
    with opened(str(name), sourced_clock, tmp_path) as store:
        yield store


@pytest.fixture
def sourced_sqlite(sourced_clock: FakeClock, tmp_path: Path) -> Iterator[Store]:
    """An empty SQLite store in a file of its own, whose clock is `sourced_clock`."""
    from sourced_testing._stores import opened

    with opened("sqlite", sourced_clock, tmp_path) as store:
        yield store


@pytest.fixture(scope="session")
def sourced_postgres() -> Iterator[str]:
    """The URL of a PostgreSQL database, one server per run: `SOURCED_TEST_POSTGRES` or embedded."""
    from sourced_testing._postgres import server

    with server() as url:
        yield url

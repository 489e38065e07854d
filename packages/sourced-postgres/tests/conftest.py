"""What the tests of this package share: a fake clock, and stores in a schema of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from sourced_postgres import PostgresStore, open_store
from sourced_testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when a test advances it."""
    return FakeClock()


@pytest.fixture
def schema() -> str:
    """The name of a schema that nobody else uses."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def url(sourced_postgres: str, schema: str) -> str:
    """The URL of the store: a schema of its own in the server's database."""
    joiner = "&" if "?" in sourced_postgres else "?"
    return f"{sourced_postgres}{joiner}schema={schema}"


@pytest.fixture
def store(url: str, clock: FakeClock) -> Iterator[PostgresStore]:
    """A store whose clock tests turn, installed and empty."""
    store = open_store(url, clock=clock)
    store.install()
    yield store
    store.uninstall()
    store.close()


@pytest.fixture
def other_store(store: PostgresStore, url: str, clock: FakeClock) -> Iterator[PostgresStore]:
    """A second store on the same schema, with connections of its own."""
    assert store.installed()
    other = open_store(url, clock=clock)
    yield other
    other.close()


class OwnTable:
    """A table of the user's own in the store's database, through connections of the user's own."""

    def __init__(self, url: str, name: str) -> None:
        self._url, self._table = url, sql.Identifier(name)
        self._execute("CREATE TABLE {} (value text PRIMARY KEY)")

    def begin(self) -> AbstractContextManager[psycopg.Connection]:
        return psycopg.connect(self._url)

    def insert(self, connection: psycopg.Connection, value: str) -> None:
        statement = sql.SQL("INSERT INTO {} (value) VALUES (%s)").format(self._table)
        connection.execute(statement, [value])

    def values(self) -> list[str]:
        with psycopg.connect(self._url) as connection:
            query = sql.SQL("SELECT value FROM {} ORDER BY value").format(self._table)
            return [value for (value,) in connection.execute(query).fetchall()]

    def drop(self) -> None:
        self._execute("DROP TABLE {}")

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._url) as connection:
            connection.execute(sql.SQL(statement).format(self._table))


@pytest.fixture
def user_table(store: PostgresStore, sourced_postgres: str, schema: str) -> Iterator[OwnTable]:
    """The user's own table."""
    assert store.installed()
    table = OwnTable(sourced_postgres, f"own_{schema}")
    yield table
    table.drop()

"""What the tests of this package share: a fake clock, and stores on one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Engine, MetaData, Table, Text, create_engine

from sourced_sqlalchemy import SQLAlchemyStore, open_store
from sourced_testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when a test advances it."""
    return FakeClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "shop.db"


@pytest.fixture
def url(file: Path) -> str:
    """The URL of the database."""
    return f"sqlite:///{file}"


@pytest.fixture
def store(url: str, clock: FakeClock) -> Iterator[SQLAlchemyStore]:
    """A store on the file, installed and empty, as it is by default."""
    store = open_store(url, clock=clock)
    store.install()
    yield store
    store.close()


@pytest.fixture
def other_store(store: SQLAlchemyStore, url: str, clock: FakeClock) -> Iterator[SQLAlchemyStore]:
    """A second store on the same file, with connections of its own."""
    assert store.installed()
    other = open_store(url, clock=clock)
    yield other
    other.close()


class OwnTable:
    """A table of the user's own in the store's file, through an engine of the user's own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.table = Table("own_rows", MetaData(), Column("value", Text, primary_key=True))
        self.table.metadata.create_all(engine)

    def begin(self) -> AbstractContextManager[Connection]:
        return self.engine.begin()

    def insert(self, connection: Connection, value: str) -> None:
        connection.execute(self.table.insert().values(value=value))

    def values(self) -> list[str]:
        with self.engine.connect() as connection:
            query = self.table.select().order_by(self.table.c.value)
            return list(connection.execute(query).scalars())


@pytest.fixture
def user_table(store: SQLAlchemyStore, url: str) -> Iterator[OwnTable]:
    """The user's own table, through an engine as `create_engine` makes it."""
    assert store.installed()
    engine = create_engine(url)
    yield OwnTable(engine)
    engine.dispose()

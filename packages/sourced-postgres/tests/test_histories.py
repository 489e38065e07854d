"""Random histories on PostgreSQL; see `sourced_testing.conformance.histories`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sourced._store import Store
from sourced_postgres import open_store
from sourced_testing import FakeClock
from sourced_testing.conformance.histories import HistoriesConformance, NewStore


@pytest.fixture
def new_store(url: str, schema: str, sourced_postgres: str) -> Iterator[NewStore]:
    """One schema, emptied for each history: making one takes longer than most histories."""
    maker = open_store(url, clock=FakeClock())
    maker.install()
    with psycopg.connect(sourced_postgres, autocommit=True) as connection:

        @contextmanager
        def opened(clock: FakeClock) -> Iterator[Store]:
            connection.execute(_emptied(connection, schema))
            store: Any = open_store(url, clock=clock, hints=False, pool_size=2)
            yield store
            store.close()

        yield opened
    maker.uninstall()
    maker.close()


def _emptied(connection: psycopg.Connection, schema: str) -> sql.Composed:
    rows = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'migrations'",
        [schema],
    ).fetchall()
    tables = sql.SQL(", ").join([sql.Identifier(schema, name) for (name,) in rows])
    return sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables)


class TestHistories(HistoriesConformance): ...

"""Rows of deliveries come, move and go; what they leave behind is used again (T40)."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from sourced._store import StreamCommit, WorkerInfo
from sourced_postgres import PostgresStore, open_store
from sourced_testing.conformance._given import message

STREAMS, ROUNDS = 2_000, 25


@pytest.fixture
def store(cluster_url: str) -> Iterator[PostgresStore]:
    """A store by the server's own clock, on a server where nobody keeps a snapshot."""
    store = open_store(cluster_url, hints=False)
    store.install()
    yield store
    store.uninstall()
    store.close()


@pytest.fixture
def cluster_url(sourced_postgres: str, schema: str) -> str:
    return f"{sourced_postgres}?schema={schema}"


def test_handling_the_same_streams_again_and_again_makes_deliveries_no_larger(
    store: PostgresStore, observer: psycopg.Connection, schema: str
) -> None:
    """Fifty thousand acks, with a vacuum now and then, as the table's own settings ask for."""
    observer.autocommit = True
    store.register("G", ["added"])
    store.join(WorkerInfo(id="w"))
    vacuum = sql.SQL("VACUUM {}").format(sql.Identifier(schema, "deliveries"))
    sizes: list[int] = []

    for _ in range(ROUNDS):
        for first in range(0, STREAMS, 500):
            store.append([message(f"s{n}") for n in range(first, first + 500)])
        while claims := store.claim("G", "w", max_streams=500):
            store.commit("w", [StreamCommit(claim=one, ack_seq=one.next_seq) for one in claims])
        observer.execute(vacuum)
        row = observer.execute(
            "SELECT pg_total_relation_size(%s)", [f'"{schema}".deliveries']
        ).fetchone()
        sizes.append(row[0] if row else 0)

    assert max(sizes[5:]) <= 2 * max(sizes[:5])


def test_deliveries_are_vacuumed_early(
    store: PostgresStore, observer: psycopg.Connection, schema: str
) -> None:
    """A fiftieth of the rows and a thousand more: long before a table of the usual settings."""
    assert store.installed()
    row = observer.execute(
        "SELECT reloptions FROM pg_class WHERE oid = %s::regclass", [f'"{schema}".deliveries']
    ).fetchone()

    assert row is not None
    assert {
        "autovacuum_vacuum_threshold=1000",
        "autovacuum_vacuum_scale_factor=0.02",
        "autovacuum_vacuum_cost_delay=0",
    } <= set(row[0])

"""Servers that take no writes: what a former primary is after a fail-over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from pg_cluster import Cluster
from psycopg import Connection

from sourced._store import StreamCommit, WorkerInfo
from sourced.errors import StoreUnavailableError
from sourced_postgres import PostgresStore, open_store
from sourced_testing.conformance._given import message

SESSIONS = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'worker' ORDER BY backend_start
"""


@pytest.fixture
def worker(url: str) -> Iterator[PostgresStore]:
    """A store that goes by the database's clock, with a worker and work for it."""
    worker = open_store(f"{url}&application_name=worker", pool_size=3)
    worker.install()
    worker.register("G", ["added"])
    worker.append([message("a")])
    worker.join(WorkerInfo(id="w"))
    assert worker.heartbeat("w")
    yield worker
    worker.uninstall()
    worker.close()


@pytest.fixture
def demote(cluster: Cluster) -> Iterator[Callable[[bool], None]]:
    """Let the server take writes, or not; sessions that are open stay open."""

    def set_read_only(is_read_only: bool) -> None:
        with cluster.connect() as own:
            value = "on" if is_read_only else "off"
            own.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
            own.execute("SELECT pg_reload_conf()")
        cluster.await_setting("default_transaction_read_only", value)

    yield set_read_only
    set_read_only(False)


VERBS: dict[str, Callable[[PostgresStore], object]] = {
    "claim": lambda store: store.claim("G", "w"),
    "append": lambda store: store.append([message("b")]),
    "heartbeat": lambda store: store.heartbeat("w"),
    "reap": lambda store: store.reap(timedelta(minutes=1)),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_server_that_takes_no_writes_is_unavailable_and_left(
    worker: PostgresStore, demote: Callable[[bool], None], observer: Connection, name: str
) -> None:
    """Its connections go, so that the next ones find the server that has taken its place."""
    VERBS[name](worker)
    before = {pid for (pid,) in observer.execute(SESSIONS)}
    demote(True)

    with pytest.raises(StoreUnavailableError, match="takes no writes"):
        VERBS[name](worker)
    demote(False)

    VERBS[name](worker)

    after = {pid for (pid,) in observer.execute(SESSIONS)}
    assert after - before
    assert before - after


def test_a_sync_on_a_server_that_takes_no_writes_is_no_failure_of_the_sync(
    worker: PostgresStore, demote: Callable[[bool], None]
) -> None:
    """It counts no attempt, and parks nothing."""
    (claim,) = worker.claim("G", "w")
    part = StreamCommit(
        claim=claim, ack_seq=1, sync=lambda own: own.execute("CREATE TABLE mine ()")
    )
    demote(True)

    with pytest.raises(StoreUnavailableError, match="takes no writes"):
        worker.commit("w", [part])

"""The pool: what it does while the server is away, and who never waits for it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from pg_cluster import Cluster, binaries, own_cluster
from tcp_proxy import Proxy

from sourced._store import StreamCommit, WorkerInfo
from sourced.errors import StoreUnavailableError, UsageError
from sourced_postgres import PostgresStore, _connections
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given, message
from sourced_testing.conformance._race import Running

PATIENCE = 20.0


def await_attempts(caplog: pytest.LogCaptureFixture, count: int) -> None:
    """Return when the pool has tried to connect so many times in vain."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if sum("error connecting" in record.getMessage() for record in caplog.records) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("the pool does not try any more")


def test_connections_come_back_soon_after_the_server_however_long_it_was_away(
    store: PostgresStore,
    cluster: Cluster,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T32: the pauses between attempts do not grow."""
    caplog.set_level(logging.WARNING, logger="psycopg.pool")
    monkeypatch.setattr(_connections, "_PATIENCE", 0.1)
    store.close()
    store.append([message("a")])  # by a new pool
    cluster.stop()
    waiting = Running(lambda: store.append([message("a")]))
    try:
        waiting.start()
        await_attempts(caplog, 20)
    finally:
        cluster.start()
    began = time.monotonic()

    assert waiting.outcome().error is None
    assert time.monotonic() - began < 5


def test_a_server_that_stays_away_is_named_with_the_reason(
    store: PostgresStore, opened: Callable[..., PostgresStore], schema: str
) -> None:
    """No password is in it."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        url = f"postgresql://postgres:hunter2@127.0.0.1:{port}/postgres?schema={schema}"
        away = opened(url, pool_timeout=timedelta(seconds=0.5))

        with pytest.raises(StoreUnavailableError, match="refused") as refused:
            away.append([message("a")])

    assert f"127.0.0.1:{port}/postgres" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_pool_of_which_all_is_in_use_says_so(
    opened: Callable[..., PostgresStore], url: str
) -> None:
    small = opened(url, pool_size=1, pool_timeout=timedelta(seconds=0.2))

    with small.connection(), pytest.raises(StoreUnavailableError, match="pool_size"):
        small.append([message("a")])
    small.append([message("a")])


def test_a_heartbeat_waits_for_nobody_who_has_a_connection(
    given: Given, opened: Callable[..., PostgresStore], url: str, clock: FakeClock
) -> None:
    """T15: syncs that take long, on every connection of the pool, cost no worker its claims."""
    given.group()
    given.appended("a")
    claim = given.claimed()
    small = opened(url, clock=clock, pool_size=1, pool_timeout=timedelta(seconds=0.5))
    beats: list[bool] = []

    def sync(_connection: psycopg.Connection) -> None:
        beats.append(small.heartbeat(claim.worker))

    small.commit(claim.worker, [StreamCommit(claim=claim, ack_seq=1, sync=sync)])

    assert beats == [True]


@pytest.mark.parametrize("way", ["cut", "close"])
def test_a_heartbeat_whose_connection_is_gone_takes_another(
    store: PostgresStore,
    opened: Callable[..., PostgresStore],
    proxied_url: str,
    proxy: Proxy,
    clock: FakeClock,
    way: str,
) -> None:
    store.join(WorkerInfo(id="w"))
    beating = opened(proxied_url, clock=clock, hints=False)
    assert beating.heartbeat("w")

    if way == "cut":
        proxy.cut()
    else:
        beating.close()

    assert beating.heartbeat("w")
    assert not beating.heartbeat("somebody else")


def test_a_heartbeat_that_is_not_answered_gives_its_connection_up(
    store: PostgresStore,
    opened: Callable[..., PostgresStore],
    proxied_url: str,
    proxy: Proxy,
    clock: FakeClock,
) -> None:
    """T30: one that waited for ever would leave its process without any, alive and of no use."""
    store.join(WorkerInfo(id="w"))
    beating = opened(proxied_url, clock=clock, connect_timeout=timedelta(seconds=1))
    assert beating.heartbeat("w")

    for link in proxy.links:
        link.stall()
    with pytest.raises(StoreUnavailableError):
        beating.heartbeat("w")

    assert beating.heartbeat("w")


def test_a_peer_that_vanishes_is_noticed_by_the_system(
    store: PostgresStore, opened: Callable[..., PostgresStore], proxied_url: str
) -> None:
    """T30: a URL may say how soon."""
    with store.connection() as connection:
        assert option(connection, socket.TCP_KEEPIDLE) == 10
        assert option(connection, socket.TCP_USER_TIMEOUT) == 25_000
    patient = opened(f"{proxied_url}&keepalives_idle=100&tcp_user_timeout=0")
    with patient.connection() as connection:
        assert option(connection, socket.TCP_KEEPIDLE) == 100
        assert option(connection, socket.TCP_USER_TIMEOUT) == 0


def option(connection: psycopg.Connection, name: int) -> int:
    shared = socket.socket(fileno=connection.fileno())
    try:
        return shared.getsockopt(socket.IPPROTO_TCP, name)
    finally:
        shared.detach()


FORKING = """
import os, sys
from sourced._store import WorkerInfo
from sourced_postgres import open_store
from sourced_testing.conformance._given import message

store = open_store(sys.argv[1])
store.join(WorkerInfo(id="w"))
def work(stream):
    for _ in range(50):
        store.append([message(stream)])
        assert store.heartbeat("w")
    return store.read_stream(stream).head
work("before")
child = os.fork()
if child == 0:
    os._exit(0 if work("child") == 50 else 1)
assert work("parent") == 50
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert work("after") == 50
store.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_connections_of_its_own(store: PostgresStore, url: str) -> None:
    """It must not speak on its parent's, nor say goodbye on one."""
    store.now()  # the database has been told what the clock shows

    command = [sys.executable, "-W", "ignore", "-c", FORKING, url]
    ended = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)

    assert (ended.returncode, ended.stderr) == (0, "")


# --- which server a caller's connection is one to -------------------------------------------------


def test_a_connection_to_another_server_is_refused_though_its_database_has_the_same_name(
    store: PostgresStore,
) -> None:
    programs = binaries()
    assert programs is not None
    with (
        own_cluster(programs) as other,
        psycopg.connect(other.url) as own,
        pytest.raises(UsageError, match="another server"),
    ):
        store.bind(own)


def test_a_connection_is_joined_after_the_server_was_restarted(
    store: PostgresStore, cluster: Cluster
) -> None:
    with psycopg.connect(cluster.url) as own:
        store.bind(own).append([message("a")])
        own.rollback()
    cluster.restart()
    store.now()

    with psycopg.connect(cluster.url) as own:
        appended = store.bind(own).append([message("a")])

    assert appended.messages[0].seq == 1


def test_a_connection_is_joined_while_the_store_has_none_of_its_own(
    store: PostgresStore, cluster: Cluster, schema: str, opened: Callable[..., PostgresStore]
) -> None:
    """Only what is known to be another server is refused."""
    store.now()
    away = opened(f"postgresql://postgres@127.0.0.1:1/postgres?schema={schema}&connect_timeout=1")

    with psycopg.connect(cluster.url) as own:
        appended = away.bind(own).append([message("a")])

    assert appended.messages[0].seq == 1

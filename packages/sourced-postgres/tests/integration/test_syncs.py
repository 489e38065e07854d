"""What befalls a transaction in which syncs write: it is ended, deadlocks, or stands still."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql
from tcp_proxy import Proxy

from sourced._store import StreamCommit, UnitOfWork
from sourced.errors import CommitRefusedError, StoreUnavailableError, UsageError
from sourced_postgres import PostgresStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given, message
from sourced_testing.conformance._race import Outcome, Running, together

PATIENCE = 20.0


class Counters:
    """A table of the user's own: names and numbers."""

    def __init__(self, observer: psycopg.Connection, name: str) -> None:
        self._observer, self._table = observer, sql.Identifier(name)
        self._execute("CREATE TABLE {} (name text PRIMARY KEY, number integer NOT NULL)")
        self._execute("INSERT INTO {} VALUES ('x', 0), ('y', 0)")

    def add_one(self, connection: psycopg.Connection, name: str) -> None:
        update = sql.SQL("UPDATE {} SET number = number + 1 WHERE name = %s")
        connection.execute(update.format(self._table), [name])

    def all(self) -> dict[str, int]:
        query = sql.SQL("SELECT name, number FROM {}").format(self._table)
        return dict(self._observer.execute(query).fetchall())

    def drop(self) -> None:
        self._execute("DROP TABLE {}")

    def _execute(self, statement: str) -> None:
        self._observer.execute(sql.SQL(statement).format(self._table))


@pytest.fixture
def counters(observer: psycopg.Connection, schema: str) -> Iterator[Counters]:
    counters = Counters(observer, f"own_{schema}")
    yield counters
    counters.drop()


Write = Callable[..., object]

LARGER_THAN_A_CALL = 100_000
"""Bytes: more than the words of a verb's call, and than the driver keeps before it sends."""


def commit(
    store: PostgresStore,
    given: Given,
    stream: str,
    sync: Callable[[psycopg.Connection], None],
    payload: str = "{}",
) -> object:
    """Commit a stream whose own sync writes."""
    claim = given.claimed(stream_id=stream)
    part = StreamCommit(
        claim=claim, ack_seq=1, append=(message(f"out-{stream}", payload=payload),), sync=sync
    )
    return store.commit(claim.worker, [part])


def commit_together(
    store: PostgresStore,
    given: Given,
    stream: str,
    sync: Callable[[psycopg.Connection], None],
    payload: str = "{}",
) -> object:
    """Commit a stream, with a sync for the whole batch."""
    claim = given.claimed(stream_id=stream)
    part = StreamCommit(claim=claim, ack_seq=1, append=(message(f"out-{stream}", payload=payload),))
    return store.commit(claim.worker, [part], sync=sync)


def commit_locked(
    store: PostgresStore,
    given: Given,
    stream: str,
    sync: Callable[[psycopg.Connection], None],
    payload: str = "{}",
) -> object:
    """Commit what is decided under a stream's lock: to that stream alone."""
    claim = given.claimed(stream_id=stream)
    output = message(stream, "decided", payload=payload)
    part = StreamCommit(claim=claim, ack_seq=1, append=(output,), sync=sync)
    return store.commit_locked(claim, lambda _: part)


def handle_now(
    store: PostgresStore,
    given: Given,
    stream: str,
    sync: Callable[[psycopg.Connection], None],
    payload: str = "{}",
) -> object:
    """Write a chain that was handled here."""
    work = UnitOfWork(messages=(message(f"out-{stream}", payload=payload),), handled={}, sync=sync)
    return store.handle_now(work)


WAYS = [commit, commit_together, commit_locked, handle_now]


def outputs(given: Given, stream: str) -> list[str]:
    """Return the types of what was written for a stream, by whichever way."""
    return [one.type for one in [*given.stream(stream)[1:], *given.stream(f"out-{stream}")]]


@pytest.fixture
def given(store: PostgresStore, clock: FakeClock) -> Given:
    """A group with something to handle in two streams."""
    given = Given(store, clock)
    given.group()
    given.appended("a")
    given.appended("b")
    return given


@pytest.mark.parametrize("write", WAYS)
def test_a_deadlock_among_the_users_rows_is_tried_again_and_each_sync_counts_once(
    write: Write,
    store: PostgresStore,
    other_store: PostgresStore,
    given: Given,
    counters: Counters,
    observer: psycopg.Connection,
) -> None:
    """T53: it is nobody's failure, so nobody is told."""
    both_hold_one = threading.Barrier(2, timeout=PATIENCE)
    runs: list[str] = []

    def sync(first: str, second: str, connection: psycopg.Connection) -> None:
        runs.append(first)
        counters.add_one(connection, first)
        if len(runs) <= 2:
            both_hold_one.wait()
        counters.add_one(connection, second)

    before = deadlocks(observer)
    ended = together(
        lambda: write(store, given, "a", lambda connection: sync("x", "y", connection)),
        lambda: write(other_store, given, "b", lambda connection: sync("y", "x", connection)),
    )

    assert [one.error for one in ended] == [None, None]
    assert len(runs) >= 3  # the one that is picked may meet the other once more
    assert counters.all() == {"x": 2, "y": 2}
    assert [len(outputs(given, stream)) for stream in ("a", "b")] == [1, 1]
    await_deadlocks(observer, before + 1)


def deadlocks(observer: psycopg.Connection) -> int:
    row = observer.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])


def await_deadlocks(observer: psycopg.Connection, count: int) -> None:
    """Statistics come a little later than what they count."""
    deadline = time.monotonic() + PATIENCE
    while deadlocks(observer) < count:
        assert time.monotonic() < deadline, "there was no deadlock"


@pytest.mark.parametrize("write", WAYS)
def test_a_deadlock_that_comes_back_each_time_is_given_up_as_trouble_of_the_store(
    write: Write, store: PostgresStore, given: Given, counters: Counters
) -> None:
    """T53: the runtime gives the stream back then, without counting an attempt."""

    def sync(connection: psycopg.Connection) -> None:
        counters.add_one(connection, "x")
        try:
            connection.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")
        except psycopg.Error as error:
            raise ValueError("what the user's own code makes of it") from error

    error = Outcome(lambda: write(store, given, "a", sync)).error

    assert isinstance(error, StoreUnavailableError)
    assert counters.all() == {"x": 0, "y": 0}
    assert outputs(given, "a") == []


@pytest.mark.parametrize("write", WAYS)
def test_a_session_that_is_ended_while_a_sync_runs_is_no_failure_of_the_sync(
    write: Write,
    store: PostgresStore,
    given: Given,
    counters: Counters,
    observer: psycopg.Connection,
) -> None:
    """T53: trouble of the store, whatever the sync's own code makes of it."""

    def sync(connection: psycopg.Connection) -> None:
        counters.add_one(connection, "x")
        observer.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.info.backend_pid])
        try:
            counters.add_one(connection, "y")
        except psycopg.Error:
            raise ValueError("what the user's own code makes of it") from None

    error = Outcome(lambda: write(store, given, "a", sync)).error

    assert isinstance(error, StoreUnavailableError)
    assert counters.all() == {"x": 0, "y": 0}
    assert outputs(given, "a") == []


@pytest.mark.parametrize("write", [commit, commit_together])
@pytest.mark.parametrize("goes_on", [True, False])
def test_a_sync_that_stands_still_for_longer_than_the_limit_is_ended_and_named(
    write: Write,
    goes_on: bool,
    given: Given,
    opened: Callable[..., PostgresStore],
    url: str,
    clock: FakeClock,
    counters: Counters,
    observer: psycopg.Connection,
) -> None:
    """T66: it would do so each time, so it is a failure of the stream's, which counts."""
    limit = timedelta(seconds=0.2)
    impatient = opened(url, clock=clock, transaction_limit=limit)

    def sync(connection: psycopg.Connection) -> None:
        counters.add_one(connection, "x")
        await_end_of(observer, connection.info.backend_pid)
        if goes_on:
            counters.add_one(connection, "y")

    error = Outcome(lambda: write(impatient, given, "a", sync)).error

    if isinstance(error, CommitRefusedError):
        assert write is commit
        error = error.failures["a"]
    assert isinstance(error, UsageError)
    assert "transaction_limit" in str(error)
    assert counters.all() == {"x": 0, "y": 0}
    assert outputs(given, "a") == []


@pytest.mark.parametrize("write", WAYS)
def test_a_process_that_freezes_while_it_sends_its_commit_holds_rows_up_to_the_limit(
    write: Write,
    given: Given,
    opened: Callable[..., PostgresStore],
    proxied_url: str,
    proxy: Proxy,
    clock: FakeClock,
    counters: Counters,
    observer: psycopg.Connection,
) -> None:
    """T66, I12: half a commit is none, and the server goes on to count."""
    frozen = opened(
        proxied_url, clock=clock, transaction_limit=timedelta(seconds=0.5), prepare=False
    )
    observer.execute("SET lock_timeout = '10s'")
    find = "SELECT client_port FROM pg_stat_activity WHERE pid = %s"

    def sync(connection: psycopg.Connection) -> None:
        counters.add_one(connection, "x")
        (port,) = observer.execute(find, [connection.info.backend_pid]).fetchone() or (0,)
        proxy.link_from(port).break_off_after(LARGER_THAN_A_CALL)

    payload = json.dumps({"text": "x" * 4 * LARGER_THAN_A_CALL})
    running = Running(lambda: write(frozen, given, "a", sync, payload))
    running.start()
    ended = running.outcome().error
    counters.add_one(observer, "x")

    assert isinstance(ended, StoreUnavailableError)
    assert counters.all() == {"x": 1, "y": 0}
    assert outputs(given, "a") == []


def await_end_of(observer: psycopg.Connection, pid: int) -> None:
    """Return when the server has ended a session by itself."""
    deadline = time.monotonic() + PATIENCE
    find = "SELECT FROM pg_stat_activity WHERE pid = %s"
    while observer.execute(find, [pid]).fetchone() is not None:
        assert time.monotonic() < deadline, "nobody ended it"


def test_a_handle_now_that_stands_still_in_its_sync_holds_rows_up_to_the_limit(
    given: Given,
    opened: Callable[..., PostgresStore],
    url: str,
    clock: FakeClock,
    counters: Counters,
    observer: psycopg.Connection,
) -> None:
    """T66: as a commit; whoever waits for the row gets it then."""
    impatient = opened(url, clock=clock, transaction_limit=timedelta(seconds=0.2))
    holds, ends = threading.Event(), threading.Event()

    def sync(connection: psycopg.Connection) -> None:
        counters.add_one(connection, "x")
        holds.set()
        assert ends.wait(PATIENCE)

    frozen = Running(lambda: handle_now(impatient, given, "a", sync))
    frozen.start()
    assert holds.wait(PATIENCE)
    counters.add_one(observer, "x")
    ends.set()

    assert isinstance(frozen.outcome().error, UsageError)
    assert counters.all() == {"x": 1, "y": 0}

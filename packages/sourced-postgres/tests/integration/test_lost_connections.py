"""Every verb outlives its connection: ended while idle, in mid-statement, or before the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from pg_cluster import Cluster
from psycopg import sql
from tcp_proxy import Link, Proxy

from sourced._records import ScheduledMessage
from sourced._store import (
    Park,
    ReadLimits,
    Retry,
    Snapshot,
    Store,
    StreamCommit,
    UnitOfWork,
    WorkerInfo,
)
from sourced.errors import SourcedError, StoreUnavailableError
from sourced_postgres import PostgresStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import LEASE, Given, error_text, message
from sourced_testing.conformance._race import Outcome, Running

Call = Callable[[PostgresStore], Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A verb: how the store is brought into a state, and the call that is made then."""

    name: str
    arrange: Callable[[Given], Call]

    def __str__(self) -> str:
        return self.name


# --- the verbs of the port ------------------------------------------------------------------------

CASES: list[Case] = []


def case(arrange: Callable[[Given], Call]) -> Callable[[Given], Call]:
    """Add a verb; it is named like the function, and with more words if there are several ways."""
    CASES.append(Case(arrange.__name__, arrange))
    return arrange


@case
def install(given: Given) -> Call:
    return lambda store: store.install()


@case
def installed(given: Given) -> Call:
    return lambda store: store.installed()


@case
def now(given: Given) -> Call:
    return lambda store: store.now()


@case
def register(given: Given) -> Call:
    given.appended("a")
    return lambda store: store.register("G", ["added"])


@case
def register_a_known_group(given: Given) -> Call:
    given.group()
    return lambda store: store.register("G", ["added"])


@case
def unsubscribe(given: Given) -> Call:
    given.group("G", "added", "removed")
    given.appended("a")
    return lambda store: store.unsubscribe("G", ["added"])


@case
def remove(given: Given) -> Call:
    given.group()
    return lambda store: store.remove("G")


@case
def stop(given: Given) -> Call:
    given.group()
    return lambda store: store.stop("G")


@case
def start(given: Given) -> Call:
    given.group()
    given.store.stop("G")
    return lambda store: store.start("G")


@case
def trip_breaker(given: Given) -> Call:
    given.group()
    given.appended("a")
    given.parked()
    return lambda store: store.trip_breaker("G", more_than=0, within=timedelta(minutes=1))


@case
def reset(given: Given) -> Call:
    given.group()
    given.appended("a")
    given.drained()
    return lambda store: list(store.reset("G"))


@case
def join(given: Given) -> Call:
    return lambda store: store.join(WorkerInfo(id="w"))


@case
def heartbeat(given: Given) -> Call:
    worker = given.worker()
    return lambda store: store.heartbeat(worker)


@case
def leave(given: Given) -> Call:
    worker = given.worker()
    return lambda store: store.leave(worker)


@case
def reap(given: Given) -> Call:
    given.group()
    given.appended("a")
    given.claimed()
    given.clock.advance(60)
    given.store.now()  # tells the database what the clock shows
    return lambda store: store.reap(LEASE)


@case
def poll(given: Given) -> Call:
    return lambda store: store.poll(LEASE)


@case
def claim(given: Given) -> Call:
    given.group()
    given.appended("a")
    worker = given.worker()
    return lambda store: store.claim("G", worker)


@case
def claim_of_some_streams(given: Given) -> Call:
    given.group()
    given.appended("a")
    worker = given.worker()
    return lambda store: store.claim("G", worker, stream_ids=["a"])


@case
def read_pending(given: Given) -> Call:
    given.group()
    given.appended("a")
    held = given.claimed()
    limits = ReadLimits()
    return lambda store: store.read_pending([held], known_types=["added"], limits=limits)


@case
def commit(given: Given) -> Call:
    given.group()
    given.appended("a")
    held = given.claimed()
    part = StreamCommit(claim=held, ack_seq=1, append=(message("out"),))
    return lambda store: store.commit(held.worker, [part])


@case
def commit_with_a_sync(given: Given) -> Call:
    given.group()
    given.appended("a")
    held = given.claimed()

    def sync(connection: psycopg.Connection) -> None:
        connection.execute("SELECT 1")

    part = StreamCommit(claim=held, ack_seq=1, append=(message("out"),), sync=sync)
    return lambda store: store.commit(held.worker, [part])


@case
def commit_locked(given: Given) -> Call:
    given.group()
    given.appended("a")
    held = given.claimed()
    part = StreamCommit(claim=held, ack_seq=1, append=(message("a", "removed"),))
    return lambda store: store.commit_locked(held, lambda _transaction: part)


@case
def release(given: Given) -> Call:
    given.group()
    given.appended("a")
    held = given.claimed()
    return lambda store: store.release([held])


@case
def retry(given: Given) -> Call:
    given.group()
    given.appended("a")
    held = given.claimed()
    return lambda store: store.retry(held, Retry(after=timedelta(seconds=1)))


@case
def park(given: Given) -> Call:
    given.group()
    given.appended("a")
    held = given.claimed()
    return lambda store: store.park(held, Park(error=error_text("broken")))


@case
def unpark(given: Given) -> Call:
    given.group()
    given.appended("a")
    given.parked()
    return lambda store: store.unpark("G")


@case
def skip(given: Given) -> Call:
    given.group()
    given.appended("a")
    return lambda store: store.skip("G", "a", 1)


@case
def cancel(given: Given) -> Call:
    waiting = given.due()
    return lambda store: store.cancel(waiting.id)


@case
def promote_due(given: Given) -> Call:
    given.due(after=0)
    return lambda store: store.promote_due()


@case
def append(given: Given) -> Call:
    new = [message("a"), message("b")]
    return lambda store: store.append(new)


@case
def schedule(given: Given) -> Call:
    new = message("a")
    moment = given.store.now() + timedelta(seconds=60)
    return lambda store: store.schedule([ScheduledMessage(message=new, due_at=moment)])


@case
def handle_now(given: Given) -> Call:
    given.group()
    new = message("a")
    work = UnitOfWork(messages=(new,), handled={("G", "a"): frozenset({new.id})})
    return lambda store: store.handle_now(work)


@case
def handle_now_with_a_sync(given: Given) -> Call:
    given.group()
    new = message("a")

    def sync(connection: psycopg.Connection) -> None:
        connection.execute("SELECT 1")

    work = UnitOfWork(messages=(new,), handled={("G", "a"): frozenset({new.id})}, sync=sync)
    return lambda store: store.handle_now(work)


@case
def read_stream(given: Given) -> Call:
    given.appended("a")
    return lambda store: store.read_stream("a")


@case
def read_one(given: Given) -> Call:
    (stored,) = given.appended("a")
    return lambda store: store.read_one(stored.id)


@case
def read_all(given: Given) -> Call:
    given.appended("a")
    return lambda store: store.read_all()


@case
def trace(given: Given) -> Call:
    (stored,) = given.appended("a")
    return lambda store: store.trace(stored.id)


@case
def read_snapshots(given: Given) -> Call:
    given.group()
    given.appended("a")
    kept = Snapshot(group="G", stream_id="a", seq=1, version=1, state="{}")
    given.acked(given.claimed(), 1, snapshot=kept)
    return lambda store: store.read_snapshots("G", ["a"], version=1)


@case
def transaction(given: Given) -> Call:
    new = message("a")

    def call(store: PostgresStore) -> None:
        with store.transaction() as own:
            own.append([new])

    return call


@case
def connection(given: Given) -> Call:
    def call(store: PostgresStore) -> None:
        with store.connection() as own:
            own.execute(
                sql.SQL("SELECT * FROM {}").format(sql.Identifier(_schema_of(store), "streams"))
            )

    return call


@case
def inspect(given: Given) -> Call:
    given.group()
    return lambda store: (store.inspect.status(), store.inspect.groups())


def _schema_of(store: PostgresStore) -> str:
    return store._connections.options.schema


def test_every_verb_of_the_port_is_among_these() -> None:
    """Those that are not have tests of their own, or no statement."""
    elsewhere = {"subscribe", "bind", "close", "clock", "uninstall"}
    verbs = {name for name in dir(Store) if not name.startswith("_")} - elsewhere

    assert verbs <= {one.name for one in CASES}


# --- what ends a connection -----------------------------------------------------------------------


@pytest.fixture
def victim(
    opened: Callable[..., PostgresStore], proxied_url: str, clock: FakeClock
) -> PostgresStore:
    """A store by way of the proxy, with two connections that are open, idle and named."""
    victim = opened(proxied_url, clock=clock, application_name="victim", hints=False)
    with victim.connection(), victim.connection():
        pass
    return victim


def end_sessions(observer: psycopg.Connection) -> int:
    """End the victim's sessions, and return when they are gone; how many there were."""
    ended = observer.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = 'victim'"
    ).fetchall()
    return len(ended)


Ending = Callable[[Cluster, psycopg.Connection, Proxy], None]


def by_cutting(cluster: Cluster, observer: psycopg.Connection, proxy: Proxy) -> None:
    assert len(proxy.links) >= 2
    proxy.cut()


def by_a_restart(cluster: Cluster, observer: psycopg.Connection, proxy: Proxy) -> None:
    cluster.restart("fast")


def by_a_crash(cluster: Cluster, observer: psycopg.Connection, proxy: Proxy) -> None:
    observer.execute("CHECKPOINT")  # claims need not wait for the disk, so a crash may lose one
    cluster.restart("immediate")


# --- while idle -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", CASES, ids=str)
def test_a_verb_does_not_notice_that_idle_connections_were_ended(
    verb: Case, given: Given, victim: PostgresStore, observer: psycopg.Connection
) -> None:
    call = verb.arrange(given)

    assert end_sessions(observer) >= 2

    call(victim)


@pytest.mark.parametrize("ending", [by_cutting, by_a_restart, by_a_crash])
@pytest.mark.parametrize(
    "verb",
    [Case(each.__name__, each) for each in (append, commit_with_a_sync, transaction)],
    ids=str,
)
def test_nor_what_ended_them(
    verb: Case,
    ending: Ending,
    given: Given,
    victim: PostgresStore,
    cluster: Cluster,
    observer: psycopg.Connection,
    proxy: Proxy,
) -> None:
    """T32, idle: a cut without a word, an orderly restart, a crash."""
    call = verb.arrange(given)

    ending(cluster, observer, proxy)

    call(victim)


# --- in mid-statement -----------------------------------------------------------------------------


@contextmanager
def tables_locked(cluster: Cluster, schema: str) -> Iterator[None]:
    """Let every statement that touches a table of the store wait."""
    with psycopg.connect(cluster.url) as connection:
        for table in tables_of(connection, schema):
            name = sql.Identifier(schema, table)
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name))
        yield
        connection.rollback()


def tables_of(connection: psycopg.Connection, schema: str) -> list[str]:
    rows = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY tablename", [schema]
    )
    return [name for (name,) in rows.fetchall()]


def contents(connection: psycopg.Connection, schema: str) -> dict[str, list[str]]:
    """Return every row of every table of the store."""
    found = {}
    for table in tables_of(connection, schema):
        query = sql.SQL("SELECT t::text FROM {} AS t ORDER BY t::text")
        rows = connection.execute(query.format(sql.Identifier(schema, table))).fetchall()
        found[table] = [text for (text,) in rows]
    return found


def await_waiting(observer: psycopg.Connection) -> None:
    """Return when a statement of the victim waits for a lock."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = observer.execute(
            "SELECT FROM pg_stat_activity"
            " WHERE application_name = 'victim' AND wait_event_type = 'Lock'"
        ).fetchone()
        if found is not None:
            return
    raise AssertionError("no statement waits for a lock")


@pytest.mark.parametrize("verb", CASES, ids=str)
def test_a_verb_whose_statement_was_ended_has_done_nothing_and_works_when_repeated(
    verb: Case,
    given: Given,
    victim: PostgresStore,
    cluster: Cluster,
    schema: str,
    observer: psycopg.Connection,
) -> None:
    call = verb.arrange(given)
    victim.now()  # the database has been told what the clock shows
    before = contents(observer, schema)

    with tables_locked(cluster, schema):
        running = Running(lambda: call(victim))
        running.start()
        await_waiting(observer)
        end_sessions(observer)
    error = running.outcome().error

    assert isinstance(error, StoreUnavailableError)
    assert "hunter2" not in str(error)
    assert contents(observer, schema) == before
    call(victim)


# --- between two statements -----------------------------------------------------------------------


NOT_ITS_OWN = {
    "transaction",  # the caller's, who appends last
    "install",  # nobody but other installers waits for its lock
    "commit_locked",  # what it is for, up to the transaction limit
}


@pytest.mark.parametrize("verb", [one for one in CASES if one.name not in NOT_ITS_OWN], ids=str)
def test_no_lock_of_the_stores_is_held_across_a_round_trip(
    verb: Case,
    given: Given,
    victim: PostgresStore,
    proxy: Proxy,
    schema: str,
    observer: psycopg.Connection,
) -> None:
    """T66: a process may stand still for as long as it likes when it has got any answer."""
    call = verb.arrange(given)
    victim.now()
    held: list[list[tuple[str, str]]] = []

    proxy.watch(lambda _link, _number: held.append(locks(observer, schema)))
    call(victim)
    proxy.watch(None)

    assert held
    assert held == [[]] * len(held)


def locks(observer: psycopg.Connection, schema: str) -> list[tuple[str, str]]:
    """Return the locks that the victim holds and that others could wait for."""
    return observer.execute(
        """
        SELECT coalesce(c.relname, l.locktype), l.mode
        FROM pg_locks AS l
        JOIN pg_stat_activity AS a ON a.pid = l.pid
        LEFT JOIN pg_class AS c ON c.oid = l.relation
        LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE a.application_name = 'victim'
            AND (l.locktype = 'advisory' OR n.nspname = %s)
            AND l.mode <> 'AccessShareLock'
        """,
        [schema],
    ).fetchall()


# --- before the answer ----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", CASES, ids=str)
def test_a_verb_whose_answers_are_lost_is_done_whole_or_not_at_all(
    verb: Case, given: Given, victim: PostgresStore, proxy: Proxy
) -> None:
    """T25, I5: at each of its round trips; nobody knows then whether it was done."""
    call = verb.arrange(given)
    victim.now()
    trip, error = 0, None

    while trip == 0 or isinstance(error, StoreUnavailableError):
        trip += 1
        error = lost_answer(lambda: call(victim), proxy, trip)
        check_invariants(given)
        assert "hunter2" not in str(error)
        assert trip < 20

    assert error is None or isinstance(error, SourcedError)


def lost_answer(call: Callable[[], Any], proxy: Proxy, trip: int) -> Exception | None:
    """Make a call whose connection is cut at a round trip, after the server has answered."""

    def cut(link: Link, number: int) -> None:
        if number == trip:
            link.cut()

    proxy.watch(cut)
    try:
        return Outcome(call).error
    finally:
        proxy.watch(None)


def check_invariants(given: Given) -> None:
    """I1, I2: heads are the last seqs, and a delivery stands where something is to be handled."""
    log = given.log()
    for stream_id in {each.stream_id for each in log}:
        seqs = [each.seq for each in log if each.stream_id == stream_id]
        head = given.store.read_stream(stream_id, limit=1).head
        assert seqs == list(range(1, head + 1))
    for group in given.store.inspect.groups():
        pending = given.store.inspect.deliveries(group=group.name)
        assert group.pending_streams + group.parked == len(pending)

"""Connections: what is said when there is none, limits that a user sets, passwords nowhere."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from sourced._store import StreamCommit, Transaction, UnitOfWork, WorkerInfo
from sourced.errors import (
    CommitRefusedError,
    StoreError,
    StoreUnavailableError,
    StoreUrlError,
    UsageError,
)
from sourced_postgres import Options, PostgresStore, open_store
from sourced_postgres._options import options_of
from sourced_testing.conformance._given import message
from sourced_testing.conformance._race import Outcome, Running

SECRET = "s3cr3t"
PATIENCE = 20.0


@pytest.fixture
def installed(url: str) -> Iterator[PostgresStore]:
    """A store that goes by the database's clock, installed."""
    store = open_store(url)
    store.install()
    yield store
    store.uninstall()
    store.close()


@pytest.fixture
def observer(sourced_postgres: str) -> Iterator[psycopg.Connection]:
    """A connection that looks at the others."""
    with psycopg.connect(sourced_postgres, autocommit=True) as connection:
        yield connection


def chain(error: BaseException | None) -> Iterator[str]:
    """Whatever could be printed of an error and of those it came from."""
    while error is not None:
        yield f"{error} {error!r} {error.args!r} {vars(error)!r}"
        error = error.__cause__ or error.__context__


def attempt(store: PostgresStore) -> StoreUnavailableError:
    """Use a store that cannot be reached; return what it says."""
    with pytest.raises(StoreUnavailableError) as unavailable:
        store.append([message("a")])
    return unavailable.value


# --- URLs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "parameters"),
    [
        ("postgresql://ada:a%2Fb@h/d", {"password": "a/b", "host": "h", "dbname": "d"}),
        ("postgresql://ada:a?b#c[@h/d", {"password": "a?b#c[", "host": "h", "dbname": "d"}),
        ("postgresql://h/d?password=a+b%2Bc&schema=x", {"password": "a+b+c", "dbname": "d"}),
        ("postgresql:///d?schema=x", {"host": None, "dbname": "d"}),
        ("postgres://h/d?options=-c%20a%3Db", {"options": "-c a=b"}),
        ("postgresql+psycopg://h1:1,h2:2/d", {"host": "h1,h2", "port": "1,2"}),
        ("postgresql://[::1]:5432/d", {"host": "::1", "port": "5432"}),
    ],
)
def test_libpq_is_told_what_the_url_says(url: str, parameters: dict[str, str | None]) -> None:
    told, _ = options_of(url, Options())

    assert {name: told.get(name) for name in parameters} == parameters


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3/cr3t@h/d",
        "postgresql://ada:s3@s3cr3t@h/d",
        "postgresql://ada:s3cr3t%zz@h/d",
        "postgresql://ada:s3cr3t/d",
        "postgresql://ada:s3cr3t@[::1/d",
        "postgresql://ada:s3cr3t@h/d?nonsense=1",
        "postgresql://ada:s3cr3t@h/d?pool_size=0",
        "postgresql://h/d?password=s3cr3t%zz",
        "postgresql://h/d?password=s3cr3t=x",
        "postgresql://h/d?passwort=s3cr3t",
        "host=h password=s3cr3t",
    ],
)
def test_no_password_shows_of_a_url_that_is_refused(url: str) -> None:
    with pytest.raises(StoreUrlError) as refused:
        open_store(url)

    said = "\n".join(chain(refused.value))
    assert "cr3t" not in said.replace("s3cr3t", "cr3t")


# --- no connection --------------------------------------------------------------------------------


@pytest.fixture
def nobody_answers() -> Iterator[int]:
    """A port at which connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("127.0.0.1:1/shop", "refused"),
        ("/shop?host=/nowhere", "No such file"),
        ("127.0.0.1:{nobody_answers}/shop", "timeout"),
    ],
)
def test_a_server_that_cannot_be_reached_is_told_of_at_once(
    nobody_answers: int, where: str, why: str
) -> None:
    """With what to look at; not only when the pool has given up."""
    address = where.format(nobody_answers=nobody_answers)
    joiner = "&" if "?" in address else "?"
    url = f"postgresql://ada:{SECRET}@{address}{joiner}connect_timeout=1&pool_timeout=60"
    began = time.monotonic()

    with closing(open_store(url)) as store:
        error = attempt(store)

    assert why in str(error)
    assert "see that the server is up" in str(error)
    assert SECRET not in "\n".join(chain(error))
    assert time.monotonic() - began < PATIENCE


def test_a_wrong_password_is_told_of_at_once_and_not_shown(
    pgbouncer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in the error, nor in any log, nor by anything that can be printed."""
    url = f"{pgbouncer.replace(':secret@', f':{SECRET}@')}?pool_timeout=60"

    with caplog.at_level(logging.DEBUG), closing(open_store(url)) as store:
        error = attempt(store)
        shown = [repr(store), repr(store._connections), repr(store._connections.options)]
        store.subscribe(lambda _groups: None)()
        store._notifier.notify(frozenset({"G"}))

    assert "password" in str(error)
    assert SECRET not in "\n".join([*chain(error), *shown, caplog.text])


def test_a_pool_that_is_used_up_says_so(url: str, installed: PostgresStore) -> None:
    assert installed.installed()
    small = open_store(url, pool_size=2, pool_timeout=timedelta(milliseconds=100))
    inside, release = threading.Event(), threading.Event()

    def use() -> None:
        with small.connection():
            inside.set()
            assert release.wait(PATIENCE)

    with closing(small), small.connection():
        using = Running(use)
        using.start()
        assert inside.wait(PATIENCE)
        error = attempt(small)
        release.set()
        assert using.outcome().error is None

    assert "all 2 connections" in str(error)
    assert "raise pool_size" in str(error)


@pytest.fixture
def role(sourced_postgres: str, schema: str, installed: PostgresStore) -> Iterator[str]:
    """A role that may log in with a password, and work."""
    name = sql.Identifier(f"role_{schema}")
    with psycopg.connect(sourced_postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, SECRET))
        installed.install(role=f"role_{schema}")
        yield f"role_{schema}"
        connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


def test_an_outage_is_waited_for_and_then_told_with_its_cause(
    url: str, role: str, observer: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have been a restart: a store that was connected once waits for its pool's time."""
    name = sql.Identifier(role)
    store = open_store(
        f"{url}&user={role}&password={SECRET}", pool_size=1, pool_timeout=timedelta(seconds=0.5)
    )
    with caplog.at_level(logging.DEBUG), closing(store):
        store.append([message("a")])
        observer.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(name))
        observer.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s",
            [role],
        )

        out = attempt(store)
        observer.execute(sql.SQL("ALTER ROLE {} LOGIN").format(name))
        again = until_it_works(lambda: store.append([message("a")]))

    assert "could not be reached for 0.5 s" in str(out)
    assert "not permitted to log in" in str(out)
    assert again.messages[0].seq == 2
    assert SECRET not in "\n".join([*chain(out), caplog.text])


def until_it_works(call: Callable[[], Any]) -> Any:
    """Call again while the store is out of reach, but not for ever."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except StoreUnavailableError:
            if time.monotonic() > deadline:
                raise


# --- one connection is enough ---------------------------------------------------------------------


def test_a_sync_may_read_the_store_when_the_pool_is_used_up(
    url: str, installed: PostgresStore
) -> None:
    """T8: if all threads of a pool's size did, each would wait for the others."""
    installed.register("G", ["added"])
    installed.append([message("a")])
    heads: list[int] = []
    with closing(open_store(url, pool_size=1)) as store:
        store.join(WorkerInfo(id="w"))
        (claim,) = store.claim("G", "w")
        began = time.monotonic()

        def read(_connection: object) -> None:
            heads.append(store.read_stream("a").head)
            heads.append(store.inspect.status().messages)

        store.commit("w", [StreamCommit(claim=claim, ack_seq=1, sync=read)])

    assert heads == [1, 1]
    assert time.monotonic() - began < PATIENCE


def test_what_commit_raises_is_told_as_what_a_verb_raises(
    installed: PostgresStore, observer: psycopg.Connection
) -> None:
    """T8: the connection is cut between the caller's last statement and the COMMIT."""

    def append_and_lose_the_connection() -> None:
        with installed.transaction() as transaction:
            transaction.append([message("a")])
            pid = transaction.connection.info.backend_pid
            observer.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    with pytest.raises(StoreUnavailableError):
        append_and_lose_the_connection()

    assert until_it_works(lambda: installed.read_stream("a").head) == 0


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "RAISE ROLLBACK"])
def test_what_the_callers_block_raises_is_raised_as_it_is(
    installed: PostgresStore, statement: str
) -> None:
    """And the driver's way to roll back without an error is one here too."""

    def append_and_fail() -> None:
        with installed.transaction() as transaction:
            transaction.append([message("a")])
            if statement == "RAISE ROLLBACK":
                raise psycopg.Rollback
            transaction.connection.execute(statement.encode())

    outcome = Outcome(append_and_fail)

    failed = isinstance(outcome.error, psycopg.errors.DivisionByZero)
    assert failed if statement == "SELECT 1 / 0" else outcome.error is None
    assert installed.read_stream("a").head == 0


# --- which database a caller's connection is one to -----------------------------------------------


def without_database(url: str) -> str:
    """The URL of the store, without the name of its database."""
    address, _, query = url.partition("?")
    return f"{address.rpartition('/')[0]}?{query}"


@pytest.fixture
def other_database(observer: psycopg.Connection, schema: str) -> Iterator[str]:
    """The name of a second database on the server, which is not the user's."""
    name = sql.Identifier(f"other_{schema}")
    observer.execute(sql.SQL("CREATE DATABASE {}").format(name))
    yield f"other_{schema}"
    observer.execute(sql.SQL("DROP DATABASE {}").format(name))


@pytest.mark.parametrize("place", ["PGDATABASE", "a service"])
def test_a_connection_is_joined_wherever_the_databases_name_was_found(
    url: str,
    sourced_postgres: str,
    other_database: str,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = without_database(url)
    if place == "PGDATABASE":
        monkeypatch.setenv("PGDATABASE", other_database)
    else:
        services = tmp_path / "services"
        services.write_text(f"[shop]\ndbname={other_database}\n")
        monkeypatch.setenv("PGSERVICEFILE", str(services))
        found += "&service=shop"

    with (
        closing(open_store(found)) as store,
        psycopg.connect(sourced_postgres, dbname=other_database) as own,
    ):
        store.install()
        appended = store.bind(own).append([message("a")])

    assert appended.messages[0].seq == 1


def test_a_connection_through_a_pooler_is_joined(installed: PostgresStore, pgbouncer: str) -> None:
    """It is the same server behind it, though address and port are others."""
    with psycopg.connect(pgbouncer, prepare_threshold=None) as own:
        appended = installed.bind(own).append([message("a")])
        own.rollback()

    assert appended.messages[0].seq == 1


def test_a_connection_to_another_database_is_refused(
    installed: PostgresStore, sourced_postgres: str, other_database: str
) -> None:
    with (
        psycopg.connect(sourced_postgres, dbname=other_database) as own,
        pytest.raises(UsageError, match=f"database '{other_database}'"),
    ):
        installed.bind(own)


def test_verbs_work_on_a_connection_whose_rows_are_dicts_and_syncs_find_them_so(
    installed: PostgresStore, sourced_postgres: str
) -> None:
    """What rows look like is the caller's affair, not the store's."""
    seen: list[object] = []
    now = message("b")
    unit = UnitOfWork(
        messages=(now,),
        handled={},
        sync=lambda own: seen.append(own.execute("SELECT 1 AS one").fetchone()),
    )
    with psycopg.connect(sourced_postgres, row_factory=dict_row) as own:
        bound = installed.bind(own)
        (first,) = bound.append([message("a")]).messages
        bound.handle_now(unit)
        found = bound.read_stream("a").messages, bound.read_one(now.id)
        seen.append(own.execute("SELECT 2 AS two").fetchone())

    assert found[0] == (first,)
    assert found[1] is not None
    assert seen == [{"one": 1}, {"two": 2}]


# --- limits ---------------------------------------------------------------------------------------


@pytest.fixture
def locked(installed: PostgresStore, sourced_postgres: str) -> Iterator[psycopg.Connection]:
    """Somebody's transaction that has written to the stream `a` and does not end."""
    with psycopg.connect(sourced_postgres) as connection:
        installed.bind(connection).append([message("a")])
        yield connection
        connection.rollback()


@pytest.mark.parametrize(
    ("limit", "advice"),
    [("statement_timeout", "raise statement_timeout"), ("lock_timeout", "in the way")],
)
@pytest.mark.parametrize("given", ["in the URL", "in code"])
def test_nobody_waits_beyond_the_limit_that_a_user_set(
    url: str, locked: psycopg.Connection, limit: str, advice: str, given: str
) -> None:
    """A lock is all that a verb waits for; nothing is written, and the connection stays usable."""
    in_code: dict[str, Any] = {limit: timedelta(seconds=0.2)}
    store = (
        open_store(f"{url}&{limit}=0.2") if given == "in the URL" else open_store(url, **in_code)
    )

    with closing(store):
        error = attempt(store)
        locked.rollback()
        appended = store.append([message("a")])

    assert advice in str(error)
    assert appended.messages[0].seq == 1


Write = Callable[[PostgresStore], object]


def handle_now(store: PostgresStore) -> object:
    return store.handle_now(UnitOfWork(messages=(message("a"),), handled={}))


def append_in_a_transaction(store: PostgresStore) -> object:
    with store.transaction() as transaction:
        transaction.append([message("b")])
        try:
            return transaction.append([message("a")])
        finally:
            transaction.append([message("b")])  # it is usable still


@pytest.mark.parametrize(
    "write", [lambda store: store.append([message("a")]), handle_now, append_in_a_transaction]
)
def test_who_waits_too_long_for_a_stream_is_told_for_whom_and_what_to_do(
    url: str, locked: psycopg.Connection, write: Write
) -> None:
    """It may be the transaction that the caller itself has open."""
    with (
        closing(open_store(url, lock_timeout=timedelta(seconds=0.2))) as store,
        pytest.raises(StoreUnavailableError) as waited,
    ):
        write(store)

    assert f"pid {locked.info.backend_pid} (unnamed, idle in transaction" in str(waited.value)
    assert "if it is your own" in str(waited.value)
    assert "bind" in str(waited.value)


def test_limits_join_the_settings_that_a_url_gives(url: str, installed: PostgresStore) -> None:
    assert installed.installed()
    mine = f"{url}&options=-c%20work_mem%3D5MB%20-c%20statement_timeout%3D9s"

    with (
        closing(open_store(mine, lock_timeout=timedelta(seconds=7))) as store,
        store.connection() as connection,
    ):
        found = [
            connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("work_mem", "statement_timeout", "lock_timeout", "application_name")
        ]

    assert found == [("5MB",), ("9s",), ("7s",), ("sourced",)]


def test_registering_does_not_wait_for_a_users_lock_timeout(
    url: str, locked: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T62: it asks for a tenth of a second at a time, whatever the user's limit."""
    monkeypatch.setattr("sourced_postgres._store._REGISTER_PATIENCE", 0.3)

    with (
        closing(open_store(url, lock_timeout=timedelta(hours=1))) as store,
        pytest.raises(StoreUnavailableError, match=str(locked.info.backend_pid)),
    ):
        store.register("G", ["added"])

    locked.rollback()


@pytest.mark.parametrize("verb", ["commit", "commit_locked", "handle_now"])
def test_a_sync_that_idles_too_long_is_ended_and_told_so(
    url: str, installed: PostgresStore, observer: psycopg.Connection, verb: str
) -> None:
    """I12, T66: what it wrote is gone, whatever has become of its process.

    Also where it has run no statement yet, when all that the server was sent is what begins.
    """
    installed.register("G", ["added"])
    installed.append([message("a")])

    def idle(connection: psycopg.Connection) -> None:
        await_end(observer, connection.info.backend_pid)

    def decide(transaction: Transaction) -> None:
        idle(transaction.connection)  # with the lock of its stream

    with closing(open_store(url, transaction_limit=timedelta(seconds=0.2))) as store:
        store.join(WorkerInfo(id="w"))
        (claim,) = store.claim("G", "w")
        part = partial(StreamCommit, claim=claim, ack_seq=1)
        verbs: dict[str, Callable[[], object]] = {
            "commit": lambda: store.commit("w", [part(sync=idle)]),
            "commit_locked": lambda: store.commit_locked(claim, decide),
            "handle_now": lambda: store.handle_now(
                UnitOfWork(messages=(message("b"),), handled={}, sync=idle)
            ),
        }
        with pytest.raises((CommitRefusedError, UsageError), match="transaction_limit"):
            verbs[verb]()
        store.commit("w", [part()])

    assert installed.inspect.deliveries() == ()
    assert installed.read_stream("b").head == 0


def await_end(observer: psycopg.Connection, pid: int) -> None:
    """Return when a session of the server has ended."""
    deadline = time.monotonic() + PATIENCE
    while observer.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchall():
        assert time.monotonic() < deadline


def test_what_goes_beyond_a_limit_of_the_servers_is_no_outage(installed: PostgresStore) -> None:
    """It would be tried again and again; the driver counts it among the server's troubles."""
    no_key = "".join(random.Random(7).choices("0123456789abcdef", k=20_000))

    with pytest.raises(StoreError, match=r"limit of PostgreSQL.*index row") as refused:
        installed.join(WorkerInfo(id=no_key))

    assert not isinstance(refused.value, StoreUnavailableError)

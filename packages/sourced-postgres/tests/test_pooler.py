"""Behind a pooler that hands out single transactions everything works, without hints (T26, T31)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from datetime import timedelta
from functools import partial
from queue import SimpleQueue

import psycopg
import pytest

from sourced import App, Command, Reactor, Settings, on
from sourced.errors import StoreUnavailableError
from sourced.runtime import Supervisor
from sourced_postgres import PostgresStore, open_store
from sourced_postgres._pooler import keeps_its_session
from sourced_testing.conformance._given import LEASE, message

PATIENCE = 20.0

PgBouncers = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def direct(url: str) -> Iterator[PostgresStore]:
    """A store in another process, without a pooler, that goes by the database's clock."""
    store = open_store(url)
    store.install()
    yield store
    store.uninstall()
    store.close()


@pytest.fixture
def pooled_url(pgbouncer: str, direct: PostgresStore, schema: str) -> str:
    """The URL of the same schema through the pooler."""
    assert direct.installed()
    return f"{pgbouncer}?schema={schema}&prepare=off"


@pytest.fixture
def pooled(pooled_url: str) -> Iterator[PostgresStore]:
    """A store behind the pooler."""
    store = open_store(pooled_url)
    yield store
    store.close()


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True)


# --- hints ----------------------------------------------------------------------------------------


def is_kept(url: str, sessions: int = 1) -> bool:
    """Look at a connection, while the pooler has so many sessions, if there is one."""
    with ExitStack() as open_ones:
        connections = [open_ones.enter_context(closing(connect(url))) for _ in range(sessions)]
        with ExitStack() as transactions:
            for each in connections:
                transactions.enter_context(each.transaction())
                each.execute("SELECT")
        return keeps_its_session(connections[0], partial(connect, url))


def test_a_server_is_told_from_a_pooler(sourced_postgres: str) -> None:
    """Only a connection that keeps its session can hear anything."""
    assert is_kept(sourced_postgres)


@pytest.mark.parametrize("sessions", [1, 2, 3])
@pytest.mark.parametrize("in_turn", [0, 1])
def test_a_pooler_of_transactions_is_found_out(
    start_pgbouncer: PgBouncers, sessions: int, in_turn: int
) -> None:
    """However many sessions it has, and whichever of them it takes."""
    with start_pgbouncer(mode="transaction", size=sessions, in_turn=in_turn) as url:
        assert not is_kept(url, sessions)


def test_a_pooler_of_sessions_is_none_to_fear(start_pgbouncer: PgBouncers) -> None:
    with start_pgbouncer(mode="session") as url:
        assert is_kept(url, sessions=3)


def test_that_hints_cannot_be_heard_is_said_once(
    pooled: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    """T31: and nobody tries again and again."""
    with caplog.at_level(logging.DEBUG, logger="sourced.postgres"):
        ends = [pooled.subscribe(lambda _groups: None) for _ in range(3)]
        for end in ends:
            end()
        pooled.subscribe(lambda _groups: None)()

    said = [record.message for record in caplog.records]
    assert len(said) == 1
    assert "hints=off" in said[0]
    assert not [each for each in threading.enumerate() if each.name == "sourced-listener"]


def test_no_session_of_the_pooler_listens(pooled: PostgresStore, pgbouncer: str) -> None:
    """It would collect what is notified, and hand it to whoever it serves next."""
    pooled.subscribe(lambda _groups: None)()

    listening = []
    with ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(psycopg.connect(pgbouncer))
            listening += connection.execute("SELECT pg_listening_channels()").fetchall()

    assert listening == []


def test_hints_are_heard_through_a_pooler_of_sessions(
    direct: PostgresStore, start_pgbouncer: PgBouncers, schema: str
) -> None:
    direct.register("G", ["added"])
    heard: SimpleQueue[frozenset[str]] = SimpleQueue()
    with (
        start_pgbouncer(mode="session") as url,
        closing(open_store(url, schema=schema)) as reader,
    ):
        end = reader.subscribe(heard.put)

        direct.append([message("a")])

        while "G" not in heard.get(timeout=PATIENCE):
            pass
        end()


def test_a_store_behind_the_pooler_hints_to_those_who_can_hear(
    direct: PostgresStore, pooled: PostgresStore
) -> None:
    """NOTIFY needs no session."""
    direct.register("G", ["added"])
    heard: SimpleQueue[frozenset[str]] = SimpleQueue()
    end = direct.subscribe(heard.put)

    pooled.append([message("a")])

    while "G" not in heard.get(timeout=PATIENCE):
        pass
    end()


# --- workers --------------------------------------------------------------------------------------


class Note(Command, type="pooler.note"):
    text: str


class Recorder(Reactor, group="Recorder"):
    """Remembers what it handled."""

    def __init__(self) -> None:
        self.seen: SimpleQueue[str] = SimpleQueue()

    @on
    def note(self, message: Note) -> None:
        self.seen.put(message.text)


def test_workers_behind_the_pooler_find_by_polling_what_others_append(
    direct: PostgresStore, pooled_url: str
) -> None:
    """T31: within a poll."""
    recorder = Recorder()
    app = App(pooled_url, settings=Settings(poll_interval=timedelta(milliseconds=50)))
    app.register(recorder)
    elsewhere = App(direct)
    supervisor = Supervisor(app)
    running = threading.Thread(target=supervisor.run)
    running.start()

    for n in range(3):
        elsewhere.dispatch(Note(text=str(n)), to="a")
        assert recorder.seen.get(timeout=PATIENCE) == str(n)

    supervisor.stop()
    running.join(PATIENCE)
    assert not running.is_alive()
    assert direct.poll(LEASE).ready == set()
    app.close()


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["statement_timeout", "lock_timeout"])
def test_an_option_that_the_pooler_does_not_take_is_named(pooled_url: str, option: str) -> None:
    with (
        closing(open_store(f"{pooled_url}&{option}=5")) as store,
        pytest.raises(StoreUnavailableError, match="ALTER ROLE") as refused,
    ):
        store.installed()

    assert "statement_timeout" in str(refused.value)
    assert "secret" not in str(refused.value)

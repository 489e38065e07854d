"""What the tests of this package share: a fake clock, stores in a schema of their own, a pooler."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

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


@pytest.fixture(scope="session")
def kept_schema(sourced_postgres: str) -> Iterator[str]:
    """A schema that many tests use in turn, since to make one takes longer than most tests."""
    schema = f"k{uuid4().hex[:12]}"
    yield schema
    store = open_store(sourced_postgres, schema=schema, clock=FakeClock())
    store.uninstall()
    store.close()


@pytest.fixture
def empty(sourced_postgres: str, schema: str) -> Iterator[Callable[[], None]]:
    """Take all rows out of the schema, and let its sequences begin anew."""
    with psycopg.connect(sourced_postgres, autocommit=True) as connection:
        yield lambda: empty_tables(connection, schema)


def empty_tables(connection: psycopg.Connection, schema: str) -> None:
    """Take all rows out of a schema; TRUNCATE would make new files, and wait for them."""
    tables = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> 'migrations'",
        [schema],
    ).fetchall()
    delete = sql.SQL("; ").join(
        [sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, name)) for (name,) in tables]
    )
    connection.execute(delete)
    connection.execute(
        "SELECT setval(c.oid, 1, false) FROM pg_class AS c"
        " WHERE c.relkind = 'S' AND c.relnamespace = %s::regnamespace",
        [schema],
    )


@pytest.fixture
def emptied_store(url: str, clock: FakeClock, empty: Callable[[], None]) -> Iterator[PostgresStore]:
    """A store whose clock tests turn, in a schema that stays: installed and empty."""
    store = open_store(url, clock=clock)
    store.install()
    empty()
    yield store
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


# --- a pooler -------------------------------------------------------------------------------------

REQUIRED = "SOURCED_REQUIRE_PGBOUNCER"
"""The environment variable that makes a missing PgBouncer a failure."""

SETTINGS = """\
[databases]
* = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
logfile = {folder}/log
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
min_pool_size = {least}
server_round_robin = {in_turn}
max_client_conn = 500
"""


WHILE_WATCHED = '"$0" -q "$1" & read -r _; kill $!; wait $!'
"""Runs PgBouncer until nobody holds the other end of its input: also if the tests are killed."""


@pytest.fixture(scope="session")
def pgbouncer_program() -> str:
    """The path of PgBouncer; without it tests are skipped, or fail where it is required."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is not None:
        return program
    problem = "no PgBouncer: install the system's package `pgbouncer`"
    if os.environ.get(REQUIRED):
        pytest.fail(f"{problem}; {REQUIRED} is set")
    pytest.skip(problem)


@pytest.fixture(scope="session")
def pgbouncer(pgbouncer_program: str, sourced_postgres: str) -> Iterator[str]:
    """The URL of the server's database through a pooler that hands out single transactions.

    Of several sessions it takes the one that has rested longest: none serves twice in a row.
    """
    with running_pgbouncer(pgbouncer_program, sourced_postgres, least=3, in_turn=1) as url:
        yield url


@pytest.fixture
def start_pgbouncer(
    pgbouncer_program: str, sourced_postgres: str
) -> Callable[..., AbstractContextManager[str]]:
    """Run another one, with settings of its own."""
    return partial(running_pgbouncer, pgbouncer_program, sourced_postgres)


@contextmanager
def running_pgbouncer(
    program: str,
    url: str,
    *,
    mode: str = "transaction",
    size: int = 20,
    least: int = 0,
    in_turn: int = 0,
) -> Iterator[str]:
    """Run a PgBouncer in front of the server of a URL; give the URL through it."""
    server, port = conninfo_to_dict(url), free_port()
    wanted = {name: server.get(name) for name in ("host", "port", "user", "password")}
    user = other_user(str(server.get("host", ""))) if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pgbouncer") as folder:
        settings, users = Path(folder, "settings"), Path(folder, "users")
        users.write_text('"ada" "secret"\n')
        settings.write_text(
            SETTINGS.format(
                server=" ".join(
                    f"{name}={quoted(value)}" for name, value in wanted.items() if value
                ),
                port=port,
                folder=folder,
                mode=mode,
                size=size,
                least=least,
                in_turn=in_turn,
            )
        )
        if user is not None:
            for path in (folder, users, settings):
                shutil.chown(path, user)
        command = ["sh", "-c", WHILE_WATCHED, program, str(settings)]
        with subprocess.Popen(command, user=user, stdin=subprocess.PIPE) as process:
            await_port(process, port, Path(folder, "log"))
            yield f"postgresql://ada:secret@127.0.0.1:{port}/{server.get('dbname', '')}"


def other_user(host: str) -> str:
    """Whom PgBouncer, which refuses to run as root, can run as and reach a server's socket."""
    owner = Path(host).owner() if host.startswith("/") else "root"
    return "nobody" if owner == "root" else owner


def quoted(value: object) -> str:
    """A value as PgBouncer's settings have it."""
    return "'" + str(value).replace("'", "''") + "'"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return when PgBouncer listens."""
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    said = log.read_text() if log.exists() else "nothing"
    raise AssertionError(f"PgBouncer does not listen; it said: {said}")

"""The schema: installed by several at once, migrated, granted, dropped; identifiers and options."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sourced._store import ReadLimits, StreamCommit, WorkerInfo
from sourced.errors import SchemaError, StoreError, StoreUnavailableError, StoreUrlError
from sourced_postgres import PostgresStore, _schema, open_store
from sourced_testing.conformance._given import message

RELATIONS = """
SELECT c.relname, c.relkind, c.reloptions::text
FROM pg_class AS c
WHERE c.relnamespace = %(schema)s::regnamespace
"""
COLUMNS = """
SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    a.attidentity, a.attcollation::regcollation::text, pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = %(schema)s::regnamespace AND a.attnum > 0
"""
INDEXES = """
SELECT replace(indexdef, %(schema)s, '') FROM pg_indexes WHERE schemaname = %(schema)s
"""
CONSTRAINTS = """
SELECT c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint AS c
WHERE c.connamespace = %(schema)s::regnamespace
"""


@pytest.fixture
def connection(sourced_postgres: str) -> Iterator[psycopg.Connection]:
    """A connection of the test's own, in autocommit mode."""
    with psycopg.connect(sourced_postgres, autocommit=True) as own:
        yield own


@pytest.fixture
def plain(url: str) -> Iterator[PostgresStore]:
    """A store that goes by the database's clock; not installed."""
    store = open_store(url)
    yield store
    store.uninstall()
    store.close()


def catalogue(connection: psycopg.Connection, schema: str) -> list[Any]:
    """What the catalogue says of a schema's tables."""
    found = []
    for query in (RELATIONS, COLUMNS, INDEXES, CONSTRAINTS):
        rows = connection.execute(query.encode(), {"schema": schema}).fetchall()
        found.append(sorted(rows, key=repr))
    return found


def install_in_a_process(url: str, barrier: Any, answers: Any) -> None:
    """Install at the same moment as the others."""
    store = open_store(url)
    barrier.wait(30)
    answers.put(store.install())
    store.close()


def test_the_migrations_leave_the_same_catalogue_as_a_new_schema(
    plain: PostgresStore, connection: psycopg.Connection, schema: str
) -> None:
    plain.install()
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(f"{schema}_m")))

    connection.execute(_schema.migration_sql(f"{schema}_m", 0).encode())
    migrated = [
        repr(rows).replace(f"{schema}_m", schema) for rows in catalogue(connection, f"{schema}_m")
    ]
    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(f"{schema}_m")))

    assert migrated == [repr(rows) for rows in catalogue(connection, schema)]


def test_eight_processes_that_install_at_once_make_it_once(plain: PostgresStore, url: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(8), context.Queue()
    processes = [
        context.Process(target=install_in_a_process, args=(url, barrier, answers)) for _ in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert sorted(answers.get(timeout=5) for _ in processes) == [False] * 7 + [True]
    assert plain.installed()


def test_functions_of_another_release_are_replaced(
    plain: PostgresStore, connection: psycopg.Connection, schema: str
) -> None:
    plain.install()
    update = sql.SQL("UPDATE {} SET functions = 'older'")
    connection.execute(update.format(sql.Identifier(schema, "migrations")))

    assert plain.install()
    assert not plain.install()


def test_a_newer_schema_is_left_alone(
    plain: PostgresStore, connection: psycopg.Connection, schema: str
) -> None:
    plain.install()
    migrations = sql.Identifier(schema, "migrations")
    connection.execute(sql.SQL("INSERT INTO {} VALUES (999, now(), '')").format(migrations))

    with pytest.raises(SchemaError, match="upgrade"):
        plain.installed()

    connection.execute(sql.SQL("DELETE FROM {} WHERE version = 999").format(migrations))


def test_uninstall_leaves_what_is_the_users(
    plain: PostgresStore, connection: psycopg.Connection, schema: str
) -> None:
    plain.install()
    connection.execute(sql.SQL("CREATE TABLE {} ()").format(sql.Identifier(schema, "mine")))

    plain.uninstall()

    assert connection.execute(RELATIONS.encode(), {"schema": schema}).fetchall() == [
        ("mine", "r", None)
    ]
    connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def test_a_role_with_the_least_rights_can_work_and_not_change_the_log(
    plain: PostgresStore, connection: psycopg.Connection, schema: str, url: str
) -> None:
    role = f"role_{schema}"
    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
    plain.install(role=role)
    worker = open_store(f"{url}&options=-c%20role%3D{role}")
    try:
        worker.register("G", ["added"])
        worker.append([message("a")])
        worker.join(WorkerInfo(id="w"))
        claims = worker.claim("G", "w")
        (found,) = worker.read_pending(claims, known_types=["added"], limits=ReadLimits())
        worker.commit("w", [StreamCommit(claim=found.claim, ack_seq=found.looked_to)])
        list(worker.reset("G"))
        worker.read_all()
        worker.inspect.groups()
        worker.leave("w")
        with worker.connection() as own, pytest.raises(psycopg.errors.InsufficientPrivilege):
            own.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, "messages")))
        with pytest.raises(StoreError, match="may not"):
            worker.uninstall()
    finally:
        worker.close()
        plain.uninstall()
        connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


@pytest.mark.parametrize("name", ["", "1a", "a-b", 'a"b', "a b", "pg_own", "x" * 64, "a;b"])
def test_a_schema_that_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(StoreUrlError, match="identifier"):
        open_store("postgresql://localhost/shop", schema=name)


def test_a_schema_may_be_named_like_a_keyword(sourced_postgres: str) -> None:
    store = open_store(sourced_postgres, schema="Select")
    store.install()

    assert store.append([message("a")]).messages[0].seq == 1

    store.uninstall()
    store.close()


@pytest.mark.parametrize(
    "query", ["nonsense=1", "pool_size=many", "pool_size=0", "hints=perhaps", "lock_timeout=-1"]
)
def test_an_option_that_is_unknown_or_does_not_fit_is_refused(query: str) -> None:
    with pytest.raises(StoreUrlError) as refused:
        open_store(f"postgresql://ada:secret@localhost/shop?{query}")

    assert "secret" not in str(refused.value)


def test_an_unknown_keyword_is_refused() -> None:
    with pytest.raises(StoreUrlError, match="pool_size"):
        open_store("postgresql://localhost/shop", pool=3)


def test_a_server_that_cannot_be_reached_says_so_without_the_password() -> None:
    store = open_store(
        "postgresql://ada:secret@127.0.0.1:1/shop?pool_timeout=0.2&connect_timeout=1"
    )

    with pytest.raises(StoreUnavailableError) as unavailable:
        store.installed()
    store.close()

    assert "127.0.0.1:1" in str(unavailable.value)
    told = [str(unavailable.value), repr(unavailable.value.__cause__), repr(store)]
    assert not [text for text in told if "secret" in text]

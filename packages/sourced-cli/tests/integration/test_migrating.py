"""`sourced install` and `sourced migrate` on PostgreSQL, whose schema has versions."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from projects import Project
from psycopg import sql

from sourced_postgres import open_store
from sourced_postgres._schema import VERSION


@pytest.fixture
def schema() -> str:
    """The name of a schema that nobody else uses."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def url(sourced_postgres: str, schema: str) -> Iterator[str]:
    """The URL of a store that is not installed."""
    joiner = "&" if "?" in sourced_postgres else "?"
    url = f"{sourced_postgres}{joiner}schema={schema}"
    yield url
    store = open_store(url)
    store.uninstall()
    store.close()


@pytest.fixture
def connection(sourced_postgres: str) -> Iterator[psycopg.Connection]:
    """A connection of somebody else's."""
    with psycopg.connect(sourced_postgres, autocommit=True) as connection:
        yield connection


@pytest.fixture
def role(connection: psycopg.Connection, schema: str) -> Iterator[str]:
    """A role that may do nothing yet."""
    name = sql.Identifier(f"r{schema}")
    connection.execute(sql.SQL("CREATE ROLE {}").format(name))
    yield f"r{schema}"
    connection.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(name, name))


def test_status_says_what_is_applied_and_its_check_fails_until_all_is(
    project: Project, url: str
) -> None:
    before = project.sourced("migrate", "status", "--dsn", url)
    check = project.sourced("migrate", "status", "--check", "--dsn", url, "--json")
    project.sourced("install", "--dsn", url)
    after = project.sourced("migrate", "status", "--check", "--dsn", url)
    document = project.sourced("migrate", "status", "--dsn", url, "--json").json

    assert (before.code, check.code, after.code) == (0, 8, 0)
    assert "former names" in before.out
    assert "not applied" in before.out
    assert check.codes == ["schema.behind"]
    assert "not applied" not in after.out
    assert document["schema"] == "sourced.migrate.status/1"
    assert document["data"]["version"] == document["data"]["newest"] == VERSION
    assert [one["version"] for one in document["data"]["migrations"]] == [*range(1, VERSION + 1)]
    assert all(one["applied_at"] for one in document["data"]["migrations"])


def test_up_says_what_it_did_and_the_second_time_that_there_is_nothing_to_do(
    project: Project, url: str, connection: psycopg.Connection, schema: str
) -> None:
    missing = project.sourced("migrate", "up", "--dsn", url)
    project.sourced("install", "--dsn", url)
    older = sql.SQL(
        "DROP TABLE {s}.former_names; DELETE FROM {s}.migrations WHERE version > 1;"
        'CREATE INDEX deliveries_suspect_idx ON {s}.deliveries ("group", ready_at);'
        "UPDATE {s}.migrations SET functions = '0.0.1 abc'"
    )
    connection.execute(older.format(s=sql.Identifier(schema)))

    dry = project.sourced("migrate", "up", "--dry-run", "--dsn", url)
    behind = project.sourced("migrate", "status", "--check", "--dsn", url)
    first = project.sourced("migrate", "up", "--dsn", url)
    second = project.sourced("migrate", "up", "--dsn", url, "--json")

    assert missing.code == 5
    assert "sourced install" in missing.err
    assert "would apply 2 former names" in dry.out
    assert (behind.code, first.code, second.code) == (8, 0, 0)
    assert "applied 2 former names" in first.out
    assert second.json["data"] == {"store": hidden(url), "applied": [], "dry_run": False}


def hidden(url: str) -> str:
    from sourced._stores import safe_url

    return safe_url(url)


def test_sql_is_printed_without_connecting_and_does_what_install_does(
    project: Project, url: str, connection: psycopg.Connection, role: str
) -> None:
    nowhere = "postgresql://127.0.0.1:1/shop?schema=" + url.rpartition("schema=")[2]
    script = project.sourced("migrate", "sql", "--role", role, "--dsn", nowhere)
    document = project.sourced("migrate", "sql", "--role", role, "--dsn", nowhere, "--json").json

    connection.execute(script.out.encode())

    assert script.code == 0
    assert document["data"]["sql"].strip() == script.out.strip()
    assert document["data"]["after"] == 0
    assert role in script.out
    assert project.sourced("migrate", "status", "--check", "--dsn", url).code == 0


def test_sql_after_a_version_that_there_is_not_is_wrong_usage(project: Project, url: str) -> None:
    result = project.sourced("migrate", "sql", "--after", "99", "--dsn", url)

    assert result.code == 2
    assert str(VERSION) in result.err


def test_install_grants_a_role_what_workers_need(project: Project, url: str, role: str) -> None:
    result = project.sourced("install", "--dsn", url, "--role", role)
    unknown = project.sourced("install", "--dsn", url, "--role", "nobody here")
    everybody = project.sourced("install", "--dsn", url, "--role", "public")

    assert result.code == 0
    assert f"granted {role} what workers need" in result.out
    assert (unknown.code, everybody.code) == (7, 2)


def test_a_newer_schema_is_told_with_the_code_of_the_table(
    project: Project, url: str, connection: psycopg.Connection, schema: str
) -> None:
    project.sourced("install", "--dsn", url)
    migrations = sql.Identifier(schema, "migrations")
    connection.execute(sql.SQL("INSERT INTO {} VALUES (999, now(), '')").format(migrations))

    codes = [project.sourced("migrate", verb, "--dsn", url).code for verb in ("status", "up")]
    connection.execute(sql.SQL("DELETE FROM {} WHERE version = 999").format(migrations))

    assert codes == [5, 5]

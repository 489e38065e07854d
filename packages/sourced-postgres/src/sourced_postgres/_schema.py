"""The schema: making, migrating, granting and dropping it, from the files under `sql/`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, LiteralString, cast

from psycopg import sql

from sourced.errors import SchemaError
from sourced_postgres._connections import Connection

__all__ = [
    "VERSION",
    "install",
    "installed_version",
    "migration_files",
    "migration_sql",
    "uninstall",
]

_SQL: Final = files("sourced_postgres") / "sql"


# --- files ----------------------------------------------------------------------------------------


@cache
def migration_files() -> tuple[tuple[int, str], ...]:
    """Return (version, name) of every migration, oldest first."""
    names = sorted(f.name for f in (_SQL / "migrations").iterdir() if f.name.endswith(".sql"))
    return tuple((int(name.partition("_")[0]), name) for name in names)


VERSION: Final = migration_files()[-1][0]
"""The version of the tables that this package reads and writes."""


@cache
def _function_files() -> tuple[Traversable, ...]:
    found = (f for f in (_SQL / "functions").iterdir() if f.name.endswith(".sql"))
    return tuple(sorted(found, key=lambda f: f.name))


@cache
def _fingerprint() -> str:
    digest = hashlib.sha256()
    for file in _function_files():
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _bound(file: Traversable, schema: str, **more: str) -> sql.Composed:
    """Return the text of a file with its identifiers bound, the only thing ever put into one."""
    text: LiteralString = cast(Any, file.read_text(encoding="utf-8"))  # a file of this package
    names = {name: sql.Identifier(value) for name, value in more.items()}
    return sql.SQL(text).format(schema=sql.Identifier(schema), **names)


# --- making ---------------------------------------------------------------------------------------


def install(
    connection: Connection, schema: str, *, role: str | None = None, turned_clock: bool = False
) -> bool:
    """Make or migrate what is missing; return whether anything was.

    Runs in the caller's transaction. Of several processes that install at once, one makes the
    schema while the others wait for its advisory lock, and then find it made.

    Args:
        connection: inside a transaction.
        schema: where.
        role: is granted what workers need.
        turned_clock: whether the store goes by a clock that tests turn.

    Raises:
        SchemaError: the tables are of a newer version.
    """
    _lock(connection, schema)
    version, functions = installed_version(connection, schema)
    changed = _migrate(connection, schema, version)
    if changed or functions != _fingerprint():
        _replace_functions(connection, schema)
        if turned_clock:
            connection.execute(_bound(_SQL / "testing" / "now.sql", schema))
        changed = True
    if role is not None:
        connection.execute(_bound(_SQL / "grants.sql", schema, role=role))
    return changed


def installed_version(connection: Connection, schema: str) -> tuple[int, str]:
    """Return the version of the tables, 0 if there are none, and the functions' fingerprint.

    Raises:
        SchemaError: they are of a newer version than this package.
    """
    there = connection.execute("SELECT to_regclass(%s)", [f'"{schema}".migrations']).fetchone()
    if there is None or there[0] is None:
        return 0, ""
    latest = sql.SQL(
        "SELECT m.version, m.functions FROM {}.migrations AS m ORDER BY m.version DESC LIMIT 1"
    )
    row = connection.execute(latest.format(sql.Identifier(schema))).fetchone()
    version, functions = row if row is not None else (0, "")
    if version > VERSION:
        raise SchemaError(
            f"the schema {schema!r} is of version {version}, this package writes version "
            f"{VERSION}: upgrade it with `pip install --upgrade sourced-postgres`"
        )
    return version, functions


def migration_sql(schema: str, after: int) -> str:
    """Return the script that brings the tables from a version to this package's."""
    return "\n".join(part.as_string(None) for _, part in _steps(schema, after))


def _steps(schema: str, after: int) -> Iterator[tuple[int, sql.Composed]]:
    for version, name in migration_files():
        if version > after:
            yield version, _bound(_SQL / "migrations" / name, schema)


def _migrate(connection: Connection, schema: str, version: int) -> bool:
    if version == VERSION:
        return False
    if version == 0:
        _create_schema(connection, schema)
        connection.execute(_bound(_SQL / "schema.sql", schema))
    else:
        for _, script in _steps(schema, version):
            connection.execute(script)
    _note(connection, schema, version)
    return True


def _note(connection: Connection, schema: str, version: int) -> None:
    statement = sql.SQL(
        "INSERT INTO {}.migrations (version, applied_at, functions)"
        " VALUES (%s, clock_timestamp(), '')"
    ).format(sql.Identifier(schema))
    for number, _ in migration_files():
        if number > version:
            connection.execute(statement, [number])


def _create_schema(connection: Connection, schema: str) -> None:
    # CREATE SCHEMA IF NOT EXISTS asks for the right to create one even where it does nothing.
    if connection.execute("SELECT to_regnamespace(%s)", [f'"{schema}"']).fetchone() == (None,):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))


def _replace_functions(connection: Connection, schema: str) -> None:
    connection.execute("SET LOCAL check_function_bodies = off")  # they refer to one another
    connection.execute(sql.SQL("\n").join([_bound(file, schema) for file in _function_files()]))
    noted = sql.SQL("UPDATE {}.migrations SET functions = %s WHERE version = %s")
    connection.execute(noted.format(sql.Identifier(schema)), [_fingerprint(), VERSION])


def _lock(connection: Connection, schema: str) -> None:
    key = f"sourced install {schema}"
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


# --- dropping -------------------------------------------------------------------------------------


def uninstall(connection: Connection, schema: str) -> None:
    """Drop what `install` made; the schema itself if nothing of the user's is left in it."""
    _lock(connection, schema)
    if installed_version(connection, schema)[0] == 0:
        return
    names = [*(file.name.removesuffix(".sql") for file in _function_files())]
    for (signature,) in connection.execute(_ROUTINES, [schema, names]).fetchall():
        connection.execute(sql.SQL("DROP ROUTINE {}").format(sql.SQL(signature)))
    for name in _TABLES:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(schema, name)))
    connection.execute(sql.SQL("DROP SEQUENCE {}").format(sql.Identifier(schema, "epochs")))
    (is_empty,) = connection.execute(_IS_EMPTY, {"schema": schema}).fetchone() or (False,)
    if is_empty and schema != "public":
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(schema)))


_TABLES: Final = (
    "streams",
    "messages",
    "groups",
    "former_names",
    "subscriptions",
    "deliveries",
    "schedule",
    "snapshots",
    "workers",
    "operations",
    "migrations",
    "clock",
)

_ROUTINES: Final = """
SELECT p.oid::regprocedure::text
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = %s AND p.proname = ANY (%s)
"""

_IS_EMPTY: Final = """
SELECT NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid
) AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = n.oid
) AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_type AS t WHERE t.typnamespace = n.oid
)
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname = %(schema)s
"""

"""The schema: making the tables, saying whether they are there, dropping them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Table, func, inspect, select
from sqlalchemy.dialects import sqlite

from sourced.errors import SchemaError
from sourced_sqlalchemy._scope import Scope

__all__ = ["VERSION", "install", "is_installed", "uninstall"]

VERSION: Final = 1
"""The version of the tables that this package reads and writes."""


def install(scope: Scope) -> bool:
    """Make what is missing; return whether anything was.

    The transaction has the write lock, so of several processes that install at once one makes the
    tables, and the others find them.

    Raises:
        SchemaError: the tables are of a newer version.
    """
    tables, connection = scope.tables, scope.connection
    missing = _missing(scope)
    if not missing and _version(scope) == VERSION:
        return False
    tables.metadata.create_all(connection, tables=missing, checkfirst=False)
    rows = (
        sqlite.insert(tables.counters).values(name="epochs", value=0),
        sqlite.insert(tables.migrations).values(version=VERSION, applied_at=scope.now),
    )
    for row in rows:
        connection.execute(row.on_conflict_do_nothing())
    return True


def is_installed(scope: Scope) -> bool:
    """Return whether all is there, in this version.

    Raises:
        SchemaError: the tables are of a newer version.
    """
    return not _missing(scope) and _version(scope) == VERSION


def uninstall(scope: Scope) -> None:
    """Drop every table."""
    scope.tables.metadata.drop_all(scope.connection)


def _missing(scope: Scope) -> list[Table]:
    present = set(inspect(scope.connection).get_table_names())
    return [table for table in scope.tables.metadata.sorted_tables if table.name not in present]


def _version(scope: Scope) -> int:
    """Return the version of the tables, 0 if none was made.

    Raises:
        SchemaError: they are of a newer version than this package.
    """
    latest = select(func.coalesce(func.max(scope.tables.migrations.c.version), 0))
    version: int = scope.connection.execute(latest).scalar_one()
    if version > VERSION:
        raise SchemaError(
            f"the tables {scope.tables.prefix}… are of version {version}, this package writes "
            f"version {VERSION}: upgrade it with `pip install --upgrade sourced-sqlalchemy`"
        )
    return version

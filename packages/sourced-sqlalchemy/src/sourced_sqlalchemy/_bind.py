"""Transactions of the caller's: the verbs beside the caller's own rows, each in a savepoint.

`store.transaction()` begins with BEGIN IMMEDIATE. `store.bind(…)` joins what the caller began, and
meets the driver there as SQLAlchemy sets it up by default: `sqlite3` emits no BEGIN before a SELECT
or a SAVEPOINT, and a savepoint outside a transaction commits when it is released. So where no
transaction has begun on the driver's side, a verb begins it, with BEGIN IMMEDIATE. Where one has,
as a reader, its first write fails at once if somebody else wrote meanwhile; no waiting would help.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from sourced.errors import IsolationError, UsageError
from sourced_sqlalchemy._connections import raw_of
from sourced_sqlalchemy._database import Database
from sourced_sqlalchemy._scope import Scope
from sourced_sqlalchemy._translate import translated
from sourced_sqlalchemy._verbs import Verbs

__all__ = ["CallersTransaction", "connection_of", "join"]


class CallersTransaction(Verbs):
    """The verbs inside a transaction; implements `sourced._store.Transaction`.

    Args:
        scope: makes a scope on a connection.
        connection: gives the connection of the transaction.
        database: of the store.
    """

    def __init__(
        self,
        scope: Callable[[Connection], Scope],
        connection: Callable[[], Connection],
        database: Database,
    ) -> None:
        super().__init__(database.options.max_message_bytes)
        self._scope = scope
        self._connection = connection
        self._database = database
        self._ended = False
        self.stirred: set[str] = set()

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection, for the caller's own statements."""
        return self._connection()

    def end(self) -> None:
        """Let no more be done."""
        self._ended = True

    @contextmanager
    def _reading(self) -> Iterator[Scope]:
        self._check_open()
        with translated(self._database.options):
            yield self._scope(self._connection())

    @contextmanager
    def _writing(self, *, durable: bool = True, then: str = "") -> Iterator[Scope]:  # noqa: ARG002 - the caller commits
        self._check_open()
        with translated(self._database.options):
            connection = self._connection()
            join(connection, self._database)
            with connection.begin_nested():
                scope = self._scope(connection)
                yield scope
        self.stirred.update(scope.stirred)

    def _check_open(self) -> None:
        if self._ended:
            raise UsageError("this transaction has ended; open another one")


def join(connection: Connection, database: Database) -> None:
    """See that a transaction has begun on the driver's side, with the write lock if it begins here.

    Raises:
        IsolationError: the connection commits every statement by itself.
    """
    if not connection.in_transaction():
        connection.begin()
    raw = raw_of(connection)
    if raw.in_transaction:
        return
    if raw.isolation_level is None or getattr(raw, "autocommit", False) is True:
        raise IsolationError(
            "the connection is in autocommit mode, so rows and messages could not commit together; "
            "bind one that begins transactions (no isolation_level='AUTOCOMMIT')"
        )
    database.begin_writing(connection)


def connection_of(given: Any, database: Database) -> Callable[[], Connection]:
    """Return what gives the connection of a caller's Connection or Session.

    Raises:
        UsageError: it is neither, or of another database.
    """
    if isinstance(given, Connection):
        connection: Callable[[], Connection] = lambda: given  # noqa: E731
    elif _is_session(given):
        connection = given.connection
    else:
        raise UsageError(
            f"cannot bind to {type(given).__qualname__}; give SQLAlchemy's Connection or Session "
            "(of an AsyncSession its sync_session, inside run_sync)"
        )
    with translated(database.options):
        _check_same(connection(), database)
    return connection


def _is_session(given: Any) -> bool:
    # Who has a Session has imported this; a store without one needs not load it.
    orm = sys.modules.get("sqlalchemy.orm")
    return orm is not None and isinstance(given, orm.Session | orm.scoped_session)


def _check_same(connection: Connection, database: Database) -> None:
    if connection.dialect.name != "sqlite" or connection.dialect.driver != "pysqlite":
        raise UsageError(
            f"the connection is one of {connection.dialect.name} through "
            f"{connection.dialect.driver}; this store needs one of SQLite through pysqlite"
        )
    rows = raw_of(connection).execute("PRAGMA database_list").fetchall()
    file = next((name for _, schema, name in rows if schema == "main"), "")
    mine = database.options.file
    if mine is None:
        if not database.is_mine(connection):
            raise UsageError("a store in memory joins only its own connections, as syncs get them")
    elif not file or not _is_same(Path(file), mine):
        raise UsageError(
            f"the connection is one of {file or 'a database in memory'}, the store's is {mine}; "
            "rows commit together with messages only in one file"
        )


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False

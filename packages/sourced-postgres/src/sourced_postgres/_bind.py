"""Transactions of the caller's: the verbs beside the caller's own rows, each in a savepoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from sourced.errors import IsolationError, UsageError
from sourced_postgres._connections import Connection
from sourced_postgres._identity import Identity
from sourced_postgres._options import Options
from sourced_postgres._translate import translated
from sourced_postgres._verbs import Verbs

__all__ = ["CallersTransaction", "joined"]


class CallersTransaction(Verbs):
    """The verbs inside a transaction; implements `sourced._store.Transaction`.

    Args:
        connection: of the transaction.
        options: of the store.
        name: of the database, for messages.
        prepare: is called before each verb.
    """

    def __init__(
        self, connection: Connection, options: Options, name: str, prepare: Callable[[], None]
    ) -> None:
        super().__init__(options, name)
        self._connection = connection
        self._prepare = prepare
        self._callers_rows: Any = connection.row_factory
        self._is_over = False
        self.stirred: set[str] = set()

    @property
    def connection(self) -> Connection:
        """Psycopg's connection, for the caller's own statements."""
        return self._connection

    def end(self) -> None:
        """Let no more be done."""
        self._is_over = True

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._check_open()
        with self._rows_as(tuple_row):
            yield self._connection

    @contextmanager
    def _writing(self, *, is_open: bool) -> Iterator[Connection]:  # noqa: ARG002 - it always is
        self._check_open()
        self._prepare()
        with self._connection.transaction(), self._rows_as(tuple_row):
            yield self._connection

    def _syncing(self) -> AbstractContextManager[None]:
        return self._rows_as(self._callers_rows)

    @contextmanager
    def _rows_as(self, factory: Any) -> Iterator[None]:
        """Let rows be such for a while: the caller's connection may give dicts or objects."""
        before: Any = self._connection.row_factory
        self._callers_rows, outer = before, self._callers_rows
        self._connection.row_factory = factory
        try:
            yield
        finally:
            self._connection.row_factory = before
            self._callers_rows = outer

    def _committed(self, point: str) -> None:
        """Reach nothing: the caller commits."""

    def _hint(self, groups: Iterable[str]) -> None:
        self.stirred.update(groups)

    def _check_open(self) -> None:
        if self._is_over:
            raise UsageError("this transaction has ended; open another one")
        status = self._connection.info.transaction_status
        if status == TransactionStatus.IDLE:
            begin(self._connection)


def begin(connection: Connection) -> None:
    """See that a transaction has begun on a caller's connection.

    Raises:
        IsolationError: the connection commits every statement by itself.
    """
    if connection.autocommit:
        raise IsolationError(
            "the connection is in autocommit mode and in no transaction, so rows and messages "
            "could not commit together: bind inside `with connection.transaction():`"
        )
    connection.execute("SELECT")


def joined(given: Any, name: str, identity: Identity) -> Connection:
    """Return a caller's connection if messages and rows can commit together on it.

    Raises:
        UsageError: it is none of psycopg's, or of another database.
        IsolationError: it is in autocommit mode and in no transaction.
    """
    if not isinstance(given, psycopg.Connection):
        raise UsageError(
            f"cannot bind to {type(given).__qualname__}; give psycopg's Connection "
            "(SQLAlchemy has it as connection.connection.driver_connection)"
        )
    with translated(name):
        if given.info.transaction_status == TransactionStatus.IDLE:
            begin(given)
        identity.check(given)
    return given

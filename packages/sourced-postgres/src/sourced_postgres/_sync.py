"""The caller's own code on the store's connections: syncs that write, and loads that read.

A lost connection and a deadlock are trouble of the database, whatever the caller's code makes of
them: nobody's failure, and no attempt of the message in hand. A statement that took too long is
told as that, for whoever counts how often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from sourced.errors import UsageError
from sourced_postgres._connections import Connection
from sourced_postgres._liveness import READ_ONLY, ending_of, with_causes
from sourced_postgres._translate import TOO_LONG, TRY_AGAIN, CallersError, timed_out

__all__ = ["CHECK", "callers_code", "run_sync"]

_STOOD_STILL: Final = "25P03"


CHECK: Final = b"SET CONSTRAINTS ALL IMMEDIATE"
"""Lets what the caller put off to the end of the transaction be checked now, and from now on.

Before any lock of the store's is taken: the check may wait for other people's rows.
"""


def run_sync(
    connection: Connection, sync: Callable[[Connection], None], *, is_checked: bool = False
) -> None:
    """Let the caller write in this transaction.

    Args:
        connection: inside the transaction.
        sync: the caller's own code.
        is_checked: whether constraints that it put off are checked behind it, as part of it.

    Raises:
        CallersError: carries what it raised; or that it ended the transaction, hid that a statement
            of its failed, or stood still until the server ended the transaction.
        psycopg.Error: trouble of the database.
    """
    with callers_code(connection):
        sync(connection)
    problem = _problem_with(connection)
    if problem:
        raise CallersError(UsageError(problem))
    if is_checked:
        with callers_code(connection):
            connection.execute(CHECK)


@contextmanager
def callers_code(connection: Connection) -> Iterator[None]:
    """Tell what the caller's own code raises inside from trouble of the database.

    Code that hides the end of its connection does not go on as if all were well; how it wants its
    rows is forgotten behind it.

    Raises:
        CallersError: carries what the code raised; or that it stood still for too long, or, as a
            `StatementTimeoutError` with what it raised as cause, that a statement of its took too
            long.
        psycopg.Error: trouble of the database.
    """
    try:
        yield
    except Exception as error:
        raise (_trouble_in(connection, error) or CallersError(error)) from error
    finally:
        connection.row_factory, connection.cursor_factory = tuple_row, psycopg.Cursor
    ended = ending_of(connection)
    if ended is not None and (trouble := _trouble_in(connection, ended)) is not None:
        raise trouble from ended


def _trouble_in(connection: Connection, error: BaseException) -> Exception | None:
    """Return what befell the connection, if the error is only what came of it."""
    for one in with_causes(error):
        if not isinstance(one, psycopg.Error):
            continue
        if one.sqlstate == _STOOD_STILL:
            return CallersError(
                UsageError(
                    "a sync did nothing with its connection until the server ended the "
                    "transaction: let it only write, or raise transaction_limit"
                )
            )
        if one.sqlstate in {*TRY_AGAIN, READ_ONLY}:
            return type(one)(str(one))
        if one.sqlstate in TOO_LONG:
            return _too_long(one, error)
    if connection.broken:
        return psycopg.OperationalError(f"the connection was lost while it was in use ({error})")
    return None


def _too_long(statement: psycopg.Error, error: BaseException) -> CallersError:
    carried = timed_out(statement)
    carried.__cause__ = error
    return CallersError(carried)


def _problem_with(connection: Connection) -> str:
    status = connection.info.transaction_status
    if status == TransactionStatus.INERROR:
        return (
            "a statement of a sync failed and the sync went on; wrap what may fail in "
            "`with connection.transaction():`, or let the error out"
        )
    if status != TransactionStatus.INTRANS:
        return (
            "a sync committed, rolled back or closed the connection it was given; leave that to "
            "the store, which commits its rows together with the events"
        )
    return ""

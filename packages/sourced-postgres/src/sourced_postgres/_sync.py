"""Syncs: letting the caller write rows of its own inside the store's transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus

from sourced.errors import UsageError
from sourced_postgres._connections import Connection
from sourced_postgres._liveness import READ_ONLY, ending_of, with_causes
from sourced_postgres._translate import TRY_AGAIN, CallersError

__all__ = ["run_sync"]

_STOOD_STILL: Final = "25P03"


def run_sync(connection: Connection, sync: Callable[[Connection], None]) -> None:
    """Let the caller write in this transaction.

    A lost connection, a deadlock and a server that takes no writes are trouble of the database,
    whatever the caller's code makes of them: nobody's failure, no attempt of the message in hand.

    Raises:
        CallersError: carries what it raised; or that it ended the transaction, hid that a statement
            of its failed, or stood still until the server ended the transaction.
        psycopg.Error: trouble of the database.
    """
    try:
        sync(connection)
    except Exception as error:
        raise (_trouble_in(connection, error) or CallersError(error)) from error
    ended = ending_of(connection)
    if ended is not None and (trouble := _trouble_in(connection, ended)) is not None:
        raise trouble from ended
    problem = _problem_with(connection)
    if problem:
        raise CallersError(UsageError(problem))


def _trouble_in(connection: Connection, error: BaseException) -> Exception | None:
    """Return what befell the transaction, if the error is only what came of it."""
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
        if one.sqlstate in TRY_AGAIN or one.sqlstate == READ_ONLY:
            return type(one)(str(one))
    if connection.broken:
        return psycopg.OperationalError(f"the connection was lost while a sync ran ({error})")
    return None


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

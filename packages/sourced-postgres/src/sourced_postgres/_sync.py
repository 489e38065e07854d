"""Syncs: letting the caller write rows of its own inside the store's transaction."""

from __future__ import annotations

from collections.abc import Callable

from psycopg.pq import TransactionStatus

from sourced.errors import UsageError
from sourced_postgres._connections import Connection
from sourced_postgres._translate import CallersError

__all__ = ["run_sync"]


def run_sync(connection: Connection, sync: Callable[[Connection], None]) -> None:
    """Let the caller write in this transaction.

    Raises:
        CallersError: carries what it raised.
        UsageError: it ended the transaction, or hid that a statement of its failed.
    """
    try:
        sync(connection)
    except Exception as error:
        raise CallersError(error) from error
    status = connection.info.transaction_status
    if status == TransactionStatus.INERROR:
        raise UsageError(
            "a statement of a sync failed and the sync went on; wrap what may fail in "
            "`with connection.transaction():`, or let the error out"
        )
    if status != TransactionStatus.INTRANS:
        raise UsageError(
            "a sync committed or rolled back the connection it was given; leave that to the store, "
            "which commits its rows together with the events"
        )

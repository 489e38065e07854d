"""Transactions in which the caller's own code runs: begun with a limit, ended with their verb.

What that code has written stays locked until the end, so the server ends a transaction that stands
still for longer than the limit. The verb and its COMMIT are sent together: no lock of the store's
is held while this process decides what to send. Two transactions that write rows of the user's own
in opposite order may deadlock; the one that the server picks is done again from its start, so the
code may run more than once, and its last run counts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypeVar

import psycopg

from sourced._faults import is_armed, reach
from sourced_postgres._connections import Connection, milliseconds
from sourced_postgres._rows import Row
from sourced_postgres._translate import TRY_AGAIN

__all__ = ["Statement", "begin", "finish", "repeated", "undone"]

T = TypeVar("T")
Statement: TypeAlias = tuple[bytes, Sequence[Any]]

_LIMIT: Final = b"SELECT set_config('idle_in_transaction_session_timeout', %s, true)"

ATTEMPTS: Final = 5
"""How often a transaction is begun that falls victim to deadlocks."""


def begin(connection: Connection, limit: timedelta, *first: Statement) -> None:
    """Begin, set how long the transaction may stand still, and run statements: one round trip.

    As one simple query: behind a pipeline the driver asks the server to flush, and a server that
    was sent anything more than the end of a command does not count for how long it idles.
    """
    statements = [b"BEGIN ISOLATION LEVEL READ COMMITTED", _LIMIT, *(each[0] for each in first)]
    arguments = [str(milliseconds(limit)), *(value for each in first for value in each[1])]
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(b"; ".join(statements), arguments)


def finish(connection: Connection, last: Statement, *, halt: str) -> Row:
    """Send the verb and its COMMIT together; apart only where a test halts between them."""
    if is_armed():
        row = connection.execute(*last).fetchone()
        reach(halt)
        connection.execute("COMMIT")
    else:
        with connection.pipeline():
            cursor = connection.execute(*last)
            connection.execute("COMMIT")
        row = cursor.fetchone()
    assert row is not None
    return row


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """Roll back if what is done inside fails."""
    try:
        yield
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise


def repeated(once: Callable[[], T]) -> T:
    """Do a transaction as a whole, and again if it fell victim to a deadlock."""
    for attempt in range(1, ATTEMPTS):
        try:
            return once()
        except psycopg.Error as error:
            if error.sqlstate not in TRY_AGAIN:
                raise
        time.sleep(random.uniform(0, 0.005 * 2**attempt))
    return once()

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
from sourced_postgres._sync import CHECK
from sourced_postgres._translate import TRY_AGAIN, is_replaced

__all__ = ["Statement", "begin", "finish", "repeated", "undone"]

T = TypeVar("T")
Statement: TypeAlias = tuple[bytes, Sequence[Any]]

_LIMIT: Final = b"SELECT set_config('idle_in_transaction_session_timeout', %s, true)"

ATTEMPTS: Final = 5
"""How often a transaction is begun that falls victim to deadlocks."""


def begin(connection: Connection, limit: timedelta, *first: Statement) -> None:
    """Begin, set how long the transaction may stand still, and run statements: one round trip."""
    wait = _LIMIT, [str(milliseconds(limit))]
    _together(connection, (b"BEGIN ISOLATION LEVEL READ COMMITTED", []), wait, *first)


def finish(connection: Connection, last: Statement, *, halt: str) -> Row:
    """Send the verb and its COMMIT together; apart only where a test halts between them.

    Constraints that the caller put off are checked first, before the verb takes locks.
    """
    if is_armed():
        connection.execute(CHECK)
        row = connection.execute(*last).fetchone()
        reach(halt)
        connection.execute("COMMIT")
    else:
        row = _together(connection, (CHECK, []), last, (b"COMMIT", []), answer=1)
    assert row is not None
    return row


def _together(connection: Connection, *statements: Statement, answer: int = 0) -> Row | None:
    """Run statements in one round trip, up to the first that fails; return the first row of one.

    As one simple query, not as a pipeline of the driver's. What a process sends of it before it
    freezes is not yet a command, so the server goes on to count how long the transaction stands
    still; of a pipeline it might be one, or more than the end of one, and then it does not count.
    And what follows a statement that failed is skipped without a word: a pipeline has an error for
    each, which the driver logs as one that it ignores.
    """
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(
            b"; ".join(statement for statement, _ in statements),
            [value for _, values in statements for value in values],
        )
        for _ in range(answer):
            cursor.nextset()
        return cursor.fetchone() if cursor.description else None


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
    """Do a transaction as a whole, and again if it fell victim to a deadlock or an upgrade."""
    for attempt in range(1, ATTEMPTS):
        try:
            return once()
        except psycopg.Error as error:
            if error.sqlstate not in TRY_AGAIN and not is_replaced(error):
                raise
        time.sleep(random.uniform(0, 0.005 * 2**attempt))
    return once()

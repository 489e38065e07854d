"""Which database of which server a connection is one to, as the server says.

What libpq was told does not tell: the name may come from the environment, a service file or the
user's name, and the address may be a pooler's. So the server is asked for the name of the database
and for the moment at which it started, which any role may read and no two servers share. Each
connection is asked once, and again, as the store's own, before it is refused, since the server may
have been started anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg.rows import tuple_row

from sourced.errors import StoreUnavailableError, UsageError
from sourced_postgres._connections import Connection
from sourced_postgres._translate import translated

__all__ = ["Identity"]

Place = tuple[str, str]
"""A database's name, and when its server started."""

_ASK: Final = """
SELECT current_database()::text, extract(epoch FROM pg_postmaster_start_time())::text
"""


class Identity:
    """What a store's own connections are connections to.

    Args:
        name: of the database, for messages.
        use: gives one of the store's own.
    """

    def __init__(self, name: str, use: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._name, self._use = name, use
        self._own: Place | None = None
        self._mutex = threading.Lock()
        self._given: WeakKeyDictionary[psycopg.Connection[Any], Place] = WeakKeyDictionary()

    def check(self, given: psycopg.Connection[Any]) -> None:
        """Refuse a caller's connection that is known to be one to something else.

        Raises:
            UsageError: it is.
        """
        theirs = self._place_of(given)
        if theirs == self._own:
            return
        try:
            with translated(self._name), self._use() as connection:
                self._own = _asked(connection)
        except StoreUnavailableError:
            return  # then it is not known
        theirs = self._place_of(given, again=True)  # a pooler's server may be another one by now
        if theirs == self._own:
            return
        database, _ = theirs
        where = " of another server" if database == self._own[0] else ""
        raise UsageError(
            f"the connection is one to database {database!r}{where}, the store's is "
            f"{self._name}; rows commit together with messages only in one database"
        )

    def _place_of(self, given: psycopg.Connection[Any], *, again: bool = False) -> Place:
        with self._mutex:
            known = None if again else self._given.get(given)
        if known is None:
            known = _asked(given)
            with self._mutex:
                self._given[given] = known
        return known


def _asked(connection: psycopg.Connection[Any]) -> Place:
    # Not prepared: behind a pooler a prepared statement may be missing in the next session.
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(_ASK, prepare=False).fetchone()
    assert row is not None
    return row[0], row[1]

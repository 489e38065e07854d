"""Poolers: whether a connection keeps its server session, which LISTEN needs.

A pooler that hands out single transactions takes LISTEN without a word, for a session that serves
somebody else a moment later: nothing is ever heard, and the session collects what is notified. Who
answers behind a pooler can be seen, since it makes up the process id that a client is told of: it
is not the one of the session. Then it shows how it pools. One that hands out the session which has
rested longest gives another one each time; one that hands out the latest gives it to a second
connection, if that comes next and begins a transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final

from sourced_postgres._connections import Connection

__all__ = ["keeps_its_session"]

_ROUNDS: Final = 5
"""How often is looked: on a busy pooler a session may come back by chance."""


def keeps_its_session(connection: Connection, connect: Callable[[], Connection]) -> bool:
    """Return whether all transactions of a connection are run by one session of the server.

    Args:
        connection: in autocommit mode.
        connect: opens another one like it, if there is a pooler.
    """
    if _session(connection) == connection.info.backend_pid:
        return True
    with closing(connect()) as other:
        return all(_is_kept(connection, other) for _ in range(_ROUNDS))


def _is_kept(connection: Connection, other: Connection) -> bool:
    before = _session(connection)
    if _session(connection) != before:
        return False
    with other.transaction():
        return _session(other) != before and _session(connection) == before


def _session(connection: Connection) -> int:
    # Not prepared: a statement is prepared in a session, and may be missing in the next one.
    (pid,) = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone() or (0,)
    return int(pid)

"""Whether a connection is of use: a glance at an idle one, a limit for a silent one, no writes."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psycopg

from sourced_postgres._rows import Row

__all__ = [
    "KEEPALIVE",
    "READ_ONLY",
    "ending_of",
    "is_open",
    "left_if_read_only",
    "limited",
    "with_causes",
]

READ_ONLY: Final = "25006"
"""What a standby says to whoever writes, such as one that was the primary before a fail-over."""

KEEPALIVE: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""A peer that has vanished without a word is noticed by the system within half a minute.

Without these a thread that waits for its answer would wait for hours.
"""


def is_open(connection: psycopg.Connection[Row]) -> bool:
    """Return whether an idle connection can be used: one system call, no round trip."""
    return ending_of(connection) is None


def ending_of(connection: psycopg.Connection[Row]) -> psycopg.Error | None:
    """Return what ended a connection that awaits no answer, or None if it is open.

    A server says nothing to a connection that asks nothing, so one whose socket can be read has
    most probably been ended. Only such a one is asked.
    """
    try:
        if _can_be_read(connection.fileno()):
            connection.execute("")
    except psycopg.Error as error:
        return error
    return None


def _can_be_read(fileno: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([fileno], [], [], 0)[0])
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def limited(connection: psycopg.Connection[Row], seconds: float) -> Iterator[None]:
    """Cut a connection if what is done with it inside takes longer, so that it fails.

    A socket whose peer is silent and never says goodbye would be waited for without end.
    """
    mutex, is_over = threading.Lock(), False

    def cut() -> None:
        with mutex:
            if not is_over and not connection.closed:
                _shut(connection.fileno())

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with mutex:  # from here on the number may be that of another socket
            is_over = True


@contextmanager
def left_if_read_only(connection: psycopg.Connection[Row]) -> Iterator[None]:
    """Close a connection whose server takes no writes: the next one may find one that does."""
    try:
        yield
    except Exception as error:
        if any(
            isinstance(one, psycopg.Error) and one.sqlstate == READ_ONLY
            for one in with_causes(error)
        ):
            connection.close()
        raise


def with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it came from, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [cause for cause in (one.__context__, one.__cause__) if cause is not None]


def _shut(fileno: int) -> None:
    shared = socket.socket(fileno=fileno)
    try:
        with suppress(OSError):
            shared.shutdown(socket.SHUT_RDWR)
    finally:
        shared.detach()  # libpq closes it

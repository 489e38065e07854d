"""The connections of a store: a pool that opens when it is first used, and again after a fork.

Every verb is a statement of its own on a connection in autocommit mode, or one transaction; nothing
is left behind on a connection, so a pooler may hand each transaction to another one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any, Final, TypeAlias

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from sourced._clock import Clock, SystemClock
from sourced.errors import StoreUnavailableError
from sourced_postgres._liveness import KEEPALIVE, is_open, left_if_read_only
from sourced_postgres._options import Options, name_of
from sourced_postgres._rows import Row, moment

__all__ = ["Connection", "Connections"]

Connection: TypeAlias = psycopg.Connection[Row]

_PATIENCE: Final = 1.0
"""Seconds after which whoever waits for a connection asks again.

By itself a pool whose server is away tries again after longer and longer pauses. One that gives up
early and is asked again has connections a second after the server, however long that was away.
"""

_NESTED_PATIENCE: Final = 0.1
"""Seconds for which one who has a connection already waits for another one of the pool."""


class Connections:
    """Connections to one database for all threads of this process."""

    def __init__(self, parameters: Mapping[str, Any], options: Options) -> None:
        self.options: Options = options
        self.name: str = name_of(parameters, options)
        self._parameters = dict(parameters)
        self._mutex = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        self._process = os.getpid()
        self._source = Source()
        self.reserved: Reserved = Reserved(self.open_one)

    @contextmanager
    def use(self, *, is_nested: bool = False) -> Iterator[Connection]:
        """Give a connection in autocommit mode, which was open a moment ago.

        Args:
            is_nested: the caller has another one in use. If all threads of a pool's size waited for
                a second one, each would wait for the others: so none does for long.

        Raises:
            StoreUnavailableError: none became free in time; says why.
            psycopg.Error: the first one could not be opened.
        """
        pool = self._opened()
        began = time.monotonic()
        try:
            connection = self._taken(pool, is_nested=is_nested)
        except PoolTimeout as error:
            if not is_nested:
                raise StoreUnavailableError(self._why_none(began)) from error
            with closing(self.open_one()) as connection:
                yield connection
            return
        try:
            with connection, left_if_read_only(connection):
                yield connection
        finally:
            pool.putconn(connection)

    @contextmanager
    def begun(self) -> Iterator[Connection]:
        """Give a connection inside a READ COMMITTED transaction; commit it at the end."""
        with self.use() as connection, connection.transaction():
            yield connection

    def open_one(self, **more: Any) -> Connection:
        """Open a connection beside the pool, in autocommit mode."""
        arguments = {**self._arguments(), **more}
        return _connected(lambda: psycopg.connect(**arguments))

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        with self._mutex:
            pool, self._pool = self._pool, None
        if pool is not None and self._process == os.getpid():
            pool.close()
        self.reserved.close()

    def _taken(self, pool: ConnectionPool[Connection], *, is_nested: bool) -> Connection:
        limit = self.options.pool_timeout.total_seconds()
        deadline = time.monotonic() + (_NESTED_PATIENCE if is_nested else limit)
        while True:
            left = deadline - time.monotonic()
            try:
                connection = pool.getconn(timeout=max(0.0, min(left, _PATIENCE)))
            except PoolTimeout:
                if left > _PATIENCE:
                    continue
                raise
            if is_open(connection):
                return connection
            connection.close()
            pool.putconn(connection)  # which replaces it

    def _opened(self) -> ConnectionPool[Connection]:
        pool = self._pool
        if pool is not None and self._process == os.getpid():
            return pool
        # The pool would try again and again, without a word, what a first attempt tells at once.
        first = self.open_one()
        with self._mutex:
            if self._pool is None or self._process != os.getpid():
                # A forked child must not use its parent's connections, nor say goodbye on them.
                self._process = os.getpid()
                self._source = Source(first)
                self._pool = self._open()
            else:
                first.close()
            return self._pool

    def _why_none(self, began: float) -> str:
        """Return why no connection became free since a moment."""
        waited = f"{self.options.pool_timeout.total_seconds():g} s"
        if (reason := self._source.failure_since(began)) is not None:
            return (
                f"{self.name} could not be reached for {waited}: {reason}; see that the server is "
                "up, then try again"
            )
        return (
            f"all {self.options.pool_size} connections to {self.name} were in use for {waited}: "
            "raise pool_size or pool_timeout, or keep syncs and transactions short"
        )

    def _open(self) -> ConnectionPool[Connection]:
        pool: ConnectionPool[Connection] = ConnectionPool(
            connection_class=Pooled,
            kwargs={**self._arguments(), "source": self._source},
            min_size=0,
            max_size=self.options.pool_size,
            timeout=self.options.pool_timeout.total_seconds(),
            max_idle=60,
            reconnect_timeout=_PATIENCE,
            name=f"sourced-{self.options.schema}",
            open=False,
        )
        pool.open()
        return pool

    def _arguments(self) -> dict[str, Any]:
        arguments = {
            **KEEPALIVE,
            "application_name": self.options.application_name,
            "connect_timeout": max(1, round(self.options.connect_timeout.total_seconds())),
            **{name: value for name, value in self._parameters.items() if value is not None},
            "client_encoding": "UTF8",  # whatever the URL or the environment says
            "autocommit": True,
            "prepare_threshold": 5 if self.options.prepare else None,
        }
        settings = _settings(self.options)
        if settings:
            arguments["options"] = " ".join([str(arguments.get("options", "")), *settings]).strip()
        return arguments


class Source:
    """Where a pool's connections come from: the first one is there, failures are remembered."""

    def __init__(self, first: Connection | None = None) -> None:
        self._first = [first] if first is not None else []
        self._failure: tuple[float, str] | None = None

    def take_first(self) -> Connection | None:
        """Return the connection that was opened before the pool, once."""
        try:
            return self._first.pop()
        except IndexError:
            return None

    def failed(self, error: psycopg.Error) -> None:
        """Remember why a connection could not be opened."""
        self._failure = time.monotonic(), str(error).strip().partition("\n")[0]

    def failure_since(self, moment: float) -> str | None:
        """Return why connections could not be opened, if one could not since then."""
        failure = self._failure
        return failure[1] if failure is not None and failure[0] >= moment else None


class Pooled(psycopg.Connection[Row]):
    """A connection of the pool."""

    @classmethod
    def connect(cls, conninfo: str = "", **arguments: Any) -> Any:
        """Open one, or take the one that is open already."""
        source: Source = arguments.pop("source")
        if (first := source.take_first()) is not None:
            return first
        connect = super().connect
        try:
            return _connected(lambda: connect(conninfo, **arguments))
        except psycopg.Error as error:
            source.failed(error)
            raise


def _connected(connect: Callable[[], Connection]) -> Connection:
    """Return a new connection.

    The driver's error has all parameters of the connection in its attributes, the password among
    them, and whoever prints those would show it: so another one is raised, that has its text only.
    """
    try:
        return connect()
    except psycopg.Error as error:
        failure = type(error)(str(error).strip())
    raise failure


class Reserved:
    """A connection that the pool does not give to others: whoever uses it waits for nobody else.

    Args:
        connect: opens a connection in autocommit mode.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._mutex = threading.Lock()
        self._connection: Connection | None = None
        self._process = os.getpid()

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Give the connection, one thread at a time; a new one if it was lost."""
        with self._mutex:
            if self._process != os.getpid():  # it is the parent's, who goes on using it
                self._process, self._connection = os.getpid(), None
            if self._connection is None or not is_open(self._connection):
                self._connection = self._connect()
            with left_if_read_only(self._connection):
                yield self._connection

    def close(self) -> None:
        """Let go of the connection; the next use opens another one."""
        with self._mutex:
            connection, self._connection = self._connection, None
            if connection is not None and self._process == os.getpid():
                connection.close()


def _settings(options: Options) -> list[str]:
    limits = {
        "statement_timeout": options.statement_timeout,
        "lock_timeout": options.lock_timeout,
    }
    return [
        f"-c {name}={milliseconds(limit)}" for name, limit in limits.items() if limit is not None
    ]


def milliseconds(limit: timedelta) -> int:
    """Return whole milliseconds, at least one: 0 would mean no limit."""
    return max(1, round(limit / timedelta(milliseconds=1)))


class TurnedClock:
    """Tells the database what a clock turned by tests shows; the machine's clock costs nothing.

    A schema that was installed with such a clock has a table `clock`, which its function `now()`
    reads in place of the server's time.
    """

    def __init__(self, clock: Clock, use: Callable[[], Any], update: bytes) -> None:
        self._clock = None if isinstance(clock, SystemClock) else clock
        self._use, self._update = use, update
        self._told: object = None

    @property
    def is_turned(self) -> bool:
        """Whether there is such a clock."""
        return self._clock is not None

    def forget(self) -> None:
        """Tell again: what was told is gone with the schema."""
        self._told = None

    def tell(self) -> None:
        """Say what the clock shows, if it moved."""
        if self._clock is None:
            return
        shown = self._clock.now()
        if shown != self._told:
            with self._use() as connection:
                connection.execute(self._update, [moment(shown)])
            self._told = shown

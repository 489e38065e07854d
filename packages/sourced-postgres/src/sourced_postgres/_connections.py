"""The connections of a store: a pool that opens when it is first used, and again after a fork.

Every verb is a statement of its own on a connection in autocommit mode, or one transaction; nothing
is left behind on a connection, so a pooler may hand each transaction to another one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeAlias

import psycopg
from psycopg_pool import ConnectionPool

from sourced._clock import Clock, SystemClock
from sourced_postgres._options import Options, name_of
from sourced_postgres._rows import Row, moment

__all__ = ["Connection", "Connections"]

Connection: TypeAlias = psycopg.Connection[Row]


class Connections:
    """Connections to one database for all threads of this process."""

    def __init__(self, parameters: Mapping[str, Any], options: Options) -> None:
        self.options: Options = options
        self.name: str = name_of(parameters, options)
        self._parameters = dict(parameters)
        self._mutex = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        self._process = os.getpid()

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Give a connection in autocommit mode."""
        with self._opened().connection() as connection:
            yield connection

    @contextmanager
    def begun(self) -> Iterator[Connection]:
        """Give a connection inside a READ COMMITTED transaction; commit it at the end."""
        with self.use() as connection, connection.transaction():
            yield connection

    @property
    def database(self) -> str:
        """The name of the database, as libpq finds it."""
        found = psycopg.conninfo.conninfo_to_dict(**self._parameters)
        return str(found.get("dbname") or found.get("user") or "")

    def open_one(self, **more: Any) -> Connection:
        """Open a connection beside the pool, in autocommit mode."""
        return psycopg.connect(**{**self._arguments(), **more})

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        with self._mutex:
            pool, self._pool = self._pool, None
        if pool is not None and self._process == os.getpid():
            pool.close()

    def _opened(self) -> ConnectionPool[Connection]:
        pool = self._pool
        if pool is not None and self._process == os.getpid():
            return pool
        with self._mutex:
            if self._pool is None or self._process != os.getpid():
                # A forked child must not use its parent's connections, nor say goodbye on them.
                self._process = os.getpid()
                self._pool = self._open()
            return self._pool

    def _open(self) -> ConnectionPool[Connection]:
        pool: ConnectionPool[Connection] = ConnectionPool(
            kwargs=self._arguments(),
            min_size=0,
            max_size=self.options.pool_size,
            timeout=self.options.pool_timeout.total_seconds(),
            max_idle=60,
            name=f"sourced-{self.options.schema}",
            open=False,
        )
        pool.open()
        return pool

    def _arguments(self) -> dict[str, Any]:
        arguments = {
            "application_name": self.options.application_name,
            "connect_timeout": max(1, round(self.options.connect_timeout.total_seconds())),
            **{name: value for name, value in self._parameters.items() if value is not None},
            "autocommit": True,
            "prepare_threshold": 5 if self.options.prepare else None,
        }
        settings = _settings(self.options)
        if settings:
            arguments["options"] = " ".join([str(arguments.get("options", "")), *settings]).strip()
        return arguments


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

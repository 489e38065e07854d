"""SQLAlchemy engines on a SQLite file: how connections are opened, and how transactions begin.

The driver is kept from beginning transactions by itself (`isolation_level=None`), and SQLAlchemy
never sends a BEGIN: that is done here, on the driver's connection. (An engine with a listener for
its `begin` event would look for listeners at every statement.) Readers and the writer have engines
of their own: readers begin DEFERRED on connections that cannot write, see the last commit, and in
WAL mode neither wait nor hold up.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import ref

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from sourced.errors import StoreUnavailableError
from sourced_sqlalchemy._options import Options
from sourced_sqlalchemy._translate import is_busy

__all__ = ["Opener", "begin_reading", "dispose", "raw_of"]

_T = TypeVar("_T")

_LONGEST_PAUSE = 0.01
"""Seconds between two attempts to begin, at most; short, because SQLite does not queue."""


def raw_of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's own connection."""
    raw: Any = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def dispose(*engines: Engine) -> None:
    """Close every connection of engines: now, or when whoever uses it gives it back."""
    for engine in engines:
        engine.dispose()


class Opener:
    """Opens connections to a database, and begins transactions on them.

    It knows the options only, not the database that uses it: so engines, which hold on to what
    opens their connections, do not keep a database that nobody uses any more.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._timeout = options.busy_timeout.total_seconds()

    def engines(self) -> tuple[Engine, Engine]:
        """Return the engine to read with and the one to write with; in memory they are one."""
        if self._options.file is None:
            only = create_engine("sqlite://", creator=self._open_in_memory, poolclass=StaticPool)
            return only, only
        reader = _pooled(self._open_to_read, 8)
        writer = _pooled(self._open_to_write, 1)
        return reader, writer

    def create(self) -> None:
        """Make the file if there is none, in WAL mode, which is a property of the file."""
        if self._options.file is not None:
            raw = self._open("rwc", self._timeout)
            try:
                self._use_wal(raw)
            finally:
                raw.close()

    def begin_writing(self, connection: Connection) -> None:
        """Begin a transaction with the write lock, on a connection of one's own or a caller's."""
        raw = raw_of(connection)
        self._patiently(lambda: raw.execute("BEGIN IMMEDIATE"))

    def _open_in_memory(self) -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def _open_to_read(self) -> sqlite3.Connection:
        raw = self._open("rw", self._timeout)
        raw.execute("PRAGMA query_only = ON")
        return raw

    def _open_to_write(self) -> sqlite3.Connection:
        # It waits in `begin_writing`, more evenly than SQLite's own busy handler would.
        raw = self._open("rw", timeout=0)
        try:
            self._use_wal(raw)
        except BaseException:
            raw.close()
            raise
        return raw

    def _open(self, mode: str, timeout: float) -> sqlite3.Connection:
        file = self._options.file
        assert file is not None
        if not os.path.isdir(file.parent):  # noqa: PTH112 - one that may not be seen is none
            raise StoreUnavailableError(
                f"cannot open {file}: the directory {file.parent} does not exist; make it first"
            )
        return sqlite3.connect(
            f"{file.as_uri()}?mode={mode}",
            uri=True,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def _use_wal(self, raw: sqlite3.Connection) -> None:
        def switch() -> str:
            return str(raw.execute("PRAGMA journal_mode = WAL").fetchone()[0])

        mode = self._patiently(switch)
        if mode != "wal":
            raise StoreUnavailableError(
                f"SQLite cannot keep a write-ahead log for {self._options.name} (it stays in mode "
                f"{mode!r}): put the file on a local disk"
            )

    def _patiently(self, attempt: Callable[[], _T]) -> _T:
        """Repeat what another process is in the way of, until the busy timeout."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return attempt()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(random.uniform(0.0002, _LONGEST_PAUSE))


def begin_reading(connection: Connection) -> None:
    """Begin a transaction that sees one snapshot, from its first statement on."""
    raw_of(connection).execute("BEGIN")


def _pooled(creator: Callable[[], sqlite3.Connection], size: int) -> Engine:
    engine = create_engine(
        "sqlite://", creator=creator, poolclass=QueuePool, pool_size=size, max_overflow=-1
    )
    own = ref(engine)  # the pools, which call these, are the engine's

    def opened(_raw: sqlite3.Connection, record: Any) -> None:
        record.info["pool"] = (engine := own()) and engine.pool

    def returned(raw: sqlite3.Connection | None, record: Any) -> None:
        """Close what comes back to a pool that nobody takes anything from any more."""
        engine = own()
        if raw is not None and engine is not None and record.info["pool"] is not engine.pool:
            raw.close()

    event.listen(engine, "connect", opened)
    event.listen(engine, "checkin", returned)
    return engine

"""The database file: its connections, how transactions begin on it, and what a fork must not share.

SQLite has one writer at a time. Every writing transaction begins with BEGIN IMMEDIATE, so it has
the write lock before it reads anything: what it reads cannot change under it, it never has to be
run again, and stream rows need no locks of their own (I8). A transaction that begins as a reader
and then writes would instead fail with "database is locked" the moment somebody else wrote.

The driver is kept from beginning transactions by itself (`isolation_level=None`); SQLAlchemy's
`begin` event does it. Readers and the writer have pools of their own: readers begin DEFERRED on
connections that cannot write, see the last commit, and in WAL mode neither wait nor hold up.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet, finalize

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from sourced.errors import SchemaError, StoreUnavailableError, UsageError
from sourced_sqlalchemy._options import Options
from sourced_sqlalchemy._translate import is_busy
from sourced_sqlalchemy._turns import turns_of
from sourced_sqlalchemy._usage import Usage

__all__ = ["Database", "raw_of"]

_T = TypeVar("_T")

_OLDEST = (3, 35)
"""The first SQLite that can return what an INSERT or UPDATE wrote."""

_LONGEST_PAUSE = 0.01
"""Seconds between two attempts to begin, at most; short, because SQLite does not queue."""

_LONGEST_WAIT_TO_FORK = 5.0
"""Seconds that a fork waits for the transactions of other threads."""

_DURABILITY = "sourced_durability"

_log = logging.getLogger("sourced.sqlalchemy")


def raw_of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's own connection."""
    raw: Any = connection.connection.dbapi_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


class Database:
    """One SQLite file, or one database in memory, for all threads of this process."""

    def __init__(self, options: Options) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StoreUnavailableError(
                f"this Python brings SQLite {sqlite3.sqlite_version}, the store needs "
                f"{'.'.join(map(str, _OLDEST))} or later: use a newer Python or system"
            )
        self.options = options
        self._turns = turns_of(options.file)
        self._usage = Usage()
        self._timeout = options.busy_timeout.total_seconds()
        self._seen: tuple[int, int] | None = None
        self._inner: Connection | None = None
        self._is_reading = False
        self._reader, self._writer = self._engines()
        finalize(self, _dispose, self._reader, self._writer)
        _databases.add(self)

    # connections

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one snapshot and cannot write."""
        if self.options.file is None:
            with self._in_memory() as connection:
                yield connection
            return
        with self._in_use(), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """Give a connection inside a transaction that has the write lock; commit it at the end.

        Args:
            durable: False lets the commit not wait for the disk: it may be lost when the power
                fails, alone or with later ones that are not durable, never when a process dies.
        """
        if self._turns.is_mine:
            with self._nested() as connection:
                yield connection
            return
        if not self._turns.take(self._timeout):
            raise StoreUnavailableError(
                f"another thread held the transaction on {self.options.name} for "
                f"{self._timeout:g} s: keep syncs and store.transaction() short"
            )
        try:
            with self._begun(durable) as connection:
                yield connection
        finally:
            self._inner = None
            self._is_reading = False
            self._turns.give()

    @contextmanager
    def _nested(self) -> Iterator[Connection]:
        """Write while this thread reads the only connection there is; nothing else may nest."""
        if self._inner is None or not self._is_reading:
            raise UsageError(
                f"this thread is inside a transaction on {self.options.name} already: use the "
                "verbs of that one, of store.transaction() or store.bind(connection)"
            )
        with self._inner.begin_nested():
            yield self._inner

    @contextmanager
    def _begun(self, durable: bool) -> Iterator[Connection]:
        with self._in_use(), self._writer.connect() as connection:
            self._set_durability(connection, durable)
            with connection.begin():
                self._inner = connection
                yield connection

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        self._usage.enter()
        try:
            self._check_file()
            yield
        finally:
            self._usage.leave()

    @contextmanager
    def _in_memory(self) -> Iterator[Connection]:
        """Give the only connection there is: alone, or inside the transaction of this thread."""
        if self._inner is not None and self._turns.is_mine:
            yield self._inner
            return
        failed: BaseException | None = None
        with self.writing() as connection:
            self._is_reading = True
            try:
                yield connection
            except BaseException as error:  # noqa: BLE001 - raised again below
                failed = error  # what was written meanwhile was promised, and stays
        if failed is not None:
            raise failed

    def _set_durability(self, connection: Connection, durable: bool) -> None:
        level = self.options.synchronous
        if not durable and level in {"FULL", "EXTRA"}:
            level = "NORMAL"
        if connection.info.get(_DURABILITY) != level:
            raw_of(connection).execute(f"PRAGMA synchronous = {level}")
            connection.info[_DURABILITY] = level

    # life

    def is_mine(self, connection: Connection) -> bool:
        """Return whether a connection is the one in which this thread has a transaction open."""
        return self._inner is not None and raw_of(connection) is raw_of(self._inner)

    def create(self) -> None:
        """Make the file if there is none, in WAL mode, which is a property of the file."""
        if self.options.file is None:
            return
        raw = self._open("rwc", self._timeout)
        try:
            self._use_wal(raw)
        finally:
            raw.close()

    @property
    def exists(self) -> bool:
        """Whether the file is there."""
        return self.options.file is None or os.path.exists(self.options.file)  # noqa: PTH110 - whatever is wrong with it, this says False

    def close(self) -> None:
        """Close every connection that is not in use; the next use opens new ones."""
        if self.options.file is not None:
            self._reader.dispose()
            self._writer.dispose()

    def begin_fork(self) -> None:
        """Let this process be forked: no other thread is in a transaction, nothing is open."""
        if not self._usage.begin_fork(_LONGEST_WAIT_TO_FORK):
            _log.warning(
                "the process is forked while a thread is in a transaction on %s: the child may "
                "find it locked; fork when nothing is going on, or spawn",
                self.options.name,
            )
        self.close()

    def end_fork(self) -> None:
        """Go on in the parent."""
        self._usage.end_fork()

    def forget(self) -> None:
        """Start anew in a forked child, closing nothing that the parent may be using."""
        self._turns.forget()
        self._usage.forget()
        self._inner = None
        self._is_reading = False
        if self.options.file is not None:
            self._reader.dispose(close=False)
            self._writer.dispose(close=False)

    def _check_file(self) -> None:
        """Let go of connections to a file that was removed or replaced: it takes writes in vain."""
        if self.options.file is None:
            return
        try:
            found = self.options.file.stat()
        except FileNotFoundError:
            self.close()
            raise _no_file(self.options.file) from None
        except OSError as error:
            raise StoreUnavailableError(f"cannot reach {self.options.name}: {error}") from error
        if self._seen != (found.st_dev, found.st_ino):
            self.close()
            self._seen = found.st_dev, found.st_ino

    # engines

    def _engines(self) -> tuple[Engine, Engine]:
        if self.options.file is None:
            only = _engine(self._open_in_memory, StaticPool, self.begin_writing)
            return only, only
        reader = _engine(self._open_to_read, QueuePool, _begin_reading, pool_size=8)
        writer = _engine(self._open_to_write, QueuePool, self.begin_writing, pool_size=1)
        return reader, writer

    def _open_in_memory(self) -> sqlite3.Connection:
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def _open_to_read(self) -> sqlite3.Connection:
        raw = self._open("rw", self._timeout)
        raw.execute("PRAGMA query_only = ON")
        return raw

    def _open_to_write(self) -> sqlite3.Connection:
        # It waits in `begin_writing`, more evenly than SQLite's own busy handler would.
        raw = self._open("rw", timeout=0)
        self._use_wal(raw)
        return raw

    def _open(self, mode: str, timeout: float) -> sqlite3.Connection:
        file = self.options.file
        assert file is not None
        if not os.path.isdir(file.parent):  # noqa: PTH112 - as above
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
                f"SQLite cannot keep a write-ahead log for {self.options.name} (it stays in mode "
                f"{mode!r}): put the file on a local disk"
            )

    def begin_writing(self, connection: Connection) -> None:
        """Begin a transaction with the write lock, on this database's connection or a caller's."""
        raw = raw_of(connection)
        self._patiently(lambda: raw.execute("BEGIN IMMEDIATE"))

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


def _dispose(*engines: Engine) -> None:
    for engine in engines:
        engine.dispose()


def _begin_reading(connection: Connection) -> None:
    raw_of(connection).execute("BEGIN")


def _engine(
    creator: Callable[[], sqlite3.Connection],
    pool: type[QueuePool | StaticPool],
    begin: Callable[[Connection], None],
    pool_size: int = 0,
) -> Engine:
    sizes: dict[str, Any] = {"pool_size": pool_size, "max_overflow": -1} if pool_size else {}
    engine = create_engine("sqlite://", creator=creator, poolclass=pool, **sizes)
    event.listen(engine, "begin", begin)
    return engine


def _no_file(file: Path) -> SchemaError:
    return SchemaError(
        f"there is no database at {file}: check the path in the store URL, or make the database "
        "with app.install() or `sourced install`"
    )


_databases: WeakSet[Database] = WeakSet()


def _begin_fork() -> None:
    for database in list(_databases):
        database.begin_fork()


def _end_fork() -> None:
    for database in list(_databases):
        database.end_fork()


def _forget_all() -> None:
    for database in list(_databases):
        database.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_begin_fork, after_in_parent=_end_fork, after_in_child=_forget_all)

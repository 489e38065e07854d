"""The database: one writer at a time, files that are replaced, and what a fork must not share.

SQLite has one writer at a time. Every writing transaction begins with BEGIN IMMEDIATE, so it has
the write lock before it reads anything: what it reads cannot change under it, it never has to be
run again, and stream rows need no locks of their own (I8). A transaction that begins as a reader
and then writes would instead fail with "database is locked" the moment somebody else wrote.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakSet, finalize

from sqlalchemy import Connection

from sourced.errors import SchemaError, StoreUnavailableError, UsageError
from sourced_sqlalchemy._connections import Opener, begin_reading, dispose, raw_of
from sourced_sqlalchemy._options import Options
from sourced_sqlalchemy._turns import turns_of
from sourced_sqlalchemy._usage import Usage

__all__ = ["Database"]

_OLDEST = (3, 35)
"""The first SQLite that can return what an INSERT or UPDATE wrote."""

_LONGEST_WAIT_TO_FORK = 5.0
"""Seconds that a fork waits for the transactions of other threads."""

_DURABILITY = "sourced_durability"

_log = logging.getLogger("sourced.sqlalchemy")


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
        self._opener = Opener(options)
        self._reader, self._writer = self._opener.engines()
        finalize(self, dispose, self._reader, self._writer)
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
            begin_reading(connection)
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
        """Write while one reads the only connection there is; nothing else may nest."""
        if self._inner is None or not self._is_reading:
            raise UsageError(
                f"the store was asked to write inside an open transaction on {self.options.name}: "
                "in a sync, leave messages to the handler's outcomes, or use the verbs of "
                "store.bind(connection); in store.transaction(), use its own verbs"
            )
        with self._inner.begin_nested():
            yield self._inner

    @contextmanager
    def _begun(self, durable: bool) -> Iterator[Connection]:
        with self._in_use(), self._writer.connect() as connection:
            self._set_durability(connection, durable)
            with connection.begin():
                self._opener.begin_writing(connection)
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
        """Give the only connection there is: alone, or inside the open transaction."""
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
        """Return whether a connection is the one in which a transaction is open."""
        return self._inner is not None and raw_of(connection) is raw_of(self._inner)

    def create(self) -> None:
        """Make the file if there is none."""
        self._opener.create()

    def begin_writing(self, connection: Connection) -> None:
        """Begin a transaction with the write lock on a caller's connection."""
        self._opener.begin_writing(connection)

    @property
    def exists(self) -> bool:
        """Whether the file is there."""
        file = self.options.file
        return file is None or os.path.exists(file)  # noqa: PTH110 - never raises

    def close(self) -> None:
        """Close every connection, those in use behind their users; the next use opens new ones."""
        if self.options.file is not None:
            dispose(self._reader, self._writer)

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

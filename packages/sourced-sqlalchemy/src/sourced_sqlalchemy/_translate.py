"""The one place where the driver's errors become Sourced's, each with its next step."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from sqlalchemy.exc import DBAPIError

from sourced.errors import (
    SchemaError,
    StatementTimeoutError,
    StoreError,
    StoreUnavailableError,
)
from sourced_sqlalchemy._options import Options

__all__ = ["CallersError", "callers_code", "is_busy", "translate", "translated"]


class CallersError(Exception):
    """Carries what the caller's own code raised past the translation, untouched."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error
        self._chain = error.__cause__, error.__context__, error.__suppress_context__

    def unpack(self) -> NoReturn:
        """Raise the error as it was: with its own cause and context, not with this carrier."""
        try:
            raise self.error
        finally:
            self.error.__cause__, self.error.__context__, suppress = self._chain
            self.error.__suppress_context__ = suppress


@contextmanager
def translated(options: Options) -> Iterator[None]:
    """Turn the driver's errors into Sourced's, and let the caller's own pass as they are."""
    try:
        yield
    except CallersError as carrier:
        carrier.unpack()
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.Error):
            raise
        raise translate(error.orig, options) from error
    except sqlite3.Error as error:
        raise translate(error, options) from error


@contextmanager
def callers_code() -> Iterator[None]:
    """Tell what the caller's own code, a sync or a load, raises inside from a wait for a lock.

    Raises:
        StatementTimeoutError: a database stayed locked for too long; the cause is what was raised.
    """
    try:
        yield
    except Exception as error:
        for one in _with_causes(error):
            if isinstance(one, sqlite3.Error) and is_busy(one):
                raise StatementTimeoutError(
                    f"a statement of a sync or load took too long ({one}): end the program that "
                    "holds that database locked, or wait for it longer"
                ) from error
        raise


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [cause for cause in (one.__context__, one.__cause__) if cause is not None]


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection is in the way, for now."""
    return _code(error) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def translate(error: sqlite3.Error, options: Options) -> StoreError:
    """Return Sourced's error for the driver's."""
    text, name = str(error), options.name
    if "no such table" in text or "no such column" in text or "has no column" in text:
        return SchemaError(
            f"the tables {options.prefix}… are not in {name}, or of another version ({text}); "
            "make them with app.install() or `sourced install`"
        )
    if _code(error) == sqlite3.SQLITE_BUSY_SNAPSHOT:
        return StoreUnavailableError(
            f"the transaction on {name} read before it wrote, and somebody else wrote meanwhile: "
            "roll it back and run it again, or begin it with BEGIN IMMEDIATE"
        )
    if is_busy(error):
        return StoreUnavailableError(
            f"{name} stayed locked by another transaction for {_seconds(options)} s: end the "
            "program that holds one open, or raise busy_timeout"
        )
    return StoreUnavailableError(_SENTENCES.get(_code(error) & 0xFF, _OTHER).format(name, text))


_OTHER = "SQLite refused on {0}: {1}"

_SENTENCES = {
    sqlite3.SQLITE_CANTOPEN: (
        "cannot open {0} ({1}): see that it and its directory exist and that this user may write "
        "to both"
    ),
    sqlite3.SQLITE_READONLY: (
        "cannot write to {0} ({1}): this user needs write permission on the file and on its "
        "directory, which also takes the -wal and -shm files"
    ),
    sqlite3.SQLITE_PERM: "not permitted to use {0} ({1}): mend the permissions of the file",
    sqlite3.SQLITE_NOTADB: "{0} is no SQLite database ({1}): check the path in the store URL",
    sqlite3.SQLITE_CORRUPT: (
        "{0} is damaged ({1}): stop everything that uses it and restore a backup, or save what is "
        "left with `sqlite3 FILE .recover`"
    ),
    sqlite3.SQLITE_FULL: "no room to write to {0} ({1}): make space on its disk",
    sqlite3.SQLITE_IOERR: "the disk of {0} failed ({1}): check it and its file system",
}


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0)


def _seconds(options: Options) -> str:
    return f"{options.busy_timeout.total_seconds():g}"

"""What a store is opened with: the file, and the options given in code or in the URL's query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from sourced._limits import MAX_MESSAGE_BYTES
from sourced.errors import StoreUrlError
from sourced_sqlalchemy._tables import DEFAULT_PREFIX

__all__ = ["BUSY_TIMEOUT", "Options", "options_of"]

BUSY_TIMEOUT: Final = timedelta(seconds=30)
"""How long a transaction waits for those of other processes before it gives up."""

_DRIVERS: Final = ("sqlite", "sqlite+pysqlite")
_LEVELS: Final = ("OFF", "NORMAL", "FULL", "EXTRA")
_LONGEST_WAIT: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a store is opened with.

    Attributes:
        file: the absolute path of the database, None for one in memory.
        prefix: of every table's name.
        synchronous: SQLite's level, in capitals; FULL loses nothing when the power fails, NORMAL
            may lose the last moments, neither ever corrupts the file.
        busy_timeout: how long to wait for another process's transaction.
        max_message_bytes: payload plus meta of one message are refused beyond.
    """

    file: Path | None
    prefix: str = DEFAULT_PREFIX
    synchronous: str = "FULL"
    busy_timeout: timedelta = BUSY_TIMEOUT
    max_message_bytes: int = MAX_MESSAGE_BYTES

    def __post_init__(self) -> None:
        if self.synchronous not in _LEVELS:
            raise StoreUrlError(
                f"synchronous={self.synchronous!r} is none of SQLite's levels: {', '.join(_LEVELS)}"
            )
        if not timedelta(0) <= self.busy_timeout <= _LONGEST_WAIT:
            raise StoreUrlError(
                f"busy_timeout={self.busy_timeout} is negative or more than a day; say 30 seconds"
            )
        if self.max_message_bytes < 1:
            raise StoreUrlError(f"max_message_bytes={self.max_message_bytes} takes no message")

    @property
    def name(self) -> str:
        """The database, as error messages call it."""
        return "the database in memory" if self.file is None else str(self.file)


def options_of(url: str, given: Options) -> Options:
    """Return `given` with the file and the query of a URL, which wins over what code says.

    Raises:
        StoreUrlError: no URL of a SQLite database, or an option that does not exist or fit.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreUrlError(f"{url!r} is no store URL; write sqlite:///shop.db") from error
    if parsed.drivername not in _DRIVERS or parsed.host or parsed.username:
        raise StoreUrlError(
            f"{parsed.render_as_string()!r} is no SQLite URL; write sqlite:///relative/shop.db, "
            "sqlite:////absolute/shop.db, or sqlite:// for a database in memory"
        )
    return replace(given, file=_file_of(parsed), **_queried(parsed.query))


def _file_of(url: URL) -> Path | None:
    if not url.database or url.database == ":memory:":
        return None
    return Path(url.database).absolute()


def _queried(query: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in query.items():
        if name not in _READERS:
            raise StoreUrlError(
                f"unknown option {name!r} in the store URL; there are {', '.join(_READERS)}"
            )
        try:
            found[name] = _READERS[name](value)
        except (TypeError, ValueError, OverflowError) as error:
            raise StoreUrlError(f"the store URL's {name}={value!r} is no number") from error
    return found


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "prefix": str,
    "synchronous": str.upper,
    "busy_timeout": lambda seconds: timedelta(seconds=float(seconds)),
    "max_message_bytes": int,
}

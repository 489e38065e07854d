"""What a store is opened with: the database, and options given in code or in the URL's query."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sourced._limits import MAX_MESSAGE_BYTES
from sourced._stores import safe_url
from sourced.errors import StoreUrlError

__all__ = ["Options", "options_of"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_SECRETS = ("password", "passfile", "sslpassword")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a store is opened with.

    Attributes:
        schema: the schema in which everything lives.
        pool_size: connections at most, not counting the listener's.
        pool_timeout: how long to wait for one of them.
        connect_timeout: how long to wait for the server's answer to a new one.
        statement_timeout: how long a statement may run; None leaves it to the server.
        lock_timeout: how long a statement may wait for a lock; None leaves it to the server.
        transaction_limit: how long a sync may leave its transaction idle before the server ends it.
        prepare: False where a pooler hands every transaction to another server connection.
        hints: False to neither notify nor listen: workers find work when they poll.
        application_name: how the server's views name these connections.
        max_message_bytes: payload plus meta of one message are refused beyond.
    """

    schema: str = "sourced"
    pool_size: int = 16
    pool_timeout: timedelta = timedelta(seconds=30)
    connect_timeout: timedelta = timedelta(seconds=10)
    statement_timeout: timedelta | None = None
    lock_timeout: timedelta | None = None
    transaction_limit: timedelta = timedelta(seconds=60)
    prepare: bool = True
    hints: bool = True
    application_name: str = "sourced"
    max_message_bytes: int = MAX_MESSAGE_BYTES


def options_of(url: str, given: Options) -> tuple[dict[str, Any], Options]:
    """Return what libpq is told, and `given` with the URL's query, which wins over what code says.

    Raises:
        StoreUrlError: no URL of a PostgreSQL database, or an option that does not exist or fit.
    """
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0].lower() not in {"postgresql", "postgres"}:
        raise StoreUrlError(
            f"{safe_url(url)!r} is no PostgreSQL URL; write postgresql://user@host/database"
        )
    own, theirs = _split(parse_qsl(parts.query, keep_blank_values=True))
    plain = urlunsplit(parts._replace(scheme="postgresql", query=urlencode(theirs)))
    try:
        parameters = conninfo_to_dict(plain)
    except psycopg.Error as error:
        raise StoreUrlError(
            f"{safe_url(url)!r} is no URL that libpq understands ({_first_line(error)}); options "
            f"of the store are {', '.join(_READERS)}"
        ) from None
    options = _checked(replace(given, **_read(own)))
    return dict(parameters), options


def name_of(parameters: Mapping[str, Any], options: Options) -> str:
    """Return what error messages call the database: no password is in it."""
    host = parameters.get("host") or "localhost"
    port = f":{parameters['port']}" if parameters.get("port") else ""
    database = parameters.get("dbname") or parameters.get("user") or ""
    return f"postgresql://{host}{port}/{database} (schema {options.schema})"


def without_secrets(text: str, parameters: Mapping[str, Any]) -> str:
    """Return a text in which nothing secret of the connection's parameters stands."""
    for name in _SECRETS:
        secret = parameters.get(name)
        if secret:
            text = text.replace(str(secret), "***")
    return text


def _split(query: list[tuple[str, str]]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    own = {name: value for name, value in query if name in _READERS}
    return own, [(name, value) for name, value in query if name not in _READERS]


def _read(own: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in own.items():
        try:
            found[name] = _READERS[name](value)
        except (ValueError, OverflowError) as error:
            raise StoreUrlError(f"the store URL's {name}={value!r}: {error}") from None
    return found


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=float(text))


def _truth(text: str) -> bool:
    known = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}
    if text.lower() not in known:
        raise ValueError("say on or off")
    return known[text.lower()]


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "schema": str,
    "pool_size": int,
    "pool_timeout": _seconds,
    "connect_timeout": _seconds,
    "statement_timeout": _seconds,
    "lock_timeout": _seconds,
    "transaction_limit": _seconds,
    "prepare": _truth,
    "hints": _truth,
    "application_name": str,
    "max_message_bytes": int,
}


def _checked(options: Options) -> Options:
    if not _IDENTIFIER.fullmatch(options.schema) or options.schema.lower().startswith("pg_"):
        raise StoreUrlError(
            f"the schema {options.schema!r} is no identifier: use 1 to 63 letters, digits and "
            "underscores, not beginning with a digit or 'pg_'"
        )
    for name in ("pool_size", "max_message_bytes"):
        if getattr(options, name) < 1:
            raise StoreUrlError(f"{name}={getattr(options, name)} is too small; say 1 or more")
    for field in fields(options):
        value = getattr(options, field.name)
        if isinstance(value, timedelta) and value <= timedelta(0):
            raise StoreUrlError(f"{field.name}={value} is no time to wait; say 30 seconds")
    return options


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().partition("\n")[0]

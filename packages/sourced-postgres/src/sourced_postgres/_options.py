"""What a store is opened with: the database, and options given in code or in the URL's query."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sourced._limits import MAX_MESSAGE_BYTES
from sourced._stores import safe_url
from sourced.errors import StoreUrlError

__all__ = ["Options", "options_of"]

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a store is opened with.

    Attributes:
        schema: the schema in which everything lives.
        pool_size: connections at most, not counting those of the heartbeat and the listener.
        pool_timeout: how long to wait for one of them.
        connect_timeout: how long to wait for the server's answer to a new one, or to a heartbeat.
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
        StoreUrlError: no URL of a PostgreSQL database, or an option that does not exist or fit; no
            password is in its text.
    """
    scheme, there, rest = url.partition("://")
    if not there or scheme.partition("+")[0].lower() not in {"postgresql", "postgres"}:
        raise StoreUrlError(
            f"{safe_url(url)!r} is no PostgreSQL URL; write postgresql://user@host/database"
        )
    user, address, query = _split(rest)
    own, theirs = _own_of(query)
    parameters, problem = _parameters(f"postgresql://{user}{address}?{theirs}")
    if problem:
        raise StoreUrlError(
            f"the URL of {address.rpartition('/')[2]!r} is none that libpq understands "
            f"({_without_secrets(problem, user, theirs)}); options of the store are "
            f"{', '.join(_READERS)}"
        )
    return parameters, _checked(replace(given, **_read(own)))


def _parameters(url: str) -> tuple[dict[str, Any], str]:
    """Return what libpq reads in a URL, or what it says against it."""
    try:
        found = dict(conninfo_to_dict(url))
    except psycopg.Error as error:
        return {}, str(error).strip().partition("\n")[0]
    if any(port and not port.isdecimal() for port in str(found.get("port", "")).split(",")):
        return {}, "a port is a number: write user:password@host:port"
    return found, ""


def name_of(parameters: Mapping[str, Any], options: Options) -> str:
    """Return what error messages call the database: no password is in it."""
    host = parameters.get("host") or "localhost"
    port = f":{parameters['port']}" if parameters.get("port") else ""
    database = parameters.get("dbname") or parameters.get("user") or ""
    return f"postgresql://{host}{port}/{database} (schema {options.schema})"


def _split(rest: str) -> tuple[str, str, str]:
    """Return who, where and how, from what stands behind `://`, divided as libpq does it.

    Raises:
        StoreUrlError: a character of the user's name or password would be taken for a divider.
    """
    found = re.match(r"[^@/]*@", rest)
    user = found.group() if found else ""
    address, _, query = rest[len(user) :].partition("?")
    if "@" in address:
        raise StoreUrlError(
            "the URL has an '@' where host and database should be: in a user's name and password "
            "write %40 for '@' and %2F for '/'"
        )
    return user, address, query


def _own_of(query: str) -> tuple[dict[str, str], str]:
    """Return the store's own options, and what is left of the query for libpq, untouched.

    As libpq reads it, a plus is a plus: it may stand in a password.
    """
    pairs = [(unquote(part.partition("=")[0]), part) for part in query.split("&") if part]
    own = {name: unquote(part.partition("=")[2]) for name, part in pairs if name in _READERS}
    return own, "&".join(part for name, part in pairs if name not in _READERS)


def _without_secrets(text: str, user: str, query: str) -> str:
    """Return what libpq says of a URL without any value that stands in it."""
    values = [user.rstrip("@").partition(":")[2]]
    values += [part.partition("=")[2] for part in query.split("&")]
    for value in sorted(filter(None, {*values, *map(unquote, values)}), key=len, reverse=True):
        text = text.replace(value, "***")
    return text


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
    for field in fields(options):
        problem = _problem_of(getattr(options, field.name), field.default)
        if problem:
            raise StoreUrlError(f"{field.name}={getattr(options, field.name)!r} {problem}")
    name = options.schema.lower()
    is_identifier = _IDENTIFIER.fullmatch(name) and not name.startswith("pg_")
    if not is_identifier or name == "information_schema":
        raise StoreUrlError(
            f"the schema {options.schema!r} is no identifier: use 1 to 63 letters, digits and "
            "underscores, not beginning with a digit or 'pg_', and none of PostgreSQL's own"
        )
    return options


def _problem_of(value: object, default: object) -> str:
    """Return what is wrong with an option, by the kind of value that it has unless said."""
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "is neither True nor False"
    if isinstance(default, int):
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        return "" if fits else "is too small or no integer; say 1 or more"
    if isinstance(default, str):
        return "" if isinstance(value, str) and "\0" not in value else "is no text"
    if value is None and default is None:
        return ""
    is_time = isinstance(value, timedelta) and value > timedelta(0)
    return "" if is_time else "is no time to wait; say timedelta(seconds=30), or 30 in a URL"

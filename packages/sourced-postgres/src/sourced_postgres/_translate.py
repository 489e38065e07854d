"""The one place where the driver's errors become Sourced's, each with its next step.

The functions raise SQLSTATEs of a class of their own, `SR`, with what happened in DETAIL as JSON.
Those that need a second look by the verb (which ids, which streams of a batch) pass through here as
`Refusal`, and never reach the caller.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg_pool import PoolClosed

from sourced.errors import (
    BusyError,
    ConcurrencyError,
    GroupStoppedError,
    IsolationError,
    NotFoundError,
    RegistrationError,
    SchemaError,
    SourcedError,
    StatementTimeoutError,
    StoreError,
    StoreUnavailableError,
    StreamParkedError,
    UnknownGroupError,
    UsageError,
)
from sourced_postgres._liveness import READ_ONLY

__all__ = [
    "TOO_LONG",
    "TRY_AGAIN",
    "CallersError",
    "Refusal",
    "detail_of",
    "is_replaced",
    "may_be_callers",
    "stood_in_the_way",
    "timed_out",
    "translate",
    "translated",
]

CONCURRENCY: Final = "SR001"
REFUSED: Final = "SR002"
ISOLATION: Final = "SR003"
REPEATED: Final = "SR004"
OBSTACLE: Final = "SR005"
DISORDER: Final = "SR006"
REGISTRATION: Final = "SR007"
NOT_FOUND: Final = "SR008"

TRY_AGAIN: Final = {"40P01", "40001"}
"""A deadlock, and what PostgreSQL calls a serialization failure: the same may work next time."""

_LIMIT_EXCEEDED: Final = "54"
"""Errors of this class look like the server's trouble to the driver, but will come again."""

TOO_LONG: Final = {"55P03", "57014"}
"""A lock was waited for, or a statement ran, for longer than the connection's limit."""

_UNIQUE_VIOLATION: Final = "23505"
_ID_KEYS: Final = {"messages_id_key", "schedule_message_id_key"}
_ABSENT: Final = {"3F000", "42P01", "42703", "42883", "42704"}


class CallersError(Exception):
    """Carries what the caller's own code raised past the translation, untouched."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Refusal(Exception):  # noqa: N818 - a message between modules, never an error of anybody
    """The database refused ids or streams of a batch; the verb finds out which.

    Attributes:
        detail: what the function says of it.
    """

    def __init__(self, detail: Any = None) -> None:
        super().__init__(detail)
        self.detail = detail


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn the driver's errors into Sourced's, and let the caller's own pass as they are."""
    try:
        yield
    except CallersError as carrier:
        raise carrier.error from carrier.error.__cause__
    except PoolClosed as error:  # an OperationalError, too
        raise StoreUnavailableError(
            f"the connections to {name} were closed meanwhile; try again"
        ) from error
    except psycopg.Error as error:
        raise translate(error, name) from error
    except UnicodeEncodeError as error:
        raise UsageError(f"a text cannot be stored in UTF-8: {error.reason}") from error


def detail_of(error: psycopg.Error) -> Any:
    """Return what a function says of its refusal."""
    return json.loads(error.diag.message_detail or "null")


def translate(error: psycopg.Error, name: str) -> Exception:
    """Return Sourced's error for the driver's."""
    state = error.sqlstate or ""
    if state.startswith("SR"):
        return _refused(state, error)
    if state == _UNIQUE_VIOLATION and error.diag.constraint_name in _ID_KEYS:
        return Refusal()
    if state in _ABSENT:
        return SchemaError(
            f"the store is not installed in {name}, or of another version "
            f"({error.diag.message_primary}); make it with app.install() or `sourced install`"
        )
    return _unavailable(state, error, name)


def timed_out(error: psycopg.Error) -> StatementTimeoutError:
    """Return what is said of a statement of the caller's own that took too long."""
    return StatementTimeoutError(
        f"a statement of a sync or load took too long ({_text_of(error)}): see in pg_stat_activity "
        "whose transaction holds the rows, or raise lock_timeout or statement_timeout"
    )


def _text_of(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).strip().partition("\n")[0]


def is_replaced(error: psycopg.Error) -> bool:
    """Return whether a function was replaced while it was being called; nothing was done then."""
    return error.sqlstate == "XX000" and "cache lookup failed" in str(error)


def may_be_callers(error: psycopg.Error) -> bool:
    """Return whether an error at the end of a transaction may be what the caller's rows violate."""
    return type(translate(error, "")) is StoreError


def stood_in_the_way(
    error: psycopg.Error,
    name: str,
    holders: Sequence[str] = (),
    *,
    kind: type[StoreUnavailableError] = StoreUnavailableError,
) -> StoreUnavailableError:
    """Return what is said of a lock or a deadlock, with who is known to have written meanwhile."""
    who, advice = "another transaction", "try again, or end it"
    if holders:
        who += f", probably that of {' or '.join(holders)},"
        advice += "; if it is your own, opened with bind or transaction(), write with its verbs"
    return kind(f"{who} stood in the way in {name} ({_text_of(error)}): {advice}")


def _refused(state: str, error: psycopg.Error) -> Exception:
    detail = detail_of(error)
    if state == CONCURRENCY:
        return ConcurrencyError(detail["stream_id"], detail["expected"], detail["actual"])
    if state in {REFUSED, REPEATED}:
        return Refusal(detail)
    if state == ISOLATION:
        return IsolationError(
            f"{error.diag.message_primary}, and what depends on a lock would be read by an old "
            "snapshot: use READ COMMITTED, PostgreSQL's default"
        )
    if state == OBSTACLE:
        return _obstacle(detail)
    if state == DISORDER:
        return UsageError(str(error.diag.message_primary))
    if state == REGISTRATION:
        return _registration(detail)
    if state == NOT_FOUND:
        return NotFoundError(str(error.diag.message_primary))
    return StoreError(str(error.diag.message_primary))


def _registration(detail: dict[str, Any]) -> RegistrationError:
    group, known = detail["group"], detail.get("known")
    if known is not None:
        return RegistrationError(
            f"{' and '.join(map(repr, known))} are groups of their own, so {group!r} cannot take "
            "a former name over; remove the groups that it does not go on from"
        )
    former, now = detail["former"], detail["now"]
    return RegistrationError(
        f"group {former!r} was renamed to {now!r}; deploy the new code, or name {now!r} in `was` "
        f"of group {group!r} to rename it again"
    )


def _obstacle(detail: dict[str, Any]) -> SourcedError:
    group, stream_id, reason = detail["group"], detail.get("stream_id", ""), detail["reason"]
    if reason == "unknown":
        return UnknownGroupError(group)
    if reason == "stopped":
        return GroupStoppedError(group, stream_id)
    if reason == "parked":
        return StreamParkedError(group, stream_id)
    until = detail.get("until")
    if until is None:
        return BusyError(group, stream_id, reason)
    return BusyError(group, stream_id, reason, datetime.fromisoformat(until).replace(tzinfo=UTC))


_RESPITE: Final = {
    "57014": "did not answer in time ({text}): raise statement_timeout, or see what the server is "
    "busy with",
    "25P03": "ended a transaction that stood still ({text}): try again, and see that this process "
    "is neither frozen nor starved",
    READ_ONLY: "takes no writes ({text}): it may be a standby by now; try again, and where the URL "
    "names several hosts add target_session_attrs=read-write",
}
"""What the same may be tried again after, by SQLSTATE."""


def _unavailable(state: str, error: psycopg.Error, name: str) -> StoreError:
    text = _text_of(error)
    if state in {"55P03", *TRY_AGAIN}:
        return stood_in_the_way(error, name)
    if state in _RESPITE:
        return StoreUnavailableError(f"{name} {_RESPITE[state].format(text=text)}")
    if is_replaced(error):
        return StoreUnavailableError(
            f"the functions in {name} were being replaced by those of another release; try again"
        )
    if state == "42501":
        return StoreError(
            f"the role may not do this in {name} ({text}): install with role=… grants what "
            "workers need"
        )
    if state.startswith(_LIMIT_EXCEEDED):
        return StoreError(
            f"{name} refused what is beyond a limit of PostgreSQL's: {text} ({state})"
        )
    if "unsupported startup parameter" in text:
        return StoreUnavailableError(
            f"a pooler in front of {name} takes no such settings ({text}): give statement_timeout "
            "and lock_timeout to the role instead, with ALTER ROLE … SET, or connect past it"
        )
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailableError(
            f"{name} cannot be reached: {text}; see that the server is up and that host, user, "
            "password and database are right, then try again"
        )
    return StoreError(f"PostgreSQL refused in {name}: {text} ({state or 'no SQLSTATE'})")

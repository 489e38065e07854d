"""The codec of values that JSON holds as text: moments, identifiers, decimals, bytes."""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from sourced._codec._node import JsonSchema, Node
from sourced._naming import with_article
from sourced._problems import InvalidError, shown

__all__ = ["TEXTS"]

_DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?"
    r"(?:(?P<seconds>\d+)(?:[.,](?P<micros>\d{1,6}))?S)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A type whose values are written as text.

    Attributes:
        python: the class.
        what: it in words.
        schema: its JSON Schema.
        write: a value to text. A subclass's value is taken if what is read back equals it.
        read: text to a value, or ValueError.
        check: returns the value to write, or raises ValueError with what is wrong with it.
        from_integer: untrusted input may be an integer, too.
    """

    python: type
    what: str
    schema: JsonSchema
    write: Callable[[Any], str]
    read: Callable[[str], Any]
    check: Callable[[Any], Any] | None = None
    from_integer: Callable[[int], Any] | None = None

    def node(self) -> Node:
        """Return the node of the type."""
        return Node(
            what=self.what,
            encode=self.encode,
            decode=self.decode,
            parse=self.parse,
            describe=lambda _: dict(self.schema),
            python=self.python,
            json=frozenset({str}),
        )

    def encode(self, value: Any) -> str:
        """Return a value's text."""
        if not isinstance(value, self.python):
            raise self._refused(value)
        text = self.write(value if self.check is None else self._checked(value))
        # What must hold is that they are equal; a subclass may define that alone.
        if type(value) is not self.python and not self.read(text) == value:  # noqa: SIM201
            got = with_article(type(value).__name__)
            raise InvalidError.because(f"expected exactly {self.what}, got {got}")
        return text

    def decode(self, value: Any) -> Any:
        """Return the value of a text."""
        if type(value) is not str:
            raise self._refused(value)
        try:
            found = self.read(value)
        except (ValueError, ArithmeticError):
            raise self._refused(value) from None
        return found if self.check is None else self._checked(found)

    def parse(self, value: Any) -> Any:
        """Return the value of a text, or a given value if it can be stored."""
        if isinstance(value, self.python):
            self.encode(value)
            return value if self.check is None else self._checked(value)
        if self.from_integer is not None and type(value) is int:
            return self.from_integer(value)
        return self.decode(value)

    def _checked(self, value: Any) -> Any:
        assert self.check is not None
        try:
            return self.check(value)
        except ValueError as error:
            raise InvalidError.because(str(error)) from None

    def _refused(self, value: Any) -> InvalidError:
        return InvalidError.because(f"expected {self.what}, got {shown(value)}")


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    if value.utcoffset() is None:
        raise ValueError(
            f"expected a datetime with a time zone, got the naive {value.isoformat()!r}"
        )
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(
            f"{value.isoformat()!r} is not within the years 1 to 9999 in UTC"
        ) from None


def _read_uuid(text: str) -> UUID:
    # Python takes any 32 hexadecimal digits, with braces or hyphens wherever; a hash is no UUID.
    if len(text) != 36 or text[8] + text[13] + text[18] + text[23] != "----":
        raise ValueError(text)
    return UUID(text)


def _read_datetime(text: str) -> datetime:
    return datetime.fromisoformat(_extended(text, "-", 4))


def _read_date(text: str) -> date:
    return date.fromisoformat(_extended(text, "-", 4))


def _read_time(text: str) -> time:
    return time.fromisoformat(_extended(text, ":", 2))


def _extended(text: str, separator: str, place: int) -> str:
    # Python takes `12` for a time and `20240101` for a date, which may as well be numbers.
    if text[place : place + 1] != separator:
        raise ValueError(text)
    return text


def _write_datetime(value: datetime) -> str:
    return value.isoformat()[:-6] + "Z"


def _time_as_written(value: time) -> time:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError("expected a naive time, or one with a fixed offset from UTC")
    return value


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError(f"expected a finite decimal, got {value}")
    return value


def _read_decimal(text: str) -> Decimal:
    if not text.isascii() or "_" in text or text != text.strip():
        raise InvalidOperation(text)
    return Decimal(text)


def _write_duration(value: timedelta) -> str:
    sign, span = ("-", -value) if value < timedelta() else ("", value)
    fraction = f".{span.microseconds:06}".rstrip("0") if span.microseconds else ""
    return f"{sign}P{span.days}DT{span.seconds}{fraction}S"


def _read_duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None or text[-1] in "PT":
        raise ValueError(text)
    parts = {
        name: int(found[name] or 0) for name in ("weeks", "days", "hours", "minutes", "seconds")
    }
    span = timedelta(**parts, microseconds=int((found["micros"] or "").ljust(6, "0")))
    return -span if found["sign"] == "-" else span


def _read_bytes(text: str) -> bytes:
    return a2b_base64(text, strict_mode=True)


TEXTS = (
    Text(
        python=datetime,
        what="a datetime in ISO 8601 with a time zone",
        schema={"type": "string", "format": "date-time"},
        write=_write_datetime,
        read=_read_datetime,
        check=_in_utc,
    ),
    Text(
        python=date,
        what="a date in ISO 8601",
        schema={"type": "string", "format": "date"},
        write=date.isoformat,
        read=_read_date,
    ),
    Text(
        python=time,
        what="a time in ISO 8601",
        schema={"type": "string", "format": "time"},
        write=time.isoformat,
        read=_read_time,
        check=_time_as_written,
    ),
    Text(
        python=timedelta,
        what="a duration in ISO 8601",
        schema={"type": "string", "format": "duration"},
        write=_write_duration,
        read=_read_duration,
    ),
    Text(
        python=UUID,
        what="a UUID",
        schema={"type": "string", "format": "uuid"},
        write=str,
        read=_read_uuid,
    ),
    Text(
        python=bytes,
        what="bytes in base64",
        schema={"type": "string", "contentEncoding": "base64"},
        write=lambda value: b2a_base64(value, newline=False).decode("ascii"),
        read=_read_bytes,
    ),
    Text(
        python=Decimal,
        what="a decimal number",
        schema={"type": "string", "format": "decimal"},
        write=str,
        read=_read_decimal,
        check=_finite,
        from_integer=Decimal,
    ),
)
"""Every type that JSON holds as text."""

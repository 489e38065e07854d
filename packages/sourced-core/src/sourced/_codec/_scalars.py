"""The codec of single values: numbers, text, moments, identifiers, bytes."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Any
from uuid import UUID

from sourced._codec._node import Convert, JsonSchema, Node
from sourced._json_text import MAX_INTEGER_BITS
from sourced._problems import Invalid, expected

__all__ = ["SCALARS"]

_NUMBER = frozenset({int, float})
_TEXT = frozenset({str})

_DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?"
    r"(?:(?P<seconds>\d+)(?:[.,](?P<micros>\d{1,6}))?S)?)?",
    re.ASCII,
)


def _node(
    python: type,
    what: str,
    schema: JsonSchema,
    json: frozenset[type],
    encode: Convert,
    decode: Convert,
    parse: Convert | None = None,
) -> Node:
    return Node(
        what=what,
        encode=encode,
        decode=decode,
        parse=parse or decode,
        describe=lambda _: dict(schema),
        python=python,
        json=json,
    )


# --- what JSON has itself -------------------------------------------------------------------------


def _text_node() -> Node:
    refuse = expected("text")

    def encode(value: Any) -> Any:
        if type(value) is str:
            return value
        if isinstance(value, str) and str(value) == value:
            return str.__str__(value)
        raise refuse(value)

    def decode(value: Any) -> Any:
        if type(value) is str:
            return value
        return encode(value)

    return _node(str, "text", {"type": "string"}, _TEXT, encode, decode)


def _integer_node() -> Node:
    refuse = expected("an integer")

    def encode(value: Any) -> Any:
        if type(value) is int:
            if -(1 << 63) <= value < 1 << 63 or value.bit_length() <= MAX_INTEGER_BITS:
                return value
            raise Invalid.because("is an integer of more than 4,300 digits")
        if isinstance(value, int) and not isinstance(value, bool):
            return encode(int(value))
        raise refuse(value)

    def decode(value: Any) -> Any:
        if type(value) is int:
            return value
        return encode(value)

    return _node(int, "an integer", {"type": "integer"}, frozenset({int}), encode, decode)


def _float_node() -> Node:
    refuse = expected("a finite number")

    def encode(value: Any) -> Any:
        if type(value) is float and isfinite(value):
            return value
        number = decode(value)
        if number != value:
            raise Invalid.because("is an integer that a float cannot hold exactly")
        return number

    def decode(value: Any) -> Any:
        if not isinstance(value, (float, int)) or isinstance(value, bool):
            raise refuse(value)
        try:
            number = float(value)
        except OverflowError:
            raise refuse(value) from None
        if not isfinite(number):
            raise refuse(value)
        return number

    return _node(float, "a number", {"type": "number"}, _NUMBER, encode, decode)


def _boolean_node() -> Node:
    refuse = expected("true or false")

    def convert(value: Any) -> Any:
        if value is True or value is False:
            return value
        raise refuse(value)

    return _node(bool, "true or false", {"type": "boolean"}, frozenset({bool}), convert, convert)


def _none_node() -> Node:
    refuse = expected("null")

    def convert(value: Any) -> None:
        if value is not None:
            raise refuse(value)

    python = type(None)
    return _node(python, "null", {"type": "null"}, frozenset({python}), convert, convert)


# --- what JSON holds as text ----------------------------------------------------------------------


def _as_text(
    python: type,
    what: str,
    schema: JsonSchema,
    write: Callable[[Any], str],
    read: Callable[[str], Any],
    check: Callable[[Any], Any] | None = None,
    from_integer: Callable[[int], Any] | None = None,
) -> Node:
    """Return a node whose values are written as text.

    Args:
        python: the class.
        what: it in words.
        schema: its JSON Schema.
        write: a value to text. A subclass's value is taken if what is read back equals it.
        read: text to a value, or ValueError.
        check: returns the value to write, or raises ValueError with what is wrong with it.
        from_integer: untrusted input may be an integer, too.
    """
    refuse = expected(what)

    def encode(value: Any) -> Any:
        if not isinstance(value, python):
            raise refuse(value)
        text = write(value if check is None else checked(value))
        if type(value) is not python and read(text) != value:
            raise Invalid.because(f"expected exactly {what}, got a {type(value).__name__}")
        return text

    def checked(value: Any) -> Any:
        assert check is not None
        try:
            return check(value)
        except ValueError as error:
            raise Invalid.because(str(error)) from None

    def decode(value: Any) -> Any:
        if type(value) is not str:
            raise refuse(value)
        try:
            found = read(value)
        except (ValueError, ArithmeticError):
            raise refuse(value) from None
        return found if check is None else checked(found)

    def parse(value: Any) -> Any:
        if isinstance(value, python):
            encode(value)
            return value if check is None else checked(value)
        if from_integer is not None and type(value) is int:
            return from_integer(value)
        return decode(value)

    return _node(python, what, schema, _TEXT, encode, decode, parse)


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


def _write_datetime(value: datetime) -> str:
    return value.isoformat()[:-6] + "Z"


def _only_date(value: date) -> date:
    if isinstance(value, datetime):
        raise ValueError(f"expected a date, got the datetime {value.isoformat()!r}")  # noqa: TRY004
    return value


def _time_as_written(value: time) -> time:
    if time.fromisoformat(value.isoformat()) != value:
        raise ValueError("expected a time that is naive or has a fixed offset from UTC")
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
    return b64decode(text.encode("ascii"), validate=True)


SCALARS: dict[type, Node] = {
    str: _text_node(),
    int: _integer_node(),
    float: _float_node(),
    bool: _boolean_node(),
    type(None): _none_node(),
    datetime: _as_text(
        datetime,
        "a datetime in ISO 8601 with a time zone",
        {"type": "string", "format": "date-time"},
        _write_datetime,
        datetime.fromisoformat,
        _in_utc,
    ),
    date: _as_text(
        date,
        "a date in ISO 8601",
        {"type": "string", "format": "date"},
        date.isoformat,
        date.fromisoformat,
        _only_date,
    ),
    time: _as_text(
        time,
        "a time in ISO 8601",
        {"type": "string", "format": "time"},
        time.isoformat,
        time.fromisoformat,
        _time_as_written,
    ),
    timedelta: _as_text(
        timedelta,
        "a duration in ISO 8601",
        {"type": "string", "format": "duration"},
        _write_duration,
        _read_duration,
    ),
    UUID: _as_text(UUID, "a UUID", {"type": "string", "format": "uuid"}, str, UUID),
    bytes: _as_text(
        bytes,
        "bytes in base64",
        {"type": "string", "contentEncoding": "base64"},
        lambda value: b64encode(value).decode("ascii"),
        _read_bytes,
    ),
    Decimal: _as_text(
        Decimal,
        "a decimal number",
        {"type": "string", "format": "decimal"},
        str,
        _read_decimal,
        _finite,
        Decimal,
    ),
}
"""Every type of a single value, compiled."""

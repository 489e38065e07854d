r"""Constraints for fields, and types that take what an HTML form sends.

```python
CorporateEmail = Annotated[str, Pattern(r"@apple\.com$")]
Price = Annotated[Decimal, Ge(0)]


class AddItem(Command):
    product_id: Annotated[str, MinLen(1)]
    price: LaxInt = 0  # takes "10", too
```

Besides these, any callable that raises `ValueError` is a constraint, and objects of the package
`annotated_types` are understood by their attributes. Constraints are asked of untrusted input and
of what is about to be stored, never of what was stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import Annotated, Any

__all__ = [
    "Ge",
    "Gt",
    "Lax",
    "LaxBool",
    "LaxDecimal",
    "LaxFloat",
    "LaxInt",
    "LaxStr",
    "Le",
    "Lt",
    "MaxLen",
    "MinLen",
    "Pattern",
]


@dataclass(frozen=True, slots=True)
class Ge:
    """The value is at least `ge`."""

    ge: Any


@dataclass(frozen=True, slots=True)
class Gt:
    """The value is more than `gt`."""

    gt: Any


@dataclass(frozen=True, slots=True)
class Le:
    """The value is at most `le`."""

    le: Any


@dataclass(frozen=True, slots=True)
class Lt:
    """The value is less than `lt`."""

    lt: Any


@dataclass(frozen=True, slots=True)
class MinLen:
    """The text or collection has at least `min_length` characters or items."""

    min_length: int


@dataclass(frozen=True, slots=True)
class MaxLen:
    """The text or collection has at most `max_length` characters or items."""

    max_length: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """The regular expression `pattern` is found in the text.

    As in JSON Schema it may be found anywhere; use `^` and `$` for the beginning and the end.
    """

    pattern: str


@dataclass(frozen=True, slots=True)
class Lax:
    """Convert untrusted input before the type is asked.

    Attributes:
        coerce: returns the converted value, or the same one if it knows no better.
    """

    coerce: Callable[[Any], Any]


_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MAX_DIGITS = 4300
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})


def _to_integer(value: Any) -> Any:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return _converted(int, value.strip())
    if _is_finite_fraction(value) and value == int(value):
        return int(value)
    return value


def _is_finite_fraction(value: Any) -> bool:
    return (isinstance(value, float) and isfinite(value)) or (
        isinstance(value, Decimal) and value.is_finite() and value.adjusted() < _MAX_DIGITS
    )


def _to_float(value: Any) -> Any:
    if isinstance(value, Decimal) and value.is_finite():
        return float(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    return value


def _to_decimal(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return _converted(Decimal, value.strip())
    return value


def _to_boolean(value: Any) -> Any:
    word = str(value).strip().lower() if isinstance(value, (str, int)) else ""
    return True if word in _TRUE else False if word in _FALSE else value


def _to_text(value: Any) -> Any:
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else value


def _converted(convert: Callable[[str], Any], text: str) -> Any:
    try:
        return convert(text)
    except (ValueError, InvalidOperation):  # more digits than Python converts
        return text


LaxInt = Annotated[int, Lax(_to_integer)]
"""An integer; untrusted input may be `"10"`, `" 10 "` or `10.0`."""

LaxFloat = Annotated[float, Lax(_to_float)]
"""A float; untrusted input may be `"1.5"`."""

LaxDecimal = Annotated[Decimal, Lax(_to_decimal)]
"""A decimal; untrusted input may be `" 1.50 "` or the JSON number 1.5."""

LaxBool = Annotated[bool, Lax(_to_boolean)]
"""A boolean; untrusted input may be `"on"`, `"true"`, `"yes"`, `1` and their opposites."""

LaxStr = Annotated[str, Lax(_to_text)]
"""Text; untrusted input is stripped of the white space around it, and may be a number."""

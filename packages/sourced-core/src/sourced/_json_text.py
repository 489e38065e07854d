"""JSON text as it is stored: compact, and free of what some store could not hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite
from typing import Any

from sourced._problems import InvalidError, Part, Problem, shown

__all__ = [
    "MAX_DEPTH",
    "MAX_INTEGER_BITS",
    "MAX_NAME",
    "from_json",
    "is_shallow",
    "json_problems",
    "name_problem",
    "text_problem",
    "to_json",
]

MAX_DEPTH = 100
"""How deeply lists and objects may nest; far below every parser's own limit."""

MAX_INTEGER_BITS = 14_284
"""Integers up to 4,300 digits: what Python converts from and to text without being told to."""

MAX_NAME = 255
"""How many characters the name of a stream or a group may have; stores index it."""

_dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode
_loads = json.JSONDecoder().decode


def to_json(data: Any, *, bounded: bool = False) -> str:
    """Return JSON text without spaces; the value is made of dicts, lists and what JSON has itself.

    The common case is one pass of the C encoder and two scans of its text; only a text that looks
    suspicious is searched for the guilty values.

    Args:
        data: the value.
        bounded: its depth is known to be bounded, so it need not be measured.

    Raises:
        InvalidError: NUL characters, lone surrogates, NaN, infinities, huge integers, deep nesting,
            each with its path.
    """
    try:
        text = _dumps(data)
    except (ValueError, RecursionError):
        text = ""
    if text and _is_clean(text) and (bounded or _has_few_levels(text) or is_shallow(data)):
        return text
    if problems := tuple(json_problems(data)):
        raise InvalidError(*problems)
    return text or _dumps_or_refuses(data)


def from_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        InvalidError: it is not JSON.
    """
    try:
        return _loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidError.because(f"is not JSON: {error}") from error


def text_problem(text: str) -> str | None:
    """Return what makes a text impossible to store, if anything does."""
    if "\0" in text:
        return "contains a NUL character (U+0000), which cannot be stored"
    if not _is_unicode(text):
        return "contains a lone surrogate, which is no valid Unicode text"
    return None


def name_problem(name: object) -> str | None:
    """Return what makes something impossible as the name of a stream or a group, if anything."""
    if not isinstance(name, str) or not name:
        return f"expected a text that is not empty, got {shown(name)}"
    if len(name) > MAX_NAME:
        return f"has {len(name)} characters, the limit is {MAX_NAME}"
    return text_problem(name)


def is_shallow(data: Any) -> bool:
    """Return whether lists and objects nest no deeper than may be stored."""
    level = [data]
    for _ in range(MAX_DEPTH + 1):
        level = [item for value in level for item in _children(value)]
        if not level:
            return True
    return False


def json_problems(data: Any) -> Iterator[Problem]:
    """Give every value and key within JSON-able data that some store could not hold."""
    return _problems(data, ())


def _dumps_or_refuses(data: Any) -> str:
    try:
        return _dumps(data)
    except ValueError as error:  # Python was told to convert shorter integers only
        raise InvalidError.because(f"cannot be written as JSON: {error}") from error


def _is_clean(text: str) -> bool:
    # A NUL is written as \u0000. The same characters may also stand for a backslash and a word;
    # the search for the guilty value then finds none.
    return (text.isascii() or _is_unicode(text)) and "\\u0000" not in text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_few_levels(text: str) -> bool:
    return text.count("[") + text.count("{") <= MAX_DEPTH


def _children(value: Any) -> Iterator[Any]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (item for item in items if isinstance(item, (dict, list)))


def _problems(data: Any, path: tuple[Part, ...]) -> Iterator[Problem]:
    if len(path) > MAX_DEPTH:
        yield path[:5], f"is nested more than {MAX_DEPTH} levels deep"
    elif isinstance(data, dict):
        for key, value in data.items():
            if (problem := text_problem(key)) is not None:
                yield (*path, key), f"the key {problem}"
            yield from _problems(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _problems(value, (*path, index))
    elif (problem := _scalar_problem(data)) is not None:
        yield path, problem


def _scalar_problem(data: Any) -> str | None:
    if isinstance(data, str):
        return text_problem(data)
    if isinstance(data, float) and not isfinite(data):
        return f"expected a finite number, got {data!r}"
    if isinstance(data, int) and data.bit_length() > MAX_INTEGER_BITS:
        return "is an integer of more than 4,300 digits"
    return None

"""What `Annotated` adds to a type: constraints, recognised by shape, and conversions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sourced._codec._node import Definitions, JsonSchema, Node, UnsupportedError
from sourced._problems import InvalidError, shown

__all__ = ["annotated_node"]

Check = Callable[[Any], str | None]
"""Returns what is wrong with a value, if anything is."""

_KEYWORDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_COMPARISONS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": ("at least", lambda value, bound: value >= bound),
    "gt": ("more than", lambda value, bound: value > bound),
    "le": ("at most", lambda value, bound: value <= bound),
    "lt": ("less than", lambda value, bound: value < bound),
    "multiple_of": ("a multiple of", lambda value, bound: value % bound == 0),
}
_SIZED = (str, bytes, list, tuple, set, frozenset, dict, None)
_SIZES = {"string": "Length", "array": "Items", "object": "Properties"}


def annotated_node(node: Node, metadata: tuple[Any, ...]) -> Node:
    """Return the node with every constraint and conversion of its metadata.

    Metadata that says nothing about values, such as texts for readers, is passed over.
    """
    checks: list[Check] = []
    extras: list[Callable[[JsonSchema], JsonSchema]] = []
    for item in metadata:
        for check, extra in _understood(item, node):
            checks.append(check)
            extras.append(extra)
    coercions = [item.coerce for item in metadata if callable(getattr(item, "coerce", None))]
    if checks:
        node = _checked(node, checks, extras)
    for coerce in reversed(coercions):
        node = _coerced(node, coerce)
    return node


def _understood(
    item: Any, node: Node
) -> Iterator[tuple[Check, Callable[[JsonSchema], JsonSchema]]]:
    """Give what an object of the metadata asks of a value, with what it adds to the schema."""
    if callable(item):
        yield _by_calling(item), _nothing
        return
    for name in _COMPARISONS:
        if (bound := getattr(item, name, None)) is not None:
            yield _comparison(name, bound, node), _keyword(_KEYWORDS[name], bound)
    for name, word in (("min_length", "min"), ("max_length", "max")):
        if isinstance(size := getattr(item, name, None), int) and size >= (word == "min"):
            yield _size(word, size, node), _size_keyword(word, size, node)
    if (pattern := getattr(item, "pattern", None)) is not None:
        yield _pattern(pattern, item, node), lambda schema: {**schema, "pattern": pattern}
    if callable(func := getattr(item, "func", None)):
        yield _predicate(func), _nothing
    if isinstance(text := getattr(item, "documentation", None), str):
        yield _anything, lambda schema: {**schema, "description": text}


def _nothing(schema: JsonSchema) -> JsonSchema:
    return schema


def _anything(_: Any) -> None:
    return None


def _by_calling(function: Callable[[Any], Any]) -> Check:
    if getattr(function, "__module__", "") in {"sourced.types", "annotated_types"}:
        name = getattr(function, "__name__", repr(function))
        raise UnsupportedError(f"the constraint {name} needs its argument: {name}(…)")

    def check(value: Any) -> str | None:
        try:
            function(value)
        except ValueError as error:
            return str(error) or "is refused"
        return None

    return check


def _predicate(function: Callable[[Any], Any]) -> Check:
    name = getattr(function, "__name__", repr(function))
    return lambda value: None if function(value) else f"{shown(value)} does not satisfy {name}"


def _comparison(name: str, bound: Any, node: Node) -> Check:
    words, holds = _COMPARISONS[name]
    if node.python in (int, float, Decimal) and not isinstance(bound, (int, float, Decimal)):
        raise UnsupportedError(f"{name}={shown(bound)} cannot be compared with {node.what}")

    def check(value: Any) -> str | None:
        with suppress(ArithmeticError):  # of decimals too large to be divided
            if value is None or holds(value, bound):
                return None
        return f"expected {words} {shown(bound)}, got {shown(value)}"

    return check


def _keyword(keyword: str, bound: Any) -> Callable[[JsonSchema], JsonSchema]:
    # JSON Schema compares numbers only; a decimal or a date is text there.
    def extend(schema: JsonSchema) -> JsonSchema:
        is_number = schema.get("type", "anyOf") in ("integer", "number", "anyOf")
        return (
            {**schema, keyword: bound} if is_number and isinstance(bound, (int, float)) else schema
        )

    return extend


def _size(word: str, size: int, node: Node) -> Check:
    if node.python not in _SIZED:
        raise UnsupportedError(f"a length cannot be asked of {node.what}")
    words = "at least" if word == "min" else "at most"

    def check(value: Any) -> str | None:
        if value is None or (len(value) >= size if word == "min" else len(value) <= size):
            return None
        unit = "characters" if isinstance(value, str) else "items"
        return f"expected {words} {size} {unit}, got {len(value)}"

    return check


def _size_keyword(word: str, size: int, node: Node) -> Callable[[JsonSchema], JsonSchema]:
    def extend(schema: JsonSchema) -> JsonSchema:
        noun = _SIZES.get(schema.get("type", ""))
        return schema if noun is None or node.python is bytes else {**schema, f"{word}{noun}": size}

    return extend


def _pattern(pattern: Any, item: Any, node: Node) -> Check:
    if node.python not in (str, None):
        raise UnsupportedError(f"a pattern cannot be asked of {node.what}")
    try:
        search = (item if isinstance(item, re.Pattern) else _compiled(pattern)).search
    except re.error as error:
        raise UnsupportedError(
            f"the pattern {pattern!r} is no regular expression: {error}"
        ) from None

    def check(value: Any) -> str | None:
        if value is None or search(value):
            return None
        return f"expected a match of {pattern!r}, got {shown(value)}"

    return check


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern with a final `$` that means the end, not also "before a last newline"."""
    bare = pattern.removesuffix("$")
    escaped = (len(bare) - len(bare.rstrip("\\"))) % 2 == 1
    return re.compile(pattern if bare == pattern or escaped else rf"{bare}\Z")


def _checked(
    node: Node, checks: list[Check], extras: list[Callable[[JsonSchema], JsonSchema]]
) -> Node:
    def ask(value: Any) -> None:
        if problems := [problem for check in checks if (problem := check(value)) is not None]:
            raise InvalidError(*(((), problem) for problem in problems))

    def encode(value: Any) -> Any:
        data = node.encode(value)
        ask(value)
        return data

    def parse(value: Any) -> Any:
        parsed = node.parse(value)
        ask(parsed)
        return parsed

    def describe(definitions: Definitions) -> JsonSchema:
        schema = node.describe(definitions)
        for extend in extras:
            schema = extend(schema)
        return schema

    return replace(node, encode=encode, parse=parse, describe=describe)


def _coerced(node: Node, coerce: Callable[[Any], Any]) -> Node:
    return replace(node, parse=lambda value: node.parse(coerce(value)), lax=True)

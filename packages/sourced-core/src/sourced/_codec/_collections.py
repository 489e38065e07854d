"""The codec of lists, tuples, sets and dicts, and of plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sourced._codec._node import Convert, Definitions, JsonSchema, Node, UnsupportedError
from sourced._json_text import json_problems
from sourced._problems import InvalidError, Part, Problem, expected, shown

__all__ = [
    "dict_node",
    "fixed_tuple_node",
    "json_value_node",
    "list_node",
    "plain_json",
    "set_node",
    "tuple_node",
]

_LIST = frozenset({list})

_refuse_dict = expected("a dict")
_refuse_json_value = expected("a JSON value (dict, list, str, int, float, bool or None)")


def convert_each(items: Iterable[tuple[Part, Any]], convert: Convert) -> list[Any]:
    """Return the items converted, each once: beginning again would double the work at every level.

    Raises:
        InvalidError: all problems of all items, each under its index or key.
    """
    done: list[Any] = []
    problems = []
    for part, item in items:
        try:
            done.append(convert(item))
        except InvalidError as invalid:
            problems += invalid.under(part)
    if problems:
        raise InvalidError(*problems)
    return done


def _convert_all(values: Any, convert: Convert) -> list[Any]:
    return convert_each(enumerate(values), convert)


def _is_plain(value: Any, python: type) -> bool:
    """Return whether a value is of the class, or of a subclass and equal to the plain one."""
    if type(value) is python:
        return True
    return isinstance(value, python) and bool(python(value) == value)


def _sequence_node(
    python: type, item: Node, extra: JsonSchema, make: Callable[[list[Any]], Any]
) -> Node:
    """Return the node of list, tuple[X, ...], set or frozenset, all of them lists in JSON."""
    what = f"a {python.__name__}"
    refuse, refuse_json = expected(what), expected("a list")

    def encode(value: Any) -> list[Any]:
        if not _is_plain(value, python):
            raise refuse(value)
        return _convert_all(value, item.encode)

    def decode(value: Any) -> Any:
        if type(value) is not list:
            raise refuse_json(value)
        return make(_convert_all(value, item.decode))

    def parse(value: Any) -> Any:
        if not isinstance(value, (list, python)):
            raise refuse_json(value)
        return make(_convert_all(value, item.parse))

    def describe(definitions: Definitions) -> JsonSchema:
        return {"type": "array", "items": item.describe(definitions), **extra}

    return Node(
        what=what,
        encode=encode,
        decode=decode,
        parse=parse,
        describe=describe,
        python=python,
        json=_LIST,
        hashable=python is frozenset or (python is tuple and item.hashable),
        bounded=item.bounded,
    )


def list_node(item: Node) -> Node:
    """Return the node of `list[X]`."""
    return _sequence_node(list, item, {}, lambda items: items)


def tuple_node(item: Node) -> Node:
    """Return the node of `tuple[X, ...]`."""
    return _sequence_node(tuple, item, {}, tuple)


def set_node(python: type, item: Node) -> Node:
    """Return the node of `set[X]` or `frozenset[X]`; its members are written in a fixed order."""
    if not item.hashable:
        raise UnsupportedError(f"{item.what} cannot be a member of a {python.__name__}")
    node = _sequence_node(python, item, {"uniqueItems": True}, python)
    unordered = node.encode

    def encode(value: Any) -> list[Any]:
        return _sorted(unordered(value))

    node.encode = encode
    return node


def _sorted(items: list[Any]) -> list[Any]:
    try:
        return sorted(items)
    except TypeError:  # of mixed types, or objects
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))


def fixed_tuple_node(items: list[Node]) -> Node:
    """Return the node of `tuple[X, Y]`."""
    size = len(items)
    refuse = expected(f"a tuple of {size}")
    refuse_json = expected(f"a list of {size}")

    def convert_with(converts: list[Convert], values: Any) -> list[Any]:
        pairs = enumerate(zip(converts, values, strict=True))
        return convert_each(pairs, lambda pair: pair[0](pair[1]))

    encodes, decodes, parses = (
        [getattr(item, name) for item in items] for name in ("encode", "decode", "parse")
    )

    def encode(value: Any) -> list[Any]:
        if not _is_plain(value, tuple) or len(value) != size:
            raise refuse(value)
        return convert_with(encodes, value)

    def decode(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != size:
            raise refuse_json(value)
        return tuple(convert_with(decodes, value))

    def parse(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)) or len(value) != size:
            raise refuse_json(value)
        return tuple(convert_with(parses, value))

    def describe(definitions: Definitions) -> JsonSchema:
        each = [item.describe(definitions) for item in items]
        schema: JsonSchema = {"type": "array", "minItems": size, "maxItems": size}
        return {**schema, "prefixItems": each} if each else schema

    return Node(
        what=f"a tuple of {size}",
        encode=encode,
        decode=decode,
        parse=parse,
        describe=describe,
        python=tuple,
        json=_LIST,
        hashable=all(item.hashable for item in items),
        bounded=all(item.bounded for item in items),
    )


def dict_node(key: Node, value: Node) -> Node:
    """Return the node of `dict[str, X]`; keys may be anything that is written as text."""
    if key.json != {str}:
        raise UnsupportedError(
            f"keys of objects are text in JSON, and {key.what} is not; use dict[str, …]"
        )
    codec = _Dict(key, value)
    return Node(
        what="a dict",
        encode=codec.encode,
        decode=codec.decode,
        parse=codec.parse,
        describe=codec.describe,
        python=dict,
        json=frozenset({dict}),
        hashable=False,
        bounded=value.bounded,
    )


@dataclass(frozen=True, slots=True)
class _Dict:
    """Dicts whose keys are written as text."""

    key: Node
    value: Node

    def encode(self, found: Any) -> dict[str, Any]:
        if not _is_plain(found, dict):
            raise _refuse_dict(found)
        data = _convert_pairs(found, self.key.encode, self.value.encode)
        if len(data) < len(found):
            raise InvalidError.because("has two keys that would be written alike")
        return data

    def decode(self, found: Any) -> dict[Any, Any]:
        if type(found) is not dict:
            raise _refuse_dict(found)
        return _convert_pairs(found, self.key.decode, self.value.decode)

    def parse(self, found: Any) -> dict[Any, Any]:
        if not isinstance(found, Mapping):
            raise _refuse_dict(found)
        return _convert_pairs(found, self.key.parse, self.value.parse)

    def describe(self, definitions: Definitions) -> JsonSchema:
        names = self.key.describe(definitions)
        named = {} if names == {"type": "string"} else {"propertyNames": names}
        values = self.value.describe(definitions)
        return {"type": "object", **named, "additionalProperties": values}


def _convert_pairs(found: Mapping[Any, Any], key: Convert, value: Convert) -> dict[Any, Any]:
    done: dict[Any, Any] = {}
    problems: list[Problem] = []
    for name, item in found.items():
        read = None
        try:
            read = key(name)
        except InvalidError as invalid:
            problems += invalid.under(_part(name))
        try:
            done[read] = value(item)
        except InvalidError as invalid:
            problems += invalid.under(_part(name))
    if problems:
        raise InvalidError(*problems)
    return done


def _part(key: Any) -> Part:
    return key if isinstance(key, str | int) else shown(key)


def plain_json(value: Any) -> Any:
    """Return a copy of a value made of what JSON itself has, dicts with text as keys.

    Raises:
        InvalidError: it has other things in it, such as tuples, which would be read back as lists.
    """
    try:
        return _plain(value)
    except RecursionError:
        raise InvalidError.because("is nested too deeply") from None


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (str, int, bool, float):
        return value
    if kind is list:
        return _convert_all(value, _plain)
    if kind is dict and all(map(_is_text, value)):
        return dict(zip(value, convert_each(value.items(), _plain), strict=True))
    raise _refuse_json_value(value)


def _is_text(value: Any) -> bool:
    return type(value) is str


def _parsed_json(value: Any) -> Any:
    data = plain_json(value)
    if problems := tuple(json_problems(data)):
        raise InvalidError(*problems)
    return data


def json_value_node() -> Node:
    """Return the node of `Any`: any JSON value."""
    return Node(
        what="a JSON value",
        encode=plain_json,
        decode=lambda value: value,
        parse=_parsed_json,
        describe=lambda _: {},
        hashable=False,
        bounded=False,
    )

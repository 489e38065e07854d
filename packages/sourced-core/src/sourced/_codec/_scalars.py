"""The codec of single values: what JSON has itself, and all that it holds as text."""

from __future__ import annotations

from math import isfinite
from typing import Any

from sourced._codec._node import Convert, JsonSchema, Node
from sourced._codec._texts import TEXTS
from sourced._json_text import MAX_INTEGER_BITS, text_problem
from sourced._problems import InvalidError, expected

__all__ = ["SCALARS"]

_NUMBER = frozenset({int, float})
_TEXT = frozenset({str})


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

    def parse(value: Any) -> Any:
        text = encode(value)
        if (problem := text_problem(text)) is not None:
            raise InvalidError.because(problem)
        return text

    return _node(str, "text", {"type": "string"}, _TEXT, encode, decode, parse)


def _integer_node() -> Node:
    refuse = expected("an integer")

    def encode(value: Any) -> Any:
        if type(value) is int:
            if -(1 << 63) <= value < 1 << 63 or value.bit_length() <= MAX_INTEGER_BITS:
                return value
            raise InvalidError.because("is an integer of more than 4,300 digits")
        if isinstance(value, int) and not isinstance(value, bool):
            return encode(int(value))
        raise refuse(value)

    def decode(value: Any) -> Any:
        if type(value) is int:
            return value
        return encode(value)

    return _node(int, "an integer", {"type": "integer"}, frozenset({int}), encode, decode, encode)


def _float_node() -> Node:
    refuse = expected("a finite number")

    def encode(value: Any) -> Any:
        if type(value) is float and isfinite(value):
            return value
        number = decode(value)
        if number != value:
            raise InvalidError.because("is an integer that a float cannot hold exactly")
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


SCALARS: dict[type, Node] = {
    str: _text_node(),
    int: _integer_node(),
    float: _float_node(),
    bool: _boolean_node(),
    type(None): _none_node(),
    **{text.python: text.node() for text in TEXTS},
}
"""Every type of a single value, compiled."""

"""The codec of enumerations and literals: values of a fixed set."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum, Flag
from typing import Any

from sourced._codec._node import JsonSchema, Node, UnsupportedError
from sourced._codec._scalars import SCALARS
from sourced._naming import with_article
from sourced._problems import InvalidError, shown

__all__ = ["enum_node", "literal_node"]


def enum_node(python: type[Enum]) -> Node:
    """Return the node of an enumeration, stored by value."""
    values = {member: member.value for member in python}
    for member, value in values.items():
        if value is not None and not isinstance(value, (str, int, float)):
            raise UnsupportedError(
                f"the value of {python.__name__}.{member.name} is {shown(value)}; "
                "enumerations are stored by values that are text or numbers"
            )
    what = f"one of {', '.join(shown(value) for value in values.values())}"
    has_booleans = any(isinstance(value, bool) for value in values.values())

    def encode(value: Any) -> Any:
        if type(value) is not python:
            wanted = with_article(python.__name__)
            raise InvalidError.because(f"expected {wanted}, got {shown(value)}")
        return value.value

    def decode(value: Any) -> Any:
        # Python takes True for 1; and `_missing_` of the class may know former values.
        if has_booleans or not isinstance(value, bool):
            with suppress(ValueError, KeyError, TypeError):
                return python(value)
        raise InvalidError.because(f"expected {what}, got {shown(value)}")

    def parse(value: Any) -> Any:
        return value if type(value) is python else decode(value)

    schema: JsonSchema = {"enum": list(values.values())}
    if issubclass(python, Flag):
        schema = {"type": "integer"}
    return Node(
        what=what,
        encode=encode,
        decode=decode,
        parse=parse,
        describe=lambda definitions: definitions.refer(
            python, python.__name__, lambda _: dict(schema)
        ),
        python=python,
        json=_json_types(list(values.values())),
    )


def literal_node(values: tuple[Any, ...]) -> Node:
    """Return the node of `Literal[...]`."""
    written = {_typed(value): _encoded(value) for value in values}
    read = {_typed(data): value for value, data in zip(values, written.values(), strict=True)}
    what = "one of " + ", ".join(shown(value) for value in values)

    def refuse(value: Any) -> InvalidError:
        return InvalidError.because(f"expected {what}, got {shown(value)}")

    def encode(value: Any) -> Any:
        try:
            return written[_typed(value)]
        except (KeyError, TypeError):
            raise refuse(value) from None

    def decode(value: Any) -> Any:
        try:
            return read[_typed(value)]
        except (KeyError, TypeError):
            raise refuse(value) from None

    def parse(value: Any) -> Any:
        return (
            value
            if isinstance(value, (Enum, bytes)) and _typed(value) in written
            else decode(value)
        )

    return Node(
        what=what,
        encode=encode,
        decode=decode,
        parse=parse,
        describe=lambda _: {"enum": list(written.values())},
        json=_json_types(list(written.values())),
    )


def _typed(value: Any) -> tuple[type, Any]:
    return type(value), value


def _encoded(value: Any) -> Any:
    if isinstance(value, Enum):
        return enum_node(type(value)).encode(value)
    return SCALARS[type(value)].encode(value)


def _json_types(values: list[Any]) -> frozenset[type]:
    kinds = {
        kind for value in values for kind in (bool, int, float, str) if isinstance(value, kind)
    }
    if bool in kinds and not any(type(value) is int for value in values):
        kinds.discard(int)
    return frozenset(kinds | ({type(None)} if None in values else set()))

"""A compiled field type: how its values become JSON and come back, and how JSON Schema says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = [
    "ALL_JSON",
    "Convert",
    "Definitions",
    "Describe",
    "JsonSchema",
    "Node",
    "UnsupportedError",
]

Convert = Callable[[Any], Any]
JsonSchema = dict[str, Any]

ALL_JSON: Final[frozenset[type[Any]]] = frozenset({str, int, float, bool, type(None), list, dict})
"""The Python types that JSON text is read as."""


@dataclass(slots=True)
class Definitions:
    """The named schemas that a JSON Schema refers to: nested classes, each described once."""

    schemas: dict[str, JsonSchema] = field(default_factory=dict)
    names: dict[Any, str] = field(default_factory=dict)

    def refer(self, key: Any, name: str, describe: Describe) -> JsonSchema:
        """Return a reference to the schema of `key`, describing it the first time."""
        if key not in self.names:
            self.names[key] = chosen = self._free(name)
            self.schemas[chosen] = {}
            self.schemas[chosen] = describe(self)
        return {"$ref": f"#/$defs/{self.names[key]}"}

    def _free(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self.schemas:
            number += 1
            candidate = f"{name}{number}"
        return candidate


Describe = Callable[[Definitions], JsonSchema]


@dataclass(slots=True, kw_only=True)
class Node:
    """One type of the codec, compiled to closures once per class.

    The closures raise `InvalidError`; their innermost case, a value that fits, costs one call.
    Nodes are filled in after they are made, since a recursive type refers to itself.

    Attributes:
        what: the type in words, as in "expected an integer".
        encode: a Python value to a JSON-able one; refuses what would not read back equal.
        decode: a JSON value, as the store gave it, to a Python one; constraints are not asked.
        parse: untrusted input, JSON-shaped or Python, to a Python value; constraints are asked.
        describe: the JSON Schema.
        python: the exact class of its values, if there is one; picks the member of a union.
        json: the types of JSON values that it is read from.
        keys: the keys that its objects have, if it is a record.
        hashable: its values can be members of a set.
        bounded: its JSON nests to a depth known from the type alone.
        lax: it takes text for other types, as from a form.
    """

    what: str
    encode: Convert
    decode: Convert
    parse: Convert
    describe: Describe
    python: type[Any] | None = None
    json: frozenset[type[Any]] = ALL_JSON
    keys: frozenset[str] | None = None
    hashable: bool = True
    bounded: bool = True
    lax: bool = False


class UnsupportedError(Exception):
    """A field type that the codec cannot hold; internal, users see `DefinitionError`."""

"""The port between a message class and what reads, checks and writes its payload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from sourced._annotations import Scope
from sourced._codec import (
    REQUIRED,
    Compiler,
    Default,
    Definitions,
    Member,
    Node,
    Record,
    UnsupportedError,
    member_of,
)
from sourced._json_text import from_json, to_json
from sourced._problems import InvalidError, shown
from sourced.errors import DefinitionError

__all__ = [
    "BuiltinSchema",
    "Extra",
    "PayloadField",
    "PayloadShape",
    "RecordSchema",
    "Schema",
    "SchemaFactory",
]

Extra = Literal["ignore", "forbid"]

T = TypeVar("T")

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadField:
    """One field of a message class.

    Attributes:
        name: its name.
        annotation: its type, with all names resolved.
        default: what stands for it when it is missing; refuses that if it is required.
    """

    name: str
    annotation: Any
    default: Default

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadShape:
    """What a schema is built from: the fields of one message class.

    Attributes:
        name: the class's name.
        type: its type string, for errors.
        doc: the class's docstring, if it has one.
        fields: its fields in their order.
        extra: whether `parse` refuses keys that are no fields.
        scope: the names around the class's definition, for types that refer to others by name.
    """

    name: str
    type: str
    doc: str | None
    fields: tuple[PayloadField, ...]
    extra: Extra
    scope: Scope


class Schema(Protocol):
    """Reads, checks and writes the payloads of one message class.

    A schema is made once per class, by a `SchemaFactory`, and is used by many threads. It promises
    that what `encode` returns is read back equal by `decode`, or that `encode` refuses it: nothing
    is found out by a store. Every refusal is a `PayloadError` that names all problems by path.
    """

    def parse(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of untrusted input, checked and coerced, defaults filled in.

        Raises:
            PayloadError: values that do not fit, missing fields, and unknown ones if they are
                forbidden.
        """
        ...

    def encode(self, values: Mapping[str, Any]) -> str:
        """Return the fields as the JSON text of an object; other keys are passed over.

        Raises:
            PayloadError: values that could not be stored and read back equal.
        """
        ...

    def decode(self, payload: str) -> dict[str, Any]:
        """Return the fields of a stored payload: unknown keys ignored, defaults filled in.

        Raises:
            PayloadError: it does not fit the class.
        """
        ...

    def json_schema(self) -> dict[str, Any]:
        """Return the payload's JSON Schema, draft 2020-12."""
        ...


SchemaFactory = Callable[[PayloadShape], Schema]
"""Makes the schema of a class; raises `DefinitionError` for field types that it cannot hold."""


class RecordSchema:
    """A schema made of one node per field; what all schemas here have in common.

    Args:
        shape: the message class.
        node_of: makes the node of a field; raises `UnsupportedError`.

    Raises:
        DefinitionError: a field's type is not supported, or its default does not fit.
    """

    def __init__(self, shape: PayloadShape, node_of: Callable[[PayloadField], Node]) -> None:
        self._type = shape.type
        self._about = {"title": shape.name, **({"description": shape.doc} if shape.doc else {})}
        members = tuple(_member(shape, field, node_of) for field in shape.fields)
        self._record = Record(members, closed=shape.extra == "forbid")
        self._bounded = all(member.node.bounded for member in members)

    def parse(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of untrusted input."""
        return self._refusing(self._parsed, values)

    def encode(self, values: Mapping[str, Any]) -> str:
        """Return the fields as JSON text."""
        return self._refusing(self._written, values)

    def decode(self, payload: str) -> dict[str, Any]:
        """Return the fields of a stored payload."""
        return self._refusing(self._read, payload)

    def _parsed(self, values: object) -> dict[str, Any]:
        if not isinstance(values, Mapping):
            raise InvalidError.because(f"expected an object, got {shown(values)}")
        parsed = self._record.parse(values)
        if not self._bounded:  # what is valid can be stored, so it is not nested too deeply
            self._written(parsed)
        return parsed

    def _written(self, values: Mapping[str, Any]) -> str:
        return to_json(self._record.encode(values), bounded=self._bounded)

    def _read(self, payload: str) -> dict[str, Any]:
        data = from_json(payload)
        if type(data) is not dict:
            raise InvalidError.because("expected a JSON object")
        return self._record.decode(data)

    def _refusing(self, work: Callable[[Any], T], given: Any) -> T:
        try:
            return work(given)
        except InvalidError as invalid:
            raise invalid.as_error(self._type) from None
        except RecursionError:
            raise InvalidError.because("is nested too deeply").as_error(self._type) from None

    def json_schema(self) -> dict[str, Any]:
        """Return the payload's JSON Schema."""
        definitions = Definitions()
        body = self._record.describe(definitions)
        named = {"$defs": definitions.schemas} if definitions.schemas else {}
        return {"$schema": DIALECT, **self._about, **body, **named}


class BuiltinSchema(RecordSchema):
    """The schema of the standard library's types, without dependencies."""

    def __init__(self, shape: PayloadShape) -> None:
        compiler = Compiler(shape.scope, closed=shape.extra == "forbid")
        super().__init__(shape, lambda field: compiler.node(field.annotation))


def _member(
    shape: PayloadShape, field: PayloadField, node_of: Callable[[PayloadField], Node]
) -> Member:
    try:
        return member_of(field.name, node_of(field), field.default)
    except UnsupportedError as unsupported:
        raise DefinitionError(f"{shape.name}.{field.name}", str(unsupported)) from unsupported

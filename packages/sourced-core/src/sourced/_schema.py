"""The port between a message class and what reads, checks and writes its payload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sourced._annotations import Scope
from sourced._codec import (
    REQUIRED,
    Compiler,
    Default,
    Definitions,
    Member,
    Record,
    Unsupported,
)
from sourced._json_text import from_json, to_json
from sourced._problems import Invalid
from sourced.errors import DefinitionError

__all__ = ["BuiltinSchema", "Extra", "PayloadField", "PayloadShape", "Schema", "SchemaFactory"]

Extra = Literal["ignore", "forbid"]

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
"""Makes the schema of a class when it is defined; raises `DefinitionError` for types it cannot hold."""


class BuiltinSchema:
    """The schema of the standard library's types, without dependencies."""

    def __init__(self, shape: PayloadShape) -> None:
        self._type = shape.type
        self._shape = shape
        compiler = Compiler(shape.scope, closed=shape.extra == "forbid")
        members = tuple(_member(compiler, shape, field) for field in shape.fields)
        self._record = Record(members, closed=shape.extra == "forbid")
        self._bounded = all(member.node.bounded for member in members)

    def parse(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of untrusted input."""
        if not isinstance(values, Mapping):
            invalid = Invalid.because("expected an object with the fields")
            raise invalid.as_error(self._type)
        try:
            return self._record.parse(values)
        except Invalid as invalid:
            raise invalid.as_error(self._type) from None
        except RecursionError:
            raise Invalid.because("is nested too deeply").as_error(self._type) from None

    def encode(self, values: Mapping[str, Any]) -> str:
        """Return the fields as JSON text."""
        try:
            return to_json(self._record.encode(values), bounded=self._bounded)
        except Invalid as invalid:
            raise invalid.as_error(self._type) from None
        except RecursionError:
            raise Invalid.because("is nested too deeply").as_error(self._type) from None

    def decode(self, payload: str) -> dict[str, Any]:
        """Return the fields of a stored payload."""
        try:
            data = from_json(payload)
            if type(data) is not dict:
                raise Invalid.because("expected a JSON object")
            return self._record.decode(data)
        except Invalid as invalid:
            raise invalid.as_error(self._type) from None

    def json_schema(self) -> dict[str, Any]:
        """Return the payload's JSON Schema."""
        definitions = Definitions()
        schema = {"$schema": DIALECT, "title": self._shape.name}
        if self._shape.doc:
            schema["description"] = self._shape.doc
        body = self._record.describe(definitions)
        named = {"$defs": definitions.schemas} if definitions.schemas else {}
        return {**schema, **body, **named}


def _member(compiler: Compiler, shape: PayloadShape, field: PayloadField) -> Member:
    try:
        return compiler.member(field.name, field.annotation, field.default)
    except Unsupported as unsupported:
        raise DefinitionError(f"{shape.name}.{field.name}", str(unsupported)) from None

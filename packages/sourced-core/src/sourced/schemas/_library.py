"""What the schemas of validation libraries have in common: one converter per field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Annotated, Any, get_args, get_origin

from sourced._codec import Convert, Definitions, JsonSchema, Node, annotated_node
from sourced._problems import InvalidError, shown
from sourced._schema import PayloadField, PayloadShape, RecordSchema

__all__ = ["LibrarySchema", "field_node"]

_FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType)


class LibrarySchema(RecordSchema):
    """A schema whose fields a library converts, and whose JSON Schema the library gives.

    Args:
        shape: the message class.
        node_of: makes the node of an annotation, without its description.
        describe_all: returns the fields' JSON Schemas by name, and the definitions they refer to.
    """

    def __init__(
        self,
        shape: PayloadShape,
        node_of: Callable[[Any], Node],
        describe_all: Callable[[Mapping[str, Any]], tuple[dict[str, JsonSchema], JsonSchema]],
    ) -> None:
        annotations = {field.name: _library_part(field.annotation) for field in shape.fields}

        def node(field: PayloadField) -> Node:
            def describe(definitions: Definitions) -> JsonSchema:
                fields, shared = describe_all(annotations)
                definitions.schemas.update(shared)
                return fields[field.name]

            made = node_of(annotations[field.name])
            made.describe = describe
            return annotated_node(made, _own_part(field.annotation))

        super().__init__(shape, node)


def field_node(what: str, *, parse: Convert, dump: Convert, load: Convert) -> Node:
    """Return the node of a type that a library converts.

    What it dumps is loaded again at once, and compared, since a library may drop or change what
    it does not know; so nothing is stored that would not be read back equal.

    Args:
        what: the type in words.
        parse: untrusted input to a value.
        dump: a value to a JSON-able one.
        load: a JSON value to a value.
    """

    def encode(value: Any) -> Any:
        data = dump(value)
        if load(data) != value:
            raise InvalidError.because(f"{shown(value)} would not be read back equal as {what}")
        return data

    return Node(
        what=what,
        encode=encode,
        decode=load,
        parse=parse,
        describe=lambda _: {},
        bounded=False,
    )


def _library_part(annotation: Any) -> Any:
    """Return an annotation without the constraints of this library."""
    if get_origin(annotation) is not Annotated:
        return annotation
    base, *metadata = get_args(annotation)
    theirs = tuple(item for item in metadata if not _is_own(item))
    return Annotated[(base, *theirs)] if theirs else base


def _own_part(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is not Annotated:
        return ()
    return tuple(item for item in get_args(annotation)[1:] if _is_own(item))


def _is_own(item: Any) -> bool:
    return isinstance(item, _FUNCTIONS) or type(item).__module__ == "sourced.types"

"""Fields of pydantic's types: `class AddItem(Command, schema=PydanticSchema)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaMode

from sourced._codec import JsonSchema, Node, UnsupportedError
from sourced._json_text import to_json
from sourced._problems import InvalidError
from sourced._schema import PayloadShape
from sourced.errors import DefinitionError
from sourced.schemas._library import LibrarySchema, field_node

__all__ = ["PydanticSchema"]

_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")


class PydanticSchema(LibrarySchema):
    """Reads, checks and writes the fields of a message with pydantic.

    Fields may be models, pydantic's own types, and whatever else pydantic validates. `parse`
    coerces as pydantic does. Constraints are pydantic's (`Annotated[int, Field(gt=0)]`); those of
    `sourced.types` are understood on the field itself, not inside of other types.

    Raises:
        DefinitionError: a type that pydantic cannot handle.
    """

    def __init__(self, shape: PayloadShape) -> None:
        for field in shape.fields:
            if not field.is_required and isinstance(field.default.make(), FieldInfo):
                raise DefinitionError(
                    f"{shape.name}.{field.name}",
                    "Field(...) is no default of a message; use Annotated[…, Field(...)]",
                )
        super().__init__(shape, lambda annotation: _node(_adapter(annotation)), _describe_all)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=_CONFIG)
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise UnsupportedError(str(error)) from error
    return TypeAdapter(annotation)  # models and dataclasses have a configuration of their own


def _node(adapter: TypeAdapter[Any]) -> Node:
    def parse(value: Any) -> Any:
        try:
            return adapter.validate_python(value)
        except ValidationError as error:
            raise _invalid(error) from None

    def dump(value: Any) -> Any:
        try:
            return adapter.dump_python(
                value, mode="json", by_alias=True, round_trip=True, warnings="error"
            )
        except ValueError as error:
            raise InvalidError.because(str(error)) from None

    def load(data: Any) -> Any:
        # Only in this mode does pydantic read what it writes as text, such as bytes.
        text = to_json(data)
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            raise _invalid(error) from None

    return field_node(repr(adapter), parse=parse, dump=dump, load=load)


def _invalid(error: ValidationError) -> InvalidError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return InvalidError(*((problem["loc"], problem["msg"]) for problem in found))


def _describe_all(
    annotations: Mapping[str, Any],
) -> tuple[dict[str, JsonSchema], dict[str, Any]]:
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (name, "validation", _adapter(each)) for name, each in annotations.items()
    ]
    schemas, shared = TypeAdapter.json_schemas(inputs, ref_template="#/$defs/{model}")
    return {key: dict(schema) for (key, _), schema in schemas.items()}, shared.get("$defs", {})

"""Fields of msgspec's types: `class AddItem(Command, schema=MsgspecSchema)`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from sourced._codec import JsonSchema, Node, UnsupportedError
from sourced._problems import InvalidError, Part
from sourced._schema import PayloadShape
from sourced.schemas._library import LibrarySchema, field_node

__all__ = ["MsgspecSchema"]

_PATH = re.compile(r"^(?P<text>.*?) - at `(?:key in )?\$(?P<path>[^`]*)`$", re.DOTALL)
_PART = re.compile(r"\.(?P<name>\w+)|\[(?P<index>\d+|\.\.\.)\]")


class MsgspecSchema(LibrarySchema):
    """Reads, checks and writes the fields of a message with msgspec.

    Fields may be structs and whatever else msgspec converts, strictly. Constraints are msgspec's
    (`Annotated[int, msgspec.Meta(gt=0)]`); those of `sourced.types` are understood on the field
    itself, not inside of other types. msgspec reports one problem per field.

    Raises:
        DefinitionError: a type that msgspec cannot handle.
    """

    def __init__(self, shape: PayloadShape) -> None:
        super().__init__(shape, _node, _describe_all)


def _node(annotation: Any) -> Node:
    try:
        msgspec.json.schema(annotation)
    except (TypeError, NameError) as error:
        raise UnsupportedError(f"msgspec cannot handle the type: {error}") from error

    def convert(value: Any) -> Any:
        try:
            return msgspec.convert(value, annotation, str_keys=True)
        except msgspec.ValidationError as error:
            raise _invalid(str(error)) from None

    def parse(value: Any) -> Any:
        try:
            return convert(value)
        except InvalidError:
            # A struct given as such is checked like the object that it stands for.
            if type(value) in (str, int, float, bool, list, dict, type(None)):
                raise
            return convert(dump(value))

    def dump(value: Any) -> Any:
        try:
            return msgspec.to_builtins(value, str_keys=True)
        except (TypeError, ValueError) as error:
            raise InvalidError.because(str(error)) from None

    return field_node(str(annotation), parse=parse, dump=dump, load=convert)


def _invalid(sentence: str) -> InvalidError:
    found = _PATH.match(sentence)
    if found is None:
        return InvalidError.because(sentence)
    parts = [_part(part) for part in _PART.finditer(found["path"])]
    return InvalidError((tuple(parts), found["text"]))


def _part(found: re.Match[str]) -> Part:
    if found["name"] is not None:
        return found["name"]
    return int(found["index"]) if found["index"].isdigit() else found["index"]


def _describe_all(
    annotations: Mapping[str, Any],
) -> tuple[dict[str, JsonSchema], dict[str, Any]]:
    types = list(annotations.values())
    schemas, shared = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return dict(zip(annotations, schemas, strict=True)), shared

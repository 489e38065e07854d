"""JSON Schema of messages: what forms, generators and validators of other languages are told."""

from __future__ import annotations

import json
from dataclasses import field, make_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from typing_extensions import Doc, TypeAliasType

from sourced import Event
from sourced.types import Ge, LaxInt, Le, MaxLen, MinLen, Pattern
from sourced_testing._field_types import Address, Colour, Point, Tree


class Described(Event, type="test_json_schema.described"):
    """What happened.

    In more words.
    """

    name: Annotated[str, MinLen(1), MaxLen(10), Pattern("^a")]
    count: Annotated[LaxInt, Ge(0), Le(9)] = 3
    tags: Annotated[list[str], MinLen(1)] = field(default_factory=list)


def schema_of(annotation: Any) -> tuple[Any, Any]:
    """Return the schema of a field, and the definitions that it refers to."""

    class Holder(Event):
        value: annotation

    schema = Holder.json_schema()
    json.dumps(schema)
    return schema["properties"]["value"], schema.get("$defs")


def test_a_schema_has_constraints_defaults_and_what_is_required() -> None:
    assert Described.json_schema() == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Described",
        "description": "What happened.\n\nIn more words.",
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 10, "pattern": "^a"},
            "count": {"type": "integer", "minimum": 0, "maximum": 9, "default": 3},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def test_extra_keys_are_allowed_where_they_are_ignored() -> None:
    class Open(Event, extra="ignore"):
        pass

    assert "additionalProperties" not in Open.json_schema()
    assert "description" not in Open.json_schema()


def test_every_type_has_its_schema() -> None:
    expected: list[tuple[Any, Any]] = [
        (str, {"type": "string"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Decimal, {"type": "string", "format": "decimal"}),
        (datetime, {"type": "string", "format": "date-time"}),
        (date, {"type": "string", "format": "date"}),
        (time, {"type": "string", "format": "time"}),
        (timedelta, {"type": "string", "format": "duration"}),
        (UUID, {"type": "string", "format": "uuid"}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Any, {}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (
            dict[UUID, int],
            {
                "type": "object",
                "propertyNames": {"type": "string", "format": "uuid"},
                "additionalProperties": {"type": "integer"},
            },
        ),
        (
            tuple[int, str],
            {
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
            },
        ),
        (Annotated[str, Doc("the name")], {"type": "string", "description": "the name"}),
        (Annotated[Decimal, Ge(1)], {"type": "string", "format": "decimal"}),
    ]

    for annotation, schema in expected:
        assert schema_of(annotation) == (schema, None)


def test_nested_classes_are_defined_once_and_referred_to() -> None:
    schema, definitions = schema_of(list[Point | Colour | Address])

    assert schema == {
        "type": "array",
        "items": {
            "anyOf": [
                {"$ref": "#/$defs/Point"},
                {"$ref": "#/$defs/Colour"},
                {"$ref": "#/$defs/Address"},
            ]
        },
    }
    assert definitions == {
        "Point": {
            "type": "object",
            "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
            "required": ["x"],
            "additionalProperties": False,
        },
        "Colour": {"enum": ["red", "blue"]},
        "Address": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    }


def test_recursive_classes_refer_to_themselves() -> None:
    schema, definitions = schema_of(Tree)

    assert schema == {"$ref": "#/$defs/Tree"}
    assert definitions["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}


def test_recursive_aliases_refer_to_themselves() -> None:
    schema, definitions = schema_of(Json)

    assert schema == {"$ref": "#/$defs/Json"}
    assert definitions["Json"]["anyOf"][1] == {"type": "array", "items": {"$ref": "#/$defs/Json"}}


Json = TypeAliasType("Json", "int | list[Json]")


def test_two_classes_of_one_name_are_told_apart() -> None:
    one, other = (make_dataclass("Inner", [(name, int)]) for name in ("n", "m"))

    schema, definitions = schema_of(tuple[one, other])  # type: ignore[valid-type]

    assert schema["prefixItems"] == [{"$ref": "#/$defs/Inner"}, {"$ref": "#/$defs/Inner2"}]
    assert list(definitions["Inner2"]["properties"]) == ["m"]

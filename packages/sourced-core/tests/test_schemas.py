"""The schemas of other libraries: their types as fields, under the promises of the codec."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from sourced import Command, Event, Message
from sourced._messages import decode_new, encode
from sourced._schema import PayloadShape, Schema
from sourced.errors import DefinitionError, PayloadError
from sourced.schemas.msgspec import MsgspecSchema
from sourced.schemas.pydantic import PydanticSchema
from sourced.types import LaxInt, MinLen


class Line(pydantic.BaseModel):
    sku: str
    count: int = pydantic.Field(default=1, gt=0)
    weight: float = 0.0


class Order(Command, schema=PydanticSchema, type="test_schemas.order"):
    email: Annotated[str, MinLen(3)]
    lines: list[Line]
    link: pydantic.HttpUrl | None = None
    secret: bytes = b"\xff"
    priority: LaxInt = 3
    at: datetime = datetime(2024, 1, 1, tzinfo=UTC)


class Struct(msgspec.Struct):
    sku: str
    count: Annotated[int, msgspec.Meta(gt=0)] = 1
    weight: float = 0.0


class StructOrder(Command, schema=MsgspecSchema, type="test_schemas.struct_order"):
    email: Annotated[str, MinLen(3)]
    lines: list[Struct]
    secret: bytes = b"\xff"
    priority: LaxInt = 3
    at: datetime = datetime(2024, 1, 1, tzinfo=UTC)


CLASSES: Any = pytest.mark.parametrize(("order", "line"), [(Order, Line), (StructOrder, Struct)])


@CLASSES
class TestBothLibraries:
    def test_input_is_parsed_into_the_librarys_types(self, order: Any, line: Any) -> None:
        message = order.parse({"email": "a@b", "lines": [{"sku": "x"}], "priority": "7"})

        assert message == order(email="a@b", lines=[line(sku="x")], priority=7)
        assert order.parse({"email": "a@b", "lines": [line(sku="x")]}).lines == [line(sku="x")]

    def test_a_message_is_read_back_equal(self, order: Any, line: Any) -> None:
        message = order(email="é@b", lines=[line(sku="x", count=2, weight=0.5)])

        record = encode(message, "s")

        assert decode_new(record) == message
        assert '"lines":[{"sku":"x","count":2,"weight":0.5}]' in record.payload

    def test_all_problems_are_told_by_path(self, order: Any, line: Any) -> None:
        assert line
        draft = order.draft(
            {"email": "a", "lines": [{"sku": "x"}, {"count": 0}], "priority": "x", "colour": 1}
        )

        paths = set(draft.errors)
        assert paths >= {"email", "priority", "colour"}
        assert any(path.startswith("lines[1]") for path in paths)

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"sku": "a\0"}, "lines[0].sku"),
            ({"sku": "\ud800"}, "lines[0].sku"),
            ({"weight": float("nan")}, "lines[0].weight"),
            ({"weight": float("inf")}, "lines[0].weight"),
        ],
    )
    def test_what_no_store_holds_is_refused_before_storing(
        self, order: Any, line: Any, changes: dict[str, Any], path: str
    ) -> None:
        values = {"sku": "x", **changes}
        made = line.model_construct(**values) if line is Line else line(**values)

        with pytest.raises(PayloadError) as caught:
            encode(order(email="a@b", lines=[made]), "s")

        assert list(caught.value.problems) in ([path], ["lines"])

    def test_a_value_of_another_class_is_refused_before_storing(
        self, order: Any, line: Any
    ) -> None:
        assert line
        for lines in ([{"sku": "x"}], "x", [3]):
            with pytest.raises(PayloadError, match="lines"):
                encode(order(email="a@b", lines=lines), "s")

    def test_reading_ignores_unknown_keys_and_fills_in_defaults(
        self, order: Any, line: Any
    ) -> None:
        record = encode(order(email="a@b", lines=[]), "s")
        payload = '{"email": "a@b", "lines": [{"sku": "x", "old": 1}], "gone": 2}'
        object.__setattr__(record, "payload", payload)

        assert decode_new(record) == order(email="a@b", lines=[line(sku="x")])

    def test_the_json_schema_is_the_librarys(self, order: Any, line: Any) -> None:
        schema = order.json_schema()

        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["properties"]["lines"]["items"] == {"$ref": f"#/$defs/{line.__name__}"}
        assert schema["$defs"][line.__name__]["properties"]["count"]["exclusiveMinimum"] == 0
        assert schema["properties"]["email"] == {"type": "string", "minLength": 3}
        assert schema["properties"]["priority"]["default"] == 3
        assert schema["required"] == ["email", "lines"]
        assert schema["additionalProperties"] is False


class TestPydantic:
    def test_models_with_aliases_and_unions_are_read_back(self) -> None:
        class Cat(pydantic.BaseModel):
            kind: str = pydantic.Field(alias="petType")
            lives: int = 9

        class Adopted(Event, schema=PydanticSchema):
            pet: Cat | int
            tags: set[str]

        message = Adopted.parse({"pet": {"petType": "cat"}, "tags": ["a"]})

        assert decode_new(encode(message, "s")) == message

    def test_a_type_that_pydantic_cannot_handle_is_refused_at_definition(self) -> None:
        with pytest.raises(DefinitionError, match=r"Bad\.value"):

            class Bad(Event, schema=PydanticSchema):
                value: Struct

    def test_a_pydantic_field_as_default_is_refused_with_the_remedy(self) -> None:
        with pytest.raises(DefinitionError, match=r"use Annotated\[…, Field\(\.\.\.\)\]"):

            class Bad(Event, schema=PydanticSchema):
                value: int = pydantic.Field(gt=1)

    def test_a_model_defined_in_a_function_is_found(self) -> None:
        class Local(pydantic.BaseModel):
            n: int

        class Held(Event, schema=PydanticSchema):
            local: Local

        assert Held.parse({"local": {"n": "1"}}).local == Local(n=1)

    def test_a_model_that_drops_what_it_holds_is_refused(self) -> None:
        class Forgetful(pydantic.BaseModel):
            kept: int
            dropped: int = pydantic.Field(default=0, exclude=True)

        class Held(Event, schema=PydanticSchema):
            value: Forgetful

        assert encode(Held(value=Forgetful(kept=1)), "s").payload == '{"value":{"kept":1}}'
        with pytest.raises(PayloadError, match="would not be read back equal"):
            encode(Held(value=Forgetful(kept=1, dropped=2)), "s")


class TestMsgspec:
    def test_tagged_structs_are_told_apart(self) -> None:
        class Held(Event, schema=MsgspecSchema):
            values: list[Get | Put]

        message = Held(values=[Put("a", 1), Get("a")])

        assert decode_new(encode(message, "s")) == message

    def test_a_type_that_msgspec_cannot_handle_is_refused_at_definition(self) -> None:
        with pytest.raises(DefinitionError, match=r"Bad\.value: msgspec cannot handle"):

            class Bad(Event, schema=MsgspecSchema):
                value: Line


class Get(msgspec.Struct, tag=True):
    key: str


class Put(msgspec.Struct, tag=True):
    key: str
    value: int


@pytest.mark.parametrize("annotation", [Line, Struct])
def test_the_builtin_codec_names_the_schema_that_holds_a_librarys_type(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match=r"schema=(Pydantic|Msgspec)Schema"):

        class Bad(Event):
            value: annotation


def test_a_schema_of_ones_own_needs_only_the_port() -> None:
    class Reversed:
        def __init__(self, shape: PayloadShape) -> None:
            self.names = [field.name for field in shape.fields]

        def parse(self, values: Any) -> dict[str, Any]:
            return {name: values[name] for name in self.names}

        def encode(self, values: Any) -> str:
            return "|".join(str(values[name])[::-1] for name in self.names)

        def decode(self, payload: str) -> dict[str, Any]:
            return dict(zip(self.names, (part[::-1] for part in payload.split("|")), strict=True))

        def json_schema(self) -> dict[str, Any]:
            return {}

    def check(schema: type[Schema]) -> None:
        assert schema

    check(Reversed)

    class Said(Event, schema=Reversed):
        words: str

    record = encode(Said(words="abc"), "s")

    assert record.payload == "cba"
    assert decode_new(record) == Said(words="abc")


@pytest.mark.parametrize("module", ["sourced._messages", "sourced.types", "sourced._schema"])
def test_nothing_imports_those_libraries_unless_asked(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'pydantic', 'msgspec', 'annotated_types', 'difflib'}))"
    )

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == "[]"


def test_message_types_of_subclasses_keep_the_parents_schema() -> None:
    class Express(Order):
        fast: bool = True

    message: Message = Express.parse({"email": "a@b", "lines": [{"sku": "x"}], "fast": "yes"})

    assert message.payload["fast"] is True

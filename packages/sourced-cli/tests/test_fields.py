"""Payloads from a command line: what a text means is what the schema says it may mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest

from sourced import Command
from sourced_cli._fields import assemble, field_rows, literal


class Colour(Enum):
    RED = "red"
    ONE = 1


@dataclass
class Address:
    city: str
    number: int | None = None


class Everything(Command, type="fields.everything"):
    text: str = ""
    whole: int = 0
    ratio: float = 0.0
    price: Decimal = Decimal(0)
    flag: bool = False
    maybe: str | None = None
    count: int | None = None
    either: int | str = 0
    colour: Colour = Colour.RED
    word: Literal["a", "b"] = "a"
    tags: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    nested: list[list[int]] = field(default_factory=list)
    by_name: dict[str, int] = field(default_factory=dict)
    address: Address | None = None


SCHEMA = Everything.json_schema()


def read(*pairs: tuple[str, str], base: dict[str, Any] | None = None) -> dict[str, Any]:
    values, problems = assemble(SCHEMA, pairs, base or {})
    assert problems == []
    return values


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("text", "2", "2"),
        ("text", "true", "true"),
        ("text", "null", "null"),
        ("text", '"quoted"', '"quoted"'),
        ("text", "a=b", "a=b"),
        ("text", "", ""),
        ("whole", "2", 2),
        ("whole", "two", "two"),
        ("whole", "2.5", "2.5"),
        ("ratio", "2.5", 2.5),
        ("ratio", "2", 2),
        ("ratio", "NaN", "NaN"),
        ("price", "12.50", "12.50"),
        ("flag", "true", True),
        ("flag", "False", False),
        ("flag", "1", "1"),
        ("maybe", "null", "null"),
        ("count", "null", None),
        ("count", "3", 3),
        ("either", "3", 3),
        ("either", "x", "x"),
        ("either", '{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ("colour", "red", "red"),
        ("colour", "1", 1),
        ("word", "a", "a"),
        ("tags", '["a", "b"]', ["a", "b"]),
        ("tags", "a", ["a"]),
        ("numbers", "[1, 2]", [1, 2]),
        ("numbers", "1", [1]),
        ("by_name", '{"a": 1}', {"a": 1}),
        ("by_name.a", "1", {"a": 1}),
        ("address.city", "12", {"city": "12"}),
        ("address.number", "12", {"number": 12}),
        ("unknown", "12", 12),
    ],
)
def test_a_text_means_what_the_field_takes(name: str, text: str, value: object) -> None:
    root = name.split(".", maxsplit=1)[0]

    assert read((name, text)) == {root: value}


def test_a_list_comes_item_by_item_and_replaces_the_one_before() -> None:
    values = read(("tags", "a"), ("tags", "b"), ("numbers", "1"), base={"tags": ["old"]})

    assert values == {"tags": ["a", "b"], "numbers": [1]}


def test_a_path_through_what_is_no_object_is_a_problem() -> None:
    _, problems = assemble(SCHEMA, [("text.deep", "1")], {"text": "flat"})

    assert problems == ['--field text.deep: text is no object, but "flat"']


def test_assembling_leaves_what_it_was_given_alone() -> None:
    base: dict[str, Any] = {"address": {"city": "Rome"}}

    read(("address.city", "Oslo"), base=base)

    assert base == {"address": {"city": "Rome"}}


def test_what_is_assembled_parses() -> None:
    values = read(
        ("whole", "2"), ("price", "1.10"), ("colour", "1"), ("address.city", "Rome"), ("tags", "x")
    )

    assert Everything.parse(values) == Everything(
        whole=2, price=Decimal("1.10"), colour=Colour.ONE, address=Address("Rome"), tags=["x"]
    )


def test_fields_are_described_in_words() -> None:
    rows = {name: (kind, need) for name, kind, need, _ in field_rows(SCHEMA)}

    assert rows["maybe"] == ("string | null", "default null")
    assert rows["numbers"][0] == "list of integer"
    assert rows["colour"][0] == '"red" | 1'
    assert rows["price"][0] == "decimal"


@pytest.mark.parametrize(
    ("text", "value"), [("7", 7), ("ana", "ana"), ("null", None), ("NaN", "NaN")]
)
def test_without_a_schema_json_is_json_and_all_else_text(text: str, value: object) -> None:
    assert literal(text) == value

"""The built-in codec: what it holds, what it reads, and what it refuses, with the path."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum, auto
from types import new_class
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import typing_extensions

from sourced import Event, Message
from sourced._json_text import MAX_DEPTH
from sourced._messages import decode_new, encode
from sourced.errors import DefinitionError, PayloadError
from sourced_testing._field_types import Address, Colour, Point, Tree

T = TypeVar("T")
Sku = NewType("Sku", str)
PLUS_TWO = timezone(timedelta(hours=2))


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Rights(Flag):
    READ = auto()
    WRITE = auto()


@dataclass(frozen=True)
class Item:
    sku: str
    count: int = 1


class Partial(TypedDict, total=False):
    city: Required[str]
    zip: str


class ExtensionAddress(typing_extensions.TypedDict):
    city: str
    zip: NotRequired[str]


def event_of(annotation: Any, **options: Any) -> Any:
    """Define an event with one field, `value`."""
    namespace = {"__annotations__": {"value": annotation}, "__module__": __name__}
    return new_class("Holder", (Event,), options, lambda body: body.update(namespace))


def payload_of(message: Message) -> Any:
    return json.loads(encode(message, "s").payload)["value"]


def round_trip(annotation: Any, value: Any) -> Any:
    cls = event_of(annotation)
    message = cls(value=value)
    found = decode_new(encode(message, "s"))
    assert found == message
    return found.payload["value"]


def problems_of_encoding(annotation: Any, value: Any) -> dict[str, list[str]]:
    message = event_of(annotation)(value=value)
    with pytest.raises(PayloadError) as caught:
        encode(message, "s")
    return caught.value.problems


def problems_of_parsing(annotation: Any, value: Any) -> dict[str, list[str]]:
    with pytest.raises(PayloadError) as caught:
        event_of(annotation).parse({"value": value})
    return caught.value.problems


def parsed(annotation: Any, value: Any) -> Any:
    return event_of(annotation).parse({"value": value}).payload["value"]


def names_of(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return names for rows whose values are no good names, such as a lone surrogate."""
    return [f"{getattr(row[0], '__name__', 'union')}-{n}" for n, row in enumerate(rows)]


HELD: list[tuple[Any, Any, Any]] = [
    (str, "text", "text"),
    (str, "", ""),
    (str, "é 漢 🎉 \\u0000 \u2028 \x01", "é 漢 🎉 \\u0000 \u2028 \x01"),
    (int, 0, 0),
    (int, -(2**63) - 1, -(2**63) - 1),
    (int, 10**400, 10**400),
    (float, 0.1, 0.1),
    (float, 5e-324, 5e-324),
    (float, 1e308, 1e308),
    (float, 3, 3.0),
    (bool, True, True),
    (None, None, None),
    (Decimal, Decimal("1.10"), "1.10"),
    (Decimal, Decimal("-1E+500"), "-1E+500"),
    (Decimal, Decimal("0." + "1" * 60), "0." + "1" * 60),
    (datetime, datetime(2024, 2, 29, 1, 2, 3, 456789, UTC), "2024-02-29T01:02:03.456789Z"),
    (datetime, datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    (datetime, datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59.999999Z"),
    (datetime, datetime(2024, 1, 1, 1, tzinfo=PLUS_TWO), "2023-12-31T23:00:00Z"),
    (date, date.min, "0001-01-01"),
    (date, date.max, "9999-12-31"),
    (time, time(23, 59, 59, 1), "23:59:59.000001"),
    (time, time(1, 2, tzinfo=PLUS_TWO), "01:02:00+02:00"),
    (timedelta, timedelta(), "P0DT0S"),
    (timedelta, timedelta(days=1, seconds=2, microseconds=30), "P1DT2.00003S"),
    (timedelta, timedelta(microseconds=-1), "-P0DT0.000001S"),
    (timedelta, timedelta.min, "-P999999999DT0S"),
    (timedelta, timedelta.max, "P999999999DT86399.999999S"),
    (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (bytes, b"", ""),
    (bytes, bytes(range(256)), None),
    (Colour, Colour.RED, "red"),
    (Size, Size.LARGE, 2),
    (Rights, Rights.READ | Rights.WRITE, 3),
    (Literal["a", 1, True] | None, True, True),
    (Literal["a", 1, True] | None, 1, 1),
    (Literal["a", 1, True] | None, None, None),
    (Literal[Colour.RED], Colour.RED, "red"),
    (list[int], [], []),
    (list[list[str]], [["a"], []], [["a"], []]),
    (tuple[int, ...], (1, 2), [1, 2]),
    (tuple[int, str], (1, "a"), [1, "a"]),
    (tuple[()], (), []),
    (set[int], {3, 1, 2}, [1, 2, 3]),
    (frozenset[UUID], frozenset({UUID(int=2), UUID(int=1)}), None),
    (set[Item], {Item("b"), Item("a")}, [{"sku": "a", "count": 1}, {"sku": "b", "count": 1}]),
    (set[int | str], {1, "a"}, None),
    (dict[str, int], {"a": 1, "": 2}, {"a": 1, "": 2}),
    (dict[UUID, int], {UUID(int=1): 1}, {"00000000-0000-0000-0000-000000000001": 1}),
    (dict[Colour, date], {Colour.RED: date.min}, {"red": "0001-01-01"}),
    (Item, Item("a", 2), {"sku": "a", "count": 2}),
    (Tree, Tree("a", [Tree("b")]), None),
    (Point, Point(1, 2), {"x": 1, "y": 2}),
    (Address, {"city": "Rome"}, {"city": "Rome"}),
    (Address, {"city": "Rome", "zip": "1"}, {"city": "Rome", "zip": "1"}),
    (Partial, {"city": "Rome"}, {"city": "Rome"}),
    (ExtensionAddress, {"city": "Rome"}, {"city": "Rome"}),
    (Sku, Sku("a"), "a"),
    (Annotated[int, "for readers"], 1, 1),
    (Any, {"a": [1, 2.5, None, True, "x", {}]}, {"a": [1, 2.5, None, True, "x", {}]}),
    (dict, {"a": 1}, {"a": 1}),
    (list, [1, "a"], [1, "a"]),
    (int | None, None, None),
    (int | None, 3, 3),
    (Optional[Item], Item("a"), {"sku": "a", "count": 1}),  # noqa: UP045
    (Union[int, str], "1", "1"),  # noqa: UP007
    (int | float, 1, 1),
    (int | float, 1.5, 1.5),
    (bool | int, True, True),
    (bool | int, 1, 1),
    (str | UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (str | UUID, "plain", "plain"),
    (str | datetime | date, date.min, "0001-01-01"),
    (str | datetime | date, datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    (str | datetime | date, "soon", "soon"),
    (list[int] | dict[str, int | None], {"a": None}, {"a": None}),
    (Item | Point | Colour, Point(1), {"x": 1, "y": 0}),
    (list[Item | list[Item | None]], [Item("a"), [None, Item("b")]], None),
]


class TestRoundTrips:
    @pytest.mark.parametrize(("annotation", "value", "written"), HELD, ids=names_of(HELD))
    def test_a_value_is_written_as_json_and_read_back_equal(
        self, annotation: Any, value: Any, written: Any
    ) -> None:
        found = round_trip(annotation, value)

        assert type(found) is type(value) or (annotation is float and type(found) is float)
        if written is not None:
            assert payload_of(event_of(annotation)(value=value)) == written

    @pytest.mark.parametrize(("annotation", "value", "written"), HELD, ids=names_of(HELD))
    def test_what_is_written_and_the_value_itself_are_both_parsed(
        self, annotation: Any, value: Any, written: Any
    ) -> None:
        assert parsed(annotation, value) == value
        if written is not None:
            assert parsed(annotation, written) == value

    def test_an_empty_payload_is_an_empty_object(self) -> None:
        class Nothing(Event):
            pass

        assert encode(Nothing(), "s").payload == "{}"
        assert decode_new(encode(Nothing(), "s")) == Nothing()

    def test_a_datetime_comes_back_in_utc(self) -> None:
        found = round_trip(datetime, datetime(2024, 7, 1, 12, tzinfo=ZoneInfo("Europe/Rome")))

        assert found.tzinfo is UTC
        assert parsed(datetime, "2024-07-01T12:00:00+02:00").tzinfo is UTC

    def test_objects_are_compact_and_in_the_order_of_the_fields(self) -> None:
        class Wide(Event):
            b: list[int]
            a: dict[str, str]

        record = encode(Wide(a={"é": "ü"}, b=[1, 2]), "s")

        assert record.payload == '{"b":[1,2],"a":{"é":"ü"}}'

    def test_a_set_is_written_in_a_fixed_order(self) -> None:
        names = {f"name-{number}" for number in range(50)}

        assert payload_of(event_of(set[str])(value=names)) == sorted(names)

    def test_records_nest_in_themselves(self) -> None:
        tree = Tree("root", [Tree("a", [Tree("b")]), Tree("c")])

        assert round_trip(Tree, tree) == tree
        assert problems_of_parsing(
            Tree, {"name": "a", "children": [{"name": "b", "children": [{}]}]}
        ) == {"value.children[0].children[0].name": ["is missing"]}

    def test_subclasses_that_equal_their_plain_value_are_stored_as_such(self) -> None:
        class Word(StrEnum):
            A = "a"

        class Text(str):
            __slots__ = ()

        assert round_trip(str, Text("x")) == "x"
        assert round_trip(str, Word.A) == "a"
        assert round_trip(int, Size.SMALL) == 1
        assert round_trip(dict[str, int], Counter("aab")) == {"a": 2, "b": 1}
        assert round_trip(tuple[int, ...], Point(1, 2)) == (1, 2)
        assert round_trip(date, type("Day", (date,), {})(2024, 1, 1)) == date(2024, 1, 1)

    def test_keys_that_would_be_written_alike_are_refused(self) -> None:
        rome = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Rome"))
        utc = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
        assert rome != utc  # Python's rule for the hour in which clocks are set back

        problems = problems_of_encoding(dict[datetime, int], {rome: 1, utc: 2})

        assert problems == {"value": ["has two keys that would be written alike"]}

    def test_subclasses_that_do_not_are_refused(self) -> None:
        class Never(list[int]):
            def __eq__(self, other: object) -> bool:
                return self is other

            __hash__ = None

        class Later(datetime):
            def __eq__(self, other: object) -> bool:
                return self is other

            __hash__ = None  # type: ignore[assignment]

        assert problems_of_encoding(list[int], Never())
        assert problems_of_encoding(datetime, Later(2024, 1, 1, tzinfo=UTC))

    def test_a_record_reads_old_shapes(self) -> None:
        cls = event_of(Item)
        old = encode(cls(value=Item("a", 2)), "s")
        object.__setattr__(old, "payload", '{"value": {"sku": "a", "gone": 1}, "also": 2}')

        assert decode_new(old).payload["value"] == Item("a", 1)


REFUSED: list[tuple[Any, Any, str]] = [
    (str, "a\0b", "value"),
    (str, "\ud800", "value"),
    (str, 3, "value"),
    (str, None, "value"),
    (int, True, "value"),
    (int, "1", "value"),
    (int, 1.0, "value"),
    (int, 10**5000, "value"),
    (float, float("nan"), "value"),
    (float, float("inf"), "value"),
    (float, 10**400, "value"),
    (float, 2**53 + 1, "value"),
    (float, True, "value"),
    (bool, 1, "value"),
    (None, 0, "value"),
    (Decimal, Decimal("NaN"), "value"),
    (Decimal, Decimal("sNaN"), "value"),
    (Decimal, Decimal("-Infinity"), "value"),
    (Decimal, 1, "value"),
    (datetime, datetime(2024, 1, 1), "value"),  # noqa: DTZ001
    (datetime, datetime(1, 1, 1, tzinfo=PLUS_TWO), "value"),
    (datetime, datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))), "value"),
    (datetime, date(2024, 1, 1), "value"),
    (date, datetime(2024, 1, 1, tzinfo=UTC), "value"),
    (time, time(1, tzinfo=ZoneInfo("Europe/Rome")), "value"),
    (timedelta, 3, "value"),
    (UUID, "00000000-0000-0000-0000-000000000001", "value"),
    (bytes, bytearray(b"a"), "value"),
    (Colour, "red", "value"),
    (Literal["a", 1], True, "value"),
    (Literal["a", 1], 1.0, "value"),
    (list[int], (1,), "value"),
    (list[str], ["a", "b\0"], "value[1]"),
    (list[float], [0.5, float("nan")], "value[1]"),
    (tuple[int, ...], [1], "value"),
    (tuple[int, str], (1,), "value"),
    (tuple[int, str], (1, 2), "value[1]"),
    (set[str], {"\0"}, "value[0]"),
    (dict[str, str], {"a": "\0"}, "value.a"),
    (dict[str, int], {"a\0": 1}, r"value['a\x00']"),
    (dict[str, int], {"\udfff": 1}, r"value['\udfff']"),
    (dict[str, int], {"one two": "x"}, "value['one two']"),
    (dict[str, int], {3: 1}, "value[3]"),
    (Item, {"sku": "a"}, "value"),
    (Item, Item("a\0"), "value.sku"),
    (Tree, Tree("a", [Tree("b"), Tree("\ud800")]), "value.children[1].name"),
    (Point, (1, 2), "value"),
    (Address, {}, "value.city"),
    (Address, {"city": "a", "street": "b"}, "value.street"),
    (Partial, {}, "value.city"),
    (Any, {"a": (1,)}, "value.a"),
    (Any, {"a": [UUID(int=1)]}, "value.a[0]"),
    (Any, [float("-inf")], "value[0]"),
    (Any, {1: 2}, "value"),
    (int | None, "x", "value"),
    (Item | None, Item("\0"), "value.sku"),
    (str | UUID, "00000000-0000-0000-0000-000000000001", "value"),
    (list[int] | tuple[int, ...], (1,), "value"),
]


class TestRefusalsBeforeStoring:
    @pytest.mark.parametrize(("annotation", "value", "path"), REFUSED, ids=names_of(REFUSED))
    def test_a_value_that_would_not_be_read_back_equal_is_refused_with_its_path(
        self, annotation: Any, value: Any, path: str
    ) -> None:
        assert list(problems_of_encoding(annotation, value)) == [path]

    def test_all_problems_are_told_at_once(self) -> None:
        class Wide(Event):
            a: str
            b: list[int]
            c: Item

        message = Wide(a="\0", b=[1, "x", "y"], c=Item(sku="\0", count="n"))  # type: ignore[list-item, arg-type]

        with pytest.raises(PayloadError) as caught:
            encode(message, "s")

        assert set(caught.value.problems) == {"a", "b[1]", "b[2]", "c.sku", "c.count"}

    def test_what_was_refused_is_shown_shortly_and_safely(self) -> None:
        class Awkward:
            def __repr__(self) -> str:
                raise RuntimeError

        assert problems_of_encoding(int, "x" * 1000)["value"] == [
            f"expected an integer, got '{'x' * 60}'… (1000 long)"
        ]
        assert problems_of_encoding(str, 10**5000)["value"] == [
            "expected text, got a very large integer"
        ]
        assert problems_of_encoding(int, Awkward())["value"] == [
            "expected an integer, got an Awkward"
        ]
        assert problems_of_encoding(int, [1] * 99)["value"] == [
            "expected an integer, got a list of 99"
        ]

    def test_classes_are_spoken_of_with_their_article(self) -> None:
        @dataclass
        class UserId:
            n: int

        class Origin(Enum):
            HERE = 1

        class Odd(date):
            def __eq__(self, other: object) -> bool:
                return False

            __hash__ = date.__hash__

        assert problems_of_encoding(Item, 1)["value"] == ["expected an Item, got 1"]
        assert problems_of_encoding(UserId, 1)["value"] == ["expected a UserId, got 1"]
        assert problems_of_encoding(Origin, 1)["value"] == ["expected an Origin, got 1"]
        assert problems_of_encoding(date, Odd(2024, 1, 1))["value"] == [
            "expected exactly a date in ISO 8601, got an Odd"
        ]

    def test_input_that_is_nested_too_deeply_is_refused(self) -> None:
        tree: dict[str, Any] = {"name": "leaf"}
        for _ in range(MAX_DEPTH):
            tree = {"name": "", "children": [tree]}

        (texts,) = problems_of_parsing(Tree, tree).values()

        assert "deep" in texts[0]

    @pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5_000, 100_000])
    def test_what_is_nested_too_deeply_is_refused(self, depth: int) -> None:
        value: list[Any] = []
        for _ in range(depth):
            value = [value]

        (texts,) = problems_of_encoding(Any, value).values()

        assert "deep" in texts[0]

    def test_a_circle_is_refused(self) -> None:
        value: list[Any] = []
        value.append(value)
        tree = Tree("a")
        tree.children.append(tree)

        for annotation, circle in [(Any, value), (Tree, tree)]:
            (texts,) = problems_of_encoding(annotation, circle).values()
            assert "deep" in texts[0]

    def test_nesting_up_to_the_limit_is_read_back(self) -> None:
        value: list[Any] = []
        for _ in range(MAX_DEPTH - 2):
            value = [value]

        assert round_trip(Any, value) == value


MISREAD: list[tuple[Any, Any]] = [
    (str, "a\0"),
    (str, "\ud800"),
    (int, 10**5000),
    (Any, ["\0"]),
    (Any, float("nan")),
    (Any, (1, 2)),
    (dict[str, int], {"\0": 1}),
    (str, 1),
    (int, "1"),
    (int, True),
    (int, 1.0),
    (int, None),
    (float, "1.5"),
    (float, True),
    (bool, "true"),
    (bool, 1),
    (Decimal, 1.5),
    (Decimal, "1_000"),
    (Decimal, " 1"),
    (Decimal, "NaN"),
    (Decimal, "one"),
    (datetime, "2024-01-01T00:00:00"),
    (datetime, "0001-01-01T00:00:00+02:00"),
    (datetime, "yesterday"),
    (datetime, 1_700_000_000),
    (date, "2024-02-30"),
    (time, "25:00"),
    (timedelta, "P"),
    (timedelta, "PT"),
    (timedelta, "1 day"),
    (timedelta, "P999999999999D"),
    (UUID, "abc"),
    (UUID, "{00000000-0000-0000-0000-000000000001}"),
    (UUID, "00000000000000000000000000000001"),
    (UUID, "0000000-00000-0000-0000-000000000001"),
    (date, "20240101"),
    (time, "12"),
    (datetime, "20240101T000000Z"),
    (bytes, "a"),
    (bytes, "é"),
    (Colour, "green"),
    (Colour, "RED"),
    (Size, True),
    (Size, "1"),
    (Literal["a", 1], "b"),
    (Literal["a", 1], True),
    (Literal["a", 1], []),
    (list[int], "12"),
    (list[int], {"a": 1}),
    (tuple[int, int], [1]),
    (set[int], 3),
    (dict[str, int], []),
    (dict[UUID, int], {"x": 1}),
    (Item, "a"),
    (Item, {"sku": "a", "colour": "red"}),
    (Address, {"city": "a", "colour": "red"}),
    (Address, []),
    (int | None, "x"),
    (Item | Point, {"z": 1}),
]


class TestParsing:
    @pytest.mark.parametrize(("annotation", "value"), MISREAD, ids=names_of(MISREAD))
    def test_untrusted_input_of_another_shape_is_refused(self, annotation: Any, value: Any) -> None:
        assert problems_of_parsing(annotation, value)

    @pytest.mark.parametrize(
        ("text", "span"),
        [
            ("PT1.5S", timedelta(seconds=1.5)),
            ("P1W", timedelta(weeks=1)),
            ("-P1DT1H1M", -timedelta(days=1, hours=1, minutes=1)),
            ("+PT0,000001S", timedelta(microseconds=1)),
        ],
    )
    def test_durations_are_read_in_iso_8601(self, text: str, span: timedelta) -> None:
        assert parsed(timedelta, text) == span

    def test_a_decimal_may_be_an_integer(self) -> None:
        assert parsed(Decimal, 12) == Decimal(12)

    def test_every_item_of_a_list_is_told_about(self) -> None:
        assert problems_of_parsing(list[int], [1, "a", 2, None]) == {
            "value[1]": ["expected an integer, got 'a'"],
            "value[3]": ["expected an integer, got None"],
        }

    def test_keys_and_values_of_a_dict_are_told_about(self) -> None:
        problems = problems_of_parsing(dict[UUID, int], {"x": "y"})

        assert problems == {"value.x": ["expected a UUID, got 'x'", "expected an integer, got 'y'"]}

    def test_nested_objects_refuse_or_ignore_extra_keys_as_the_message_does(self) -> None:
        open_event = event_of(Item, extra="ignore")
        closed_event = event_of(Item)
        data = {"value": {"sku": "a", "colour": "red"}}

        assert open_event.parse(data).payload["value"] == Item("a")
        with pytest.raises(PayloadError, match=r"value\.colour: is not a field"):
            closed_event.parse(data)

    def test_a_given_record_is_checked_like_an_object(self) -> None:
        wrong = Item(sku="a", count="x")  # type: ignore[arg-type]

        assert list(problems_of_parsing(Item, wrong)) == ["value.count"]

    def test_a_record_that_checks_itself_refuses_with_its_path(self) -> None:
        @dataclass
        class Even:
            n: int

            def __post_init__(self) -> None:
                if self.n % 2:
                    raise ValueError("n is odd")

        assert parsed(Even, {"n": 2}) == Even(2)
        assert problems_of_parsing(Even, {"n": 1}) == {"value": ["n is odd"]}

    def test_moments_are_normalised_to_utc_also_inside_of_others(self) -> None:
        moment = datetime(2024, 1, 1, 12, tzinfo=PLUS_TWO)

        assert parsed(list[datetime], [moment])[0].tzinfo is UTC

    def test_an_enum_may_know_former_values(self) -> None:
        class Renamed(Enum):
            NEW = "new"

            @classmethod
            def _missing_(cls, value: object) -> Renamed | None:
                return cls.NEW if value == "old" else None

        assert parsed(Renamed, "old") is Renamed.NEW

    @pytest.mark.parametrize("kind", ["lists", "dicts", "pair"])
    def test_what_lies_deep_inside_is_read_once_though_it_is_wrong(self, kind: str) -> None:
        reads = []

        def counted(text: str) -> None:
            reads.append(text)
            raise ValueError("is never right")

        @dataclass
        class Deep:
            name: Annotated[str, counted] | None = None
            lists: list[Deep] | None = None
            dicts: dict[str, Deep] | None = None
            pair: tuple[Deep, int] | None = None

        class Dug(Event):
            deep: Deep

        deep: dict[str, Any] = {"name": "x"}
        for _ in range(8):
            deep = {kind: {"lists": [deep], "dicts": {"a": deep}, "pair": [deep, 1]}[kind]}

        with pytest.raises(PayloadError, match="is never right"):
            Dug.parse({"deep": deep})

        assert reads == ["x"]

    def test_what_lies_deep_in_plain_json_is_looked_at_once_though_it_is_wrong(self) -> None:
        looks = []

        class Strange:
            def __repr__(self) -> str:
                looks.append(self)
                return "Strange"

        value: Any = Strange()
        for _ in range(4):
            value = [{"a": value}]

        assert "got Strange" in str(problems_of_encoding(Any, value))
        assert len(looks) == 1


class TestUnions:
    @pytest.mark.parametrize(
        ("annotation", "given", "expected"),
        [
            (bool | int, True, True),
            (int | str, "1", "1"),
            (float | int, 1, 1),
            (UUID | str, str(UUID(int=1)), UUID(int=1)),
            (str | UUID, str(UUID(int=1)), UUID(int=1)),
            (str | UUID, "d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e"),
            (str | time, "12", "12"),
            (str | date, "20240101", "20240101"),
            (str | datetime, "2024-01-01T12:00+00:00", datetime(2024, 1, 1, 12, tzinfo=UTC)),
            (list[int] | list[str], ["a"], ["a"]),
            (date | None, "2024-01-01", date(2024, 1, 1)),
            (Colour | Size, 2, Size.LARGE),
        ],
    )
    def test_exact_types_come_first_then_the_order(
        self, annotation: Any, given: Any, expected: Any
    ) -> None:
        found = parsed(annotation, given)

        assert found == expected
        assert type(found) is type(expected)

    def test_an_object_belongs_to_the_record_that_knows_its_keys(self) -> None:
        @dataclass
        class Cash:
            note: str = ""

        @dataclass
        class Card:
            number: str
            note: str = ""

        annotation = Cash | Card
        for value in (Cash(), Card("1"), Card("1", "n")):
            assert round_trip(annotation, value) == value
        assert parsed(annotation, {"number": "1"}) == Card("1")

    def test_recursive_members_are_told_apart(self) -> None:
        @dataclass
        class Literally:
            value: int = 0

        @dataclass
        class Add:
            left: Literally | Add
            right: Literally | Add

        class Entered(Event):
            tree: Add

        entered = Entered(tree=Add(Literally(1), Add(Literally(2), Literally(3))))

        assert decode_new(encode(entered, "s")) == entered

    @pytest.mark.parametrize("innermost", ["wrong", "b"])
    def test_the_cost_of_reading_does_not_double_with_each_level(self, innermost: str) -> None:
        reads = 0

        def counted(_: str) -> None:
            nonlocal reads
            reads += 1

        @dataclass
        class A:
            kind: Annotated[Literal["a"], counted]
            parts: list[A | B]

        @dataclass
        class B:
            kind: Annotated[Literal["b"], counted]
            parts: list[A | B]

        class Built(Event):
            part: A | B

        depth = 7
        part: dict[str, Any] = {"kind": innermost, "parts": []}
        for _ in range(depth):
            part = {"kind": "b", "parts": [part]}

        draft = Built.draft({"part": part})

        assert draft.valid == (innermost == "b")
        assert 0 < reads <= 2 * depth**2
        if draft.valid:
            assert decode_new(encode(draft.command, "s")) == draft.command

    def test_the_problem_of_the_only_candidate_is_told(self) -> None:
        assert problems_of_parsing(Item | None, {"count": "x"}) == {
            "value.sku": ["is missing"],
            "value.count": ["expected an integer, got 'x'"],
        }
        assert problems_of_parsing(int | list[int], "x") == {
            "value": ["expected an integer or a list, got 'x'"]
        }

    @pytest.mark.parametrize(
        "annotation", [str | bytes, Decimal | str, bytes | UUID, Decimal | Colour]
    )
    def test_members_that_are_the_same_text_are_refused_at_definition(
        self, annotation: Any
    ) -> None:
        with pytest.raises(DefinitionError, match="cannot be told apart"):
            event_of(annotation)


@dataclass
class Page(Generic[T]):
    items: list[T]


@dataclass
class WithInitVariable:
    n: InitVar[int]


@dataclass
class WithInnerTrouble:
    callback: Callable[[], None]


class TestUnsupportedTypes:
    @pytest.mark.parametrize(
        "annotation",
        [
            object,
            complex,
            type,
            Callable[[], int],
            Sequence[int],
            dict[int, str],
            dict[Item, str],
            set[list[int]],
            set[Tree],
            WithInitVariable,
            tuple,
            Page[int],
            T,
            type("Custom", (), {}),
        ],
    )
    def test_a_type_that_cannot_be_stored_is_refused_at_definition(self, annotation: Any) -> None:
        with pytest.raises(DefinitionError) as caught:
            event_of(annotation)

        assert caught.value.where == "Holder.value"

    def test_the_refusal_names_what_is_supported(self) -> None:
        with pytest.raises(
            DefinitionError, match=r"Holder\.value: the type complex is not supported"
        ):
            event_of(complex)
        with pytest.raises(DefinitionError, match=r"supported are str, int, .* dataclasses"):
            event_of(complex)

    def test_a_field_deep_inside_is_named(self) -> None:
        with pytest.raises(
            DefinitionError, match=r"WithInnerTrouble\.callback: the type .*Callable"
        ):
            event_of(list[WithInnerTrouble])

    def test_an_enum_of_other_values_is_refused(self) -> None:
        class Odd(Enum):
            A = (1, 2)

        with pytest.raises(DefinitionError, match=r"Odd\.A"):
            event_of(Odd)

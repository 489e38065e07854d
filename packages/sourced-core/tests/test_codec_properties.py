"""What holds for all values of all field types: they are read back equal, or refused at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sourced import Event, Message
from sourced._messages import decode_new, encode, with_meta
from sourced.errors import PayloadError


class Colour(Enum):
    RED = "red"
    NUMBER = 1


@dataclasses.dataclass
class Node:
    name: str
    weight: Decimal
    children: list[Node] = dataclasses.field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Address(TypedDict):
    city: str
    since: NotRequired[date]


class Everything(Event, type="test_codec_properties.everything"):
    text: str
    integer: int
    number: float
    flag: bool
    nothing: None
    decimal: Decimal
    moment: datetime
    day: date
    hour: time
    span: timedelta
    identifier: UUID
    blob: bytes
    colour: Colour
    word: Literal["a", 1] | None
    maybe: int | None
    either: str | int | bool | list[int] | None
    moment_or_text: datetime | date | UUID | str
    items: list[int | None]
    pair: tuple[int, str]
    many: tuple[float, ...]
    unique: set[str]
    frozen: frozenset[UUID]
    by_name: dict[str, list[date]]
    node: Node
    point: Point
    address: Address
    anything: Any


# Example data is slow to make the first time, on machines that do much else.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
any_text = st.text(st.characters(exclude_categories=()), max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), ZoneInfo("Asia/Tokyo")])
moments = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=zones,
).filter(lambda moment: moment.astimezone(UTC) == moment)  # not so where a clock was set back


def small(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, max_size=4)


nodes = st.recursive(
    st.builds(Node, name=text, weight=decimals),
    lambda children: st.builds(
        Node, name=text, weight=decimals, children=st.lists(children, max_size=3)
    ),
    max_leaves=3,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | text,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(text, values, max_size=3),
    max_leaves=5,
)

FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "text": text,
    "integer": st.integers() | st.integers(-(10**300), 10**300),
    "number": floats | st.integers(-(2**53), 2**53),
    "flag": st.booleans(),
    "nothing": st.none(),
    "decimal": decimals,
    "moment": moments,
    "day": st.dates(),
    "hour": st.times(),
    "span": st.timedeltas(),
    "identifier": st.uuids(),
    "blob": st.binary(max_size=20),
    "colour": st.sampled_from(Colour),
    "word": st.sampled_from(["a", 1, None]),
    "maybe": st.integers() | st.none(),
    "either": text | st.integers() | st.booleans() | st.none() | small(st.integers()),
    "moment_or_text": moments | st.dates() | st.uuids() | text,
    "items": small(st.integers() | st.none()),
    "pair": st.tuples(st.integers(), text),
    "many": small(floats).map(tuple),
    "unique": st.sets(text, max_size=4),
    "frozen": st.frozensets(st.uuids(), max_size=3),
    "by_name": st.dictionaries(text, small(st.dates()), max_size=3),
    "node": nodes,
    "point": st.builds(Point, st.integers(), floats),
    "address": st.fixed_dictionaries({"city": text}, optional={"since": st.dates()}),
    "anything": json_values,
}

LOOSE = ("text", "node", "items", "either", "anything", "x")

messages: st.SearchStrategy[Message] = st.builds(Everything, **FIELDS)


def test_every_field_type_has_a_strategy() -> None:
    assert set(FIELDS) == {field.name for field in dataclasses.fields(Everything)}


@unhurried
@given(messages)
def test_a_message_is_read_back_equal(message: Message) -> None:
    found = decode_new(encode(message, "s"))

    assert found == message
    assert found.meta == with_meta(message, stream_id="s").meta


@unhurried
@given(messages)
def test_encoding_is_stable(message: Message) -> None:
    record = encode(message, "s")

    assert encode(decode_new(record), "s") == record


@unhurried
@given(messages)
def test_the_payload_of_a_message_parses_to_it(message: Message) -> None:
    assert Everything.parse(message.payload) == message


@unhurried
@given(st.dictionaries(text.map(lambda key: f"user_{key}"), json_values, max_size=5))
def test_user_keys_are_read_back_equal(user: dict[str, Any]) -> None:
    message = with_meta(Minimal(), user=user)

    assert decode_new(encode(message, "s")).meta.user == user


class Minimal(Event, type="test_codec_properties.minimal"):
    pass


@unhurried
@given(st.dictionaries(st.sampled_from(LOOSE), any_text | json_values | st.binary()))
def test_parse_gives_a_message_or_a_payload_error_and_what_it_gives_can_be_stored(
    values: dict[str, Any],
) -> None:
    defaults = {"text": "", "node": {"name": "", "weight": "0"}, "items": []}
    draft = Loose.draft({**defaults, **values})

    if draft.valid:
        assert decode_new(encode(draft.message, "s")) == draft.message
    else:
        assert draft.errors


class Loose(Event, type="test_codec_properties.loose", extra="ignore"):
    text: str
    node: Node
    items: list[int | None]
    either: str | int | bool | list[int] | None = None
    anything: Any = None


@unhurried
@given(any_text | st.lists(any_text) | st.dictionaries(any_text, any_text) | st.floats())
def test_anything_is_read_back_equal_or_refused(value: Any) -> None:
    message = Anything(value=value)

    try:
        record = encode(message, "s")
    except PayloadError:
        return

    record.payload.encode()
    assert "\0" not in record.payload
    assert decode_new(record) == message


class Anything(Event, type="test_codec_properties.anything"):
    value: Any

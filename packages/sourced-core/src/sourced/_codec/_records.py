"""The codec of things with named fields: payloads, dataclasses, typed dicts and named tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from sourced._codec._node import Convert, Definitions, JsonSchema, Node, UnsupportedError
from sourced._json_text import json_problems
from sourced._naming import with_article
from sourced._problems import InvalidError, Problem, expected

__all__ = [
    "ABSENT",
    "REQUIRED",
    "Default",
    "Member",
    "Record",
    "constant",
    "member_of",
    "record_node",
    "typed_dict_node",
]

ABSENT: Final[Any] = object()


@dataclass(frozen=True, slots=True)
class Default:
    """What stands for a missing member.

    Attributes:
        make: makes it, or refuses that it is missing.
        is_constant: it is the same each time, so it can be tried and shown beforehand.
    """

    make: Callable[[], Any]
    is_constant: bool = False


def constant(value: Any) -> Default:
    """Return the default that is always this value."""
    return Default(lambda: value, is_constant=True)


def _missing() -> NoReturn:
    raise InvalidError.because("is missing")


REQUIRED: Final = Default(_missing)
"""Of members that have no default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One named field of a record.

    Attributes:
        name: its name, in Python and in JSON.
        node: its type.
        default: what stands for it when it is missing; None leaves it out.
        shown: the default in JSON, for the schema; `ABSENT` if there is none to show.
    """

    name: str
    node: Node
    default: Default | None = REQUIRED
    shown: Any = ABSENT

    def reader(self, read: Convert) -> Reader:
        """Return what a loop over members needs, without look-ups of attributes."""
        return self.name, read, self.default.make if self.default is not None else None


def member_of(name: str, node: Node, default: Default | None) -> Member:
    """Return a member; a constant default is tried out and shown in the schema.

    Raises:
        UnsupportedError: the default does not fit the type.
    """
    shown = ABSENT
    if default is not None and default.is_constant:
        try:
            shown = node.encode(default.make())
        except InvalidError as invalid:
            text = f"its default does not fit: {invalid.problems[0][1]}"
            raise UnsupportedError(text) from None
    return Member(name=name, node=node, default=default, shown=shown)


Reader = tuple[str, Convert, Callable[[], Any] | None]


class Record:
    """An object with named members, each compiled; tells all problems of all members at once.

    Args:
        members: the members in their order.
        closed: untrusted input must not have other keys.
    """

    def __init__(self, members: tuple[Member, ...], *, closed: bool) -> None:
        self._members = members
        self._closed = closed
        self.names = frozenset(member.name for member in members)
        self._encoders = tuple(member.reader(member.node.encode) for member in members)
        self._decoders = tuple(member.reader(member.node.decode) for member in members)
        self._parsers = tuple(member.reader(member.node.parse) for member in members)

    def encode(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members' values as JSON-able ones, in order; absent ones are left out."""
        done: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, encode, default in self._encoders:
            try:
                if name in values:
                    done[name] = encode(values[name])
                elif default is _missing:
                    _missing()
            except InvalidError as invalid:
                problems += invalid.under(name)
        if problems:
            raise InvalidError(*problems, *json_problems(done))
        return done

    def decode(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members' values from JSON; other keys are ignored."""
        done, problems = _read(self._decoders, data)
        if problems:
            raise InvalidError(*problems)
        return done

    def parse(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        """Return the members' values from untrusted input."""
        done, problems = _read(self._parsers, data)
        if self._closed:
            problems += self.strangers(data)
        if problems:
            raise InvalidError(*problems)
        return done

    def strangers(self, data: Mapping[Any, Any]) -> Iterator[Problem]:
        """Give a problem for every key that is no member."""
        for key in data:
            if key not in self.names:
                known = ", ".join(sorted(self.names)) or "none"
                yield (str(key),), f"is not a field; the fields are {known}"

    def describe(self, definitions: Definitions) -> JsonSchema:
        """Return the JSON Schema."""
        required = [member.name for member in self._members if member.default is REQUIRED]
        return {
            "type": "object",
            "properties": {m.name: _described(m, definitions) for m in self._members},
            **({"required": required} if required else {}),
            **({"additionalProperties": False} if self._closed else {}),
        }


def _read(
    readers: tuple[Reader, ...], data: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Problem]]:
    done: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, read, default in readers:
        try:
            if name in data:
                done[name] = read(data[name])
            elif default is not None:
                done[name] = default()
        except InvalidError as invalid:
            problems += invalid.under(name)
    return done, problems


def _described(member: Member, definitions: Definitions) -> JsonSchema:
    schema = member.node.describe(definitions)
    return schema if member.shown is ABSENT else {**schema, "default": member.shown}


def record_node(
    record: Record,
    python: type,
    *,
    take_apart: Callable[[Any], Mapping[str, Any]],
    hashable: bool,
    bounded: bool,
) -> Node:
    """Return the node of a dataclass or named tuple, which is an object in JSON.

    Args:
        record: the members.
        python: the class; values of its subclasses would come back as another class.
        take_apart: a value to its members' values.
        hashable: values can be members of a set.
        bounded: values nest to a known depth.
    """
    what = with_article(python.__name__)
    refuse, refuse_json = expected(what), expected(f"an object for {python.__name__}")

    def encode(value: Any) -> dict[str, Any]:
        if type(value) is not python:
            raise refuse(value)
        return record.encode(take_apart(value))

    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise refuse_json(value)
        return _made(python, record.decode(value))

    def parse(value: Any) -> Any:
        if type(value) is python:
            return _made(python, record.parse(take_apart(value)))
        if not isinstance(value, Mapping):
            raise refuse_json(value)
        return _made(python, record.parse(value))

    return Node(
        what=what,
        encode=encode,
        decode=decode,
        parse=parse,
        describe=lambda definitions: definitions.refer(python, python.__name__, record.describe),
        python=python,
        json=frozenset({dict}),
        keys=record.names,
        hashable=hashable,
        bounded=bounded,
    )


def typed_dict_node(record: Record, python: type, *, bounded: bool) -> Node:
    """Return the node of a `TypedDict`: a plain dict with known keys."""
    refuse = expected(f"a dict for {python.__name__}")

    def encode(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise refuse(value)
        if strangers := tuple(record.strangers(value)):
            raise InvalidError(*strangers)
        return record.encode(value)

    def decode(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise refuse(value)
        return record.decode(value)

    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise refuse(value)
        return record.parse(value)

    return Node(
        what=f"a dict for {python.__name__}",
        encode=encode,
        decode=decode,
        parse=parse,
        describe=lambda definitions: definitions.refer(python, python.__name__, record.describe),
        python=dict,
        json=frozenset({dict}),
        keys=record.names,
        hashable=False,
        bounded=bounded,
    )


def _made(python: type, values: dict[str, Any]) -> Any:
    try:
        return python(**values)
    except (ValueError, TypeError, ArithmeticError) as error:  # a class may check its own values
        raise InvalidError.because(str(error)) from error

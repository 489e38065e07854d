"""The classes of messages: commands and events, and which class a type name means."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self, TypeVar, cast, dataclass_transform

from sourced._definition import Definition, define
from sourced._draft import Draft
from sourced._meta import Meta, new_meta
from sourced._naming import nearest
from sourced._schema import Extra, SchemaFactory
from sourced._type_names import TypeNames
from sourced.errors import DefinitionError, PayloadError, UnknownTypeError, UsageError

__all__ = [
    "Command",
    "Event",
    "Message",
    "UnknownMessage",
    "definition_of",
    "find_type",
    "known_type",
    "message_types",
    "stored_types",
    "type_of",
]

_names = TypeNames()


def _pass_on(parent: Callable[..., None], options: dict[str, Any], where: str) -> None:
    try:
        parent(**options)
    except TypeError as error:
        if not options:
            raise
        raise DefinitionError(
            where, f"a message class takes type, was, extra and schema, not {', '.join(options)}"
        ) from error


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(dataclasses.field, dataclasses.Field),
)
class Message:
    """Anything recorded: the base of `Command` and `Event`.

    A subclass is a frozen, keyword-only dataclass of its payload:

    ```python
    class AddItem(Command, type="carts.add_item"):
        product_id: str
        quantity: int = 1
    ```

    Two messages are equal when class and payload are; the envelope, `meta`, does not take part.
    The constructor trusts its caller; `parse` and `draft` do not, and nothing is stored that its
    class could not read back.

    Args of the class statement:
        type: the name in storage; omitted, the snake_case of the class's qualified name.
        was: former names in storage, under which messages are still read.
        extra: what `parse` does with keys that are no fields: `"forbid"` them, the default, or
            `"ignore"` them. Reading from the store always ignores them.
        schema: what reads and writes the payload, if not the built-in codec.

    Raises:
        DefinitionError: a reserved field name, a field type that cannot be stored, a default that
            does not fit, a name that exists only under TYPE_CHECKING.
        DuplicateTypeError: another class has the same type.
    """

    __message__: ClassVar[Definition]
    __message_type__: ClassVar[str]

    def __init__(self) -> None:
        name = type(self).__name__
        raise UsageError(f"{name} is no message itself; define a class: class Add{name}({name}): …")

    def __init_subclass__(
        cls,
        *,
        type: str | None = None,
        was: Iterable[str] = (),
        extra: Extra | None = None,
        schema: SchemaFactory | None = None,
        **kwargs: Any,
    ) -> None:
        _pass_on(super().__init_subclass__, kwargs, cls.__qualname__)
        if cls.__module__ == __name__:  # the kinds of messages below, which are no messages
            return
        if issubclass(cls, Command) and issubclass(cls, Event):
            raise DefinitionError(cls.__qualname__, "a message is a command or an event, not both")
        definition = define(cls, Message, type=type, was=was, extra=extra, schema=schema)
        cls.__message__ = definition
        cls.__message_type__ = definition.type
        _names.add(cls, (definition.type, *definition.was))

    @property
    def meta(self) -> Meta:
        """The envelope; a new message gets its id and time when it is first asked for them."""
        values = self.__dict__
        if "_meta" not in values:  # of two threads that ask at once, one sets it for both
            values.setdefault("_meta", new_meta(self.__message_type__))
        meta: Meta = values["_meta"]
        return meta

    @property
    def payload(self) -> dict[str, Any]:
        """The fields, as a new dict."""
        values = self.__dict__
        return {name: values[name] for name in self.__message__.names}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Return a message of untrusted input, such as a form's or a decoded JSON body.

        Input may be JSON-shaped (moments in ISO 8601, bytes in base64, enumerations by value) or
        made of the fields' own types.

        Raises:
            PayloadError: names all problems by field path.
        """
        definition = definition_of(cls)
        message: Self = definition.make(definition.schema.parse(values))
        return message

    @classmethod
    def draft(cls, values: Mapping[str, Any]) -> Draft[Self]:
        """Return what became of untrusted input, valid or not, for showing a form again."""
        try:
            return Draft(values=values, _message=cls.parse(values))
        except PayloadError as error:
            return Draft(values=values, _error=error)

    @classmethod
    def from_type(cls, type: str, values: Mapping[str, Any]) -> Self:
        """Return a message of this kind by its type name, parsed from untrusted input.

        Raises:
            UnknownTypeError: no subclass of this class has the type.
            PayloadError: names all problems by field path.
        """
        return find_type(type, cls).parse(values)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the payload's JSON Schema, draft 2020-12."""
        return definition_of(cls).schema.json_schema()

    def __repr__(self) -> str:
        fields = self.__message__.shown
        listed = ", ".join(f"{name}={self.__dict__[name]!r}" for name in fields)
        return f"{type(self).__qualname__.rpartition('<locals>.')[2]}({listed})"

    def __getstate__(self) -> dict[str, Any]:
        _ = self.meta  # a copy must not make up an id of its own
        return self.__dict__.copy()


class Command(Message):
    """An intent, named in the imperative: `AddItem`. An actor decides what comes of it."""


class Event(Message):
    """A fact, named in the past tense: `ItemAdded`. State is evolved from events."""


class UnknownMessage(Message):
    """A stored message whose type is not defined here; for display and for passing on.

    Its `payload` is the JSON object as it was stored, and `meta.type` names the type.
    """

    def __init__(self, payload: dict[str, Any], meta: Meta) -> None:
        self.__dict__.update(_payload=payload, _meta=meta)

    @property
    def payload(self) -> dict[str, Any]:
        """The fields as they were stored."""
        return dict(self.__dict__["_payload"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UnknownMessage):
            return NotImplemented
        return self.meta.type == other.meta.type and self.payload == other.payload

    def __hash__(self) -> int:
        return hash((UnknownMessage, self.meta.type))

    def __repr__(self) -> str:
        return f"UnknownMessage({self.meta.type!r}, {self.payload!r})"

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


M = TypeVar("M", bound=Message)


def definition_of(cls: type[Message]) -> Definition:
    definition = getattr(cls, "__message__", None)
    if definition is None:
        raise UsageError(f"{cls.__name__} is no message itself; ask one of its subclasses")
    return cast("Definition", definition)


def known_type(name: str) -> type[Message] | None:
    """Return the class of a present or former type name, if it is defined here."""
    return _names.find(name)


def type_of(cls: type[Message]) -> str:
    """Return a message class's name in storage.

    Raises:
        UsageError: it is `Message`, `Command` or `Event`, which have none.
    """
    return definition_of(cls).type


def stored_types(classes: Iterable[type[Message]]) -> frozenset[str]:
    """Return every name, former ones included, under which messages of the classes are stored.

    A kind of messages, such as `Event` or a base class of one's own, stands for all its subclasses.
    """
    wanted = tuple(classes)
    return frozenset(name for name, cls in _names.items() if issubclass(cls, wanted))


def message_types(within: type[M] = Message) -> dict[str, type[M]]:  # type: ignore[assignment]
    """Return the classes of one kind by their names in storage, former names left out."""
    return {
        name: cls
        for name, cls in _names.items()
        if issubclass(cls, within) and type_of(cls) == name
    }


def find_type(type: str, within: type[M] = Message) -> type[M]:  # type: ignore[assignment]
    """Return the class of a present or former type name, if it is `within` or a subclass of it.

    Raises:
        UnknownTypeError: there is none; suggests the nearest.
    """
    found = _names.find(type)
    if found is not None and issubclass(found, within):
        return found
    raise UnknownTypeError(type, within.__name__, nearest(type, message_types(within)))

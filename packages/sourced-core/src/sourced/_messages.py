"""Messages: commands and events, their envelope, and their way into the store and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import EllipsisType, MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar, cast, dataclass_transform
from uuid import UUID

from typing_extensions import Self

from sourced._codec import plain_json
from sourced._definition import Definition, define
from sourced._json_text import from_json, text_problem, to_json
from sourced._meta import NO_KEYS, Meta, changed_meta, new_meta
from sourced._problems import Invalid
from sourced._records import NewMessage, StoredMessage
from sourced._schema import Extra, SchemaFactory
from sourced._type_names import TypeNames
from sourced.errors import PayloadError, UnknownTypeError, UsageError

__all__ = [
    "Command",
    "Draft",
    "Event",
    "Message",
    "Meta",
    "UnknownMessage",
    "caused_by",
    "decode",
    "decode_new",
    "encode",
    "find_type",
    "message_types",
    "stored_types",
    "type_of",
    "with_meta",
]

MAX_STREAM_ID = 255
"""How many characters a stream id may have; stores index it."""

_names = TypeNames()


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
        super().__init_subclass__(**kwargs)
        if cls.__module__ == __name__:  # the kinds of messages below, which are no messages
            return
        definition = define(cls, Message, type=type, was=was, extra=extra, schema=schema)
        cls.__message__ = definition
        cls.__message_type__ = definition.type
        _names.add(cls, (definition.type, *definition.was))

    @property
    def meta(self) -> Meta:
        """The envelope; a new message gets its id and time when it is first asked for them."""
        meta: Meta | None = self.__dict__.get("_meta")
        if meta is None:
            meta = self.__dict__.setdefault("_meta", new_meta(self.__message_type__))
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
        definition = _definition_of(cls)
        return definition.make(definition.schema.parse(values))

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
        return _definition_of(cls).schema.json_schema()

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Generic[M]):
    """Untrusted input on its way to a message: the message, or what is wrong with it.

    Attributes:
        values: the input as it came, for filling a form again.
    """

    values: Mapping[str, Any]
    _message: M | None = None
    _error: PayloadError | None = None

    @property
    def valid(self) -> bool:
        """Whether there is a message."""
        return self._error is None

    @property
    def errors(self) -> dict[str, list[str]]:
        """All problems by field path; empty if there is none."""
        return {} if self._error is None else self._error.problems

    @property
    def message(self) -> M:
        """The message.

        Raises:
            PayloadError: there is none; names all problems.
        """
        if self._message is None:
            assert self._error is not None
            raise self._error
        return self._message

    @property
    def command(self) -> M:
        """The message, in the words of a form that makes a command."""
        return self.message


# --- types ----------------------------------------------------------------------------------------


def _definition_of(cls: type[Message]) -> Definition:
    definition = getattr(cls, "__message__", None)
    if definition is None:
        raise UsageError(f"{cls.__name__} is no message itself; ask one of its subclasses")
    return cast("Definition", definition)


def type_of(cls: type[Message]) -> str:
    """Return a message class's name in storage.

    Raises:
        UsageError: it is `Message`, `Command` or `Event`, which have none.
    """
    return _definition_of(cls).type


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
    raise UnknownTypeError(type, within.__name__, _nearest(type, message_types(within)))


def _nearest(type: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(str(type), known, n=1, cutoff=0.6)), None)


# --- into the store and back ----------------------------------------------------------------------


def encode(message: Message, stream_id: str) -> NewMessage:
    """Return a message as a store takes it, addressed to a stream; everything is checked here.

    Raises:
        PayloadError: values that could not be stored and read back equal, in the payload, in the
            user's keys of `meta` or in the stream id, all by path.
    """
    meta = message.meta
    problems: dict[str, list[str]] = {}
    payload = user = ""
    try:
        payload = _payload_text(message)
    except PayloadError as error:
        problems.update(error.problems)
    try:
        user = _user_text(meta)
    except Invalid as invalid:
        problems.update(invalid.as_error(meta.type).problems)
    if (problem := _stream_id_problem(stream_id)) is not None:
        problems["stream_id"] = [problem]
    if problems:
        raise PayloadError(meta.type, problems)
    return NewMessage(
        id=meta.id,
        type=meta.type,
        stream_id=stream_id,
        payload=payload,
        meta=user,
        created_at=meta.created_at,
        causation_id=meta.causation_id,
        correlation_id=meta.correlation_id,
    )


def decode(record: StoredMessage) -> Message:
    """Return the message of a stored record: of the class that its type names, old or new.

    A type that is not defined here gives an `UnknownMessage`.

    Raises:
        PayloadError: the payload does not fit the class.
    """
    return _decode(record, record.seq, record.position)


def decode_new(record: NewMessage) -> Message:
    """Return the message of a record that has no place yet: a copy that shares nothing.

    Raises:
        PayloadError: the payload does not fit the class.
    """
    return _decode(record, None, None)


def _decode(record: StoredMessage | NewMessage, seq: int | None, position: int | None) -> Message:
    cls = _names.find(record.type)
    definition: Definition | None = None if cls is None else _definition_of(cls)
    meta = Meta(
        id=record.id,
        type=record.type if definition is None else definition.type,
        stream_id=record.stream_id,
        seq=seq,
        position=position,
        created_at=record.created_at,
        causation_id=record.causation_id,
        correlation_id=record.correlation_id,
        user=NO_KEYS if record.meta == "{}" else _user_keys(record),
    )
    if definition is None:
        return UnknownMessage(_object(record.payload, record.type), meta)
    message = definition.make(definition.schema.decode(record.payload))
    message.__dict__["_meta"] = meta
    return cast("Message", message)


def _payload_text(message: Message) -> str:
    if isinstance(message, UnknownMessage):
        return to_json(message.payload)
    return message.__message__.schema.encode(message.__dict__)


def _user_text(meta: Meta) -> str:
    if not meta.user:
        return "{}"
    try:
        return to_json(plain_json(dict(meta.user)))
    except Invalid as invalid:
        raise Invalid(*invalid.under("meta")) from None


def _user_keys(record: StoredMessage | NewMessage) -> Mapping[str, Any]:
    return MappingProxyType(_object(record.meta, record.type))


def _object(text: str, type: str) -> dict[str, Any]:
    try:
        data = from_json(text)
    except Invalid as invalid:
        raise invalid.as_error(type) from None
    if not isinstance(data, dict):
        raise Invalid.because("expected a JSON object").as_error(type)
    return data


def _stream_id_problem(stream_id: object) -> str | None:
    if not isinstance(stream_id, str) or not stream_id:
        return f"expected a text that is not empty, got {stream_id!r}"
    if len(stream_id) > MAX_STREAM_ID:
        return f"has {len(stream_id)} characters, the limit is {MAX_STREAM_ID}"
    return text_problem(stream_id)


# --- envelopes ------------------------------------------------------------------------------------


def with_meta(
    message: M,
    *,
    stream_id: str | None = None,
    causation_id: UUID | None = None,
    correlation_id: UUID | None = None,
    user: Mapping[str, Any] | None = None,
    id: UUID | None = None,
    created_at: datetime | None = None,
    seq: int | None | EllipsisType = ...,
    position: int | None | EllipsisType = ...,
) -> M:
    """Return a copy equal to the message, with the given parts of its envelope changed.

    User keys are merged, new ones win. A message that was its own cause, or the first of its
    correlation, stays so under a new id.

    Raises:
        PayloadError: a user key that is no text or an envelope name, or a naive `created_at`.
    """
    meta = message.meta
    try:
        changed = changed_meta(
            meta,
            id=id,
            stream_id=stream_id,
            created_at=created_at,
            causation_id=causation_id,
            correlation_id=correlation_id,
            user=user,
            seq=seq,
            position=position,
        )
    except Invalid as invalid:
        raise invalid.as_error(meta.type) from None
    return _readdressed(message, changed)


def caused_by(message: M, source: Message, *, producer: str) -> M:
    """Return a copy of a message that a handler made of another one.

    Its causation is the source's id and its correlation the source's. It has the source's user
    keys, its own keys winning, and `meta["producer"]`.
    """
    cause = source.meta
    return with_meta(
        message,
        causation_id=cause.id,
        correlation_id=cause.correlation_id,
        user={**cause.user, **message.meta.user, "producer": producer},
    )


def _readdressed(message: M, meta: Meta) -> M:
    copy: M = object.__new__(type(message))
    copy.__dict__.update(message.__dict__, _meta=meta)
    return copy

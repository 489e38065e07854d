"""Messages into the store and back, and copies of them with other envelopes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import EllipsisType, MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from sourced._codec import plain_json
from sourced._json_text import from_json, name_problem, to_json
from sourced._message import Message, UnknownMessage, known_type
from sourced._meta import NO_KEYS, Meta, ambient_keys, changed_meta
from sourced._problems import InvalidError
from sourced._records import NewMessage, StoredMessage
from sourced.errors import PayloadError

__all__ = ["caused_by", "decode", "decode_new", "encode", "with_meta"]

M = TypeVar("M", bound=Message)


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
    except InvalidError as invalid:
        problems.update(invalid.as_error(meta.type).problems)
    if (problem := name_problem(stream_id)) is not None:
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
    cls = known_type(record.type)
    definition = None if cls is None else cls.__message__
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
    message: Message = definition.make(definition.schema.decode(record.payload))
    message.__dict__["_meta"] = meta
    return message


def _payload_text(message: Message) -> str:
    if isinstance(message, UnknownMessage):
        return to_json(message.payload)
    return message.__message__.schema.encode(message.__dict__)


def _user_text(meta: Meta) -> str:
    ambient = ambient_keys.get()
    if not meta.user and not ambient:
        return "{}"
    try:
        return to_json(plain_json({**meta.user, **ambient}))
    except InvalidError as invalid:
        raise InvalidError(*invalid.under("meta")) from None


def _user_keys(record: StoredMessage | NewMessage) -> Mapping[str, Any]:
    return MappingProxyType(_object(record.meta, record.type))


def _object(text: str, type: str) -> dict[str, Any]:
    try:
        data = from_json(text)
    except InvalidError as invalid:
        raise invalid.as_error(type) from None
    if not isinstance(data, dict):
        raise InvalidError.because("expected a JSON object").as_error(type)
    return data


def with_meta(  # noqa: PLR0913 - one argument for each part of the envelope
    message: M,
    *,
    stream_id: str | None = None,
    causation_id: UUID | None = None,
    correlation_id: UUID | None = None,
    user: Mapping[str, Any] | None = None,
    id: UUID | None = None,
    created_at: datetime | None = None,
    seq: int | EllipsisType | None = ...,
    position: int | EllipsisType | None = ...,
) -> M:
    """Return a copy equal to the message, with the given parts of its envelope changed.

    User keys are merged, new ones win. A message that was its own cause, or the first of its
    correlation, stays so under a new id.

    Raises:
        PayloadError: a user key that is no text or an envelope name, or a `created_at` that is
            naive or beyond the years 1 to 9999.
    """
    given = {
        "id": id,
        "stream_id": stream_id,
        "created_at": created_at,
        "causation_id": causation_id,
        "correlation_id": correlation_id,
    }
    places = {"seq": seq, "position": position}
    changes: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    changes |= {name: value for name, value in places.items() if value is not ...}
    try:
        changed = changed_meta(message.meta, changes, user)
    except InvalidError as invalid:
        raise invalid.as_error(message.meta.type) from None
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

"""The envelope of a message: who it is, where it stands, what caused it, and the user's keys."""

from __future__ import annotations

from collections.abc import KeysView, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from sourced._clock import ambient_clock
from sourced._ids import new_id
from sourced._problems import InvalidError

__all__ = ["NO_KEYS", "Meta", "ambient_keys", "changed_meta", "checked_keys", "new_meta"]

NO_KEYS: Final[Mapping[str, Any]] = MappingProxyType({})

ambient_keys: ContextVar[Mapping[str, Any]] = ContextVar("sourced_keys", default=NO_KEYS)
"""What the envelopes of messages that are encoded here carry besides their own, such as a trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The envelope of a message.

    The user's own keys are read like a dict's: `meta["user_id"]`, `meta.get("user_id")`,
    `"user_id" in meta`. The envelope's own values are attributes.

    Attributes:
        id: identifies the message everywhere; a UUIDv7.
        type: its name in storage.
        stream_id: the stream it belongs to; `None` before it is addressed.
        seq: its place in the stream, from 1; `None` before it is stored.
        position: its place in the log; `None` before it is stored.
        created_at: when it was made, in UTC with microseconds.
        causation_id: the message that caused it; its own id if none did.
        correlation_id: the message that began the chain; its own id if it did.
        user: the user's own keys, read-only.
    """

    id: UUID
    type: str
    stream_id: str | None = None
    seq: int | None = None
    position: int | None = None
    created_at: datetime
    causation_id: UUID
    correlation_id: UUID
    user: Mapping[str, Any] = field(default_factory=lambda: NO_KEYS)

    def __getitem__(self, key: str) -> Any:
        return self.user[key]

    def __contains__(self, key: object) -> bool:
        return key in self.user

    def get(self, key: str, default: Any = None) -> Any:
        """Return the user's value for a key, or the default."""
        return self.user.get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the user's own keys."""
        return self.user.keys()

    def __reduce__(self) -> tuple[Any, ...]:
        values = [getattr(self, name) for name in _ENVELOPE]
        return _restore, (*values, dict(self.user))


_ENVELOPE = tuple(each.name for each in fields(Meta) if each.name != "user")
_RESERVED = frozenset(_ENVELOPE)


def _restore(*values: Any) -> Meta:
    *envelope, user = values
    return Meta(**dict(zip(_ENVELOPE, envelope, strict=True)), user=MappingProxyType(user))


def new_meta(type: str) -> Meta:
    """Return the envelope of a message made now: its own cause, not yet in a stream."""
    id = new_id()
    return Meta(
        id=id,
        type=type,
        created_at=ambient_clock.get().now(),
        causation_id=id,
        correlation_id=id,
    )


def changed_meta(meta: Meta, changes: Mapping[str, Any], user: Mapping[str, Any] | None) -> Meta:
    """Return the envelope with values changed by name and user keys merged, new ones winning.

    A message that was its own cause, or the beginning of its chain, stays so under a new id.

    Raises:
        InvalidError: a user key that is no text or an envelope name, or a `created_at` that is
            naive or beyond the years 1 to 9999.
    """
    values: dict[str, Any] = {name: getattr(meta, name) for name in _ENVELOPE}
    values.update(changes)
    for link in ("causation_id", "correlation_id"):
        if link not in changes and values[link] == meta.id:
            values[link] = values["id"]
    values["created_at"] = _in_utc(values["created_at"])
    merged = MappingProxyType({**meta.user, **checked_keys(user)}) if user else meta.user
    return Meta(**values, user=merged)


def checked_keys(user: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the user's keys as they are.

    Raises:
        InvalidError: a key that is no text, or that is the name of an envelope attribute.
    """
    problems = [(("meta", str(key)), text) for key in user if (text := _key_problem(key))]
    if problems:
        raise InvalidError(*problems)
    return user


def _key_problem(key: object) -> str | None:
    if not isinstance(key, str):
        return f"expected text as a key, got {key!r}"
    if key in _RESERVED:
        return f"is reserved: meta.{key} is the envelope's own; choose another key"
    return None


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise InvalidError((("meta", "created_at"), f"expected an aware datetime, got {moment!r}"))
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        text = f"expected a moment within the years 1 to 9999 in UTC, got {moment!r}"
        raise InvalidError((("meta", "created_at"), text)) from error

"""Writes and reads snapshots of states: by the user's two functions, or the built-in codec."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sourced._annotations import UnresolvedNameError, scope_of
from sourced._codec import REQUIRED
from sourced._outcomes import SnapshotTaken
from sourced._schema import BuiltinSchema, PayloadField, PayloadShape
from sourced.errors import DefinitionError

__all__ = ["Decoded", "SnapshotCodec", "snapshot_codec"]

logger = logging.getLogger("sourced")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A state that was read from a snapshot."""

    state: Any


@dataclass(frozen=True, slots=True)
class SnapshotCodec:
    """How a class's states become text and states again."""

    encode: Callable[[Any, Any], str]
    decode: Callable[[Any, str], Any]

    def take(self, consumer: Any, state: Any, seq: int) -> SnapshotTaken:
        """Return a snapshot of a state as of a seq."""
        return SnapshotTaken(seq, consumer.snapshot_version, self.encode(consumer, state))

    def try_decode(self, consumer: Any, text: str) -> Decoded | None:
        """Return the state of a snapshot, or None if it cannot be read: history is there, too."""
        try:
            return Decoded(self.decode(consumer, text))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a snapshot, it is only a shortcut
            name = type(consumer).__qualname__
            logger.warning(
                "a snapshot of %s does not decode (%s); ignored",
                name,
                type(error).__name__,  # its text may say what the state held
                extra={"group": consumer.group},
            )
            return None


def snapshot_codec(cls: type, annotation: Any, *, encodes: bool, decodes: bool) -> SnapshotCodec:
    """Return how a class's snapshots are written.

    Raises:
        DefinitionError: it defines neither or only one of `encode_state` and `decode_state`, and
            its state is no dataclass that the built-in codec holds.
    """
    if encodes and decodes:
        return SnapshotCodec(
            lambda consumer, state: json.dumps(consumer.encode_state(state), allow_nan=False),
            lambda consumer, text: consumer.decode_state(json.loads(text)),
        )
    if encodes or decodes:
        raise _undefined(cls, "it defines only one of the two")
    return _builtin(cls, annotation)


def _builtin(cls: type, annotation: Any) -> SnapshotCodec:
    if annotation is None:
        raise _undefined(cls, "it does not say what its state is")
    shape = PayloadShape(
        name=cls.__name__,
        type=f"snapshot of {cls.__qualname__}",
        doc=None,
        fields=(PayloadField(name="state", annotation=annotation, default=REQUIRED),),
        extra="ignore",
        scope=scope_of(cls.__module__, cls.__qualname__),
    )
    try:
        schema = BuiltinSchema(shape)
    except (DefinitionError, UnresolvedNameError) as error:
        raise _undefined(cls, str(error)) from error
    return SnapshotCodec(
        lambda _consumer, state: schema.encode({"state": state}),
        lambda _consumer, text: schema.decode(text)["state"],
    )


def _undefined(cls: type, why: str) -> DefinitionError:
    return DefinitionError(
        f"{cls.__module__}.{cls.__qualname__}",
        f"snapshot_every needs encode_state(self, state) and decode_state(self, data): {why}",
    )

"""Messages as stores see them: encoded, with their envelope, before and after they have a place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

__all__ = ["NewMessage", "ScheduledMessage", "StoredMessage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to append: checked and encoded, addressed to a stream, without a place in it.

    `payload` and `meta` are JSON texts of objects: the message's own fields, and the user's own
    keys of the envelope. Both have passed the codec, so no store refuses them (I11).
    """

    id: UUID
    type: str
    stream_id: str
    payload: str
    meta: str
    created_at: datetime
    causation_id: UUID
    correlation_id: UUID
    version: int = 1

    def placed(self, *, seq: int, position: int) -> StoredMessage:
        """Return the message with its place in the stream and in the log."""
        return StoredMessage(
            id=self.id,
            type=self.type,
            stream_id=self.stream_id,
            payload=self.payload,
            meta=self.meta,
            created_at=self.created_at,
            causation_id=self.causation_id,
            correlation_id=self.correlation_id,
            version=self.version,
            seq=seq,
            position=position,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """A message of the log, as it was appended, with its place in the stream and in the log."""

    id: UUID
    type: str
    stream_id: str
    payload: str
    meta: str
    created_at: datetime
    causation_id: UUID
    correlation_id: UUID
    version: int
    seq: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledMessage:
    """A message that enters the log when it is due.

    Attributes:
        message: the message, id included; it keeps its id in the log.
        due_at: when it is due, by the store's clock.
    """

    message: NewMessage
    due_at: datetime

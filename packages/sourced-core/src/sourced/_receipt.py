"""What a dispatch answers: where the message is, to wait for what it causes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

__all__ = ["Receipt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof that a message is stored.

    Attributes:
        seq: in its stream; None while it is scheduled.
        position: in the log; None while it is scheduled.
        due_at: when a scheduled message enters the log.
        repeated: the same message was dispatched before, and this is the first one's receipt.
    """

    message_id: UUID
    correlation_id: UUID
    stream_id: str
    seq: int | None
    position: int | None
    due_at: datetime | None = None
    repeated: bool = False

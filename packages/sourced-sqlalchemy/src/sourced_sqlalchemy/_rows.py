"""Rows to messages, and messages to rows."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import ColumnElement

from sourced._limits import size_of
from sourced._records import NewMessage, ScheduledMessage, StoredMessage
from sourced_sqlalchemy._scope import AnyRow
from sourced_sqlalchemy._tables import Tables

__all__ = ["message_columns", "message_row", "schedule_row", "stored", "stored_at", "waiting"]


@cache
def message_columns(tables: Tables) -> tuple[ColumnElement[Any], ...]:
    """Return the columns that `stored` reads, of messages joined with streams, in its order."""
    m = tables.messages.c
    return (
        m.id,
        m.type,
        tables.streams.c.stream_id,
        m.payload,
        m.meta,
        m.created_at,
        m.causation_id,
        m.correlation_id,
        m.version,
        m.seq,
        m.position,
    )


def stored(row: AnyRow) -> StoredMessage:
    """Return the message of a row of `message_columns`."""
    return StoredMessage(
        id=row[0],
        type=row[1],
        stream_id=row[2],
        payload=row[3],
        meta=row[4],
        created_at=row[5],
        causation_id=row[6],
        correlation_id=row[7],
        version=row[8],
        seq=row[9],
        position=row[10],
    )


def stored_at(message: NewMessage, *, seq: int, position: int) -> StoredMessage:
    """Return a new message with its place."""
    return StoredMessage(
        id=message.id,
        type=message.type,
        stream_id=message.stream_id,
        payload=message.payload,
        meta=message.meta,
        created_at=message.created_at,
        causation_id=message.causation_id,
        correlation_id=message.correlation_id,
        version=message.version,
        seq=seq,
        position=position,
    )


def message_row(message: NewMessage, *, stream: int, seq: int, position: int) -> dict[str, Any]:
    """Return the row of the log for a message at its place."""
    return {
        "position": position,
        "stream": stream,
        "seq": seq,
        "id": message.id,
        "size": size_of(message),
        **_content(message),
    }


def schedule_row(scheduled: ScheduledMessage) -> dict[str, Any]:
    """Return the row of the schedule for a message."""
    message = scheduled.message
    return {
        "message_id": message.id,
        "due_at": scheduled.due_at,
        "stream_id": message.stream_id,
        **_content(message),
    }


def waiting(row: AnyRow) -> NewMessage:
    """Return the message of a row of the schedule."""
    return NewMessage(
        id=row.message_id,
        type=row.type,
        stream_id=row.stream_id,
        payload=row.payload,
        meta=row.meta,
        created_at=row.created_at,
        causation_id=row.causation_id,
        correlation_id=row.correlation_id,
        version=row.version,
    )


def _content(message: NewMessage) -> dict[str, Any]:
    return {
        "type": message.type,
        "version": message.version,
        "created_at": message.created_at,
        "causation_id": message.causation_id,
        "correlation_id": message.correlation_id,
        "meta": message.meta,
        "payload": message.payload,
    }

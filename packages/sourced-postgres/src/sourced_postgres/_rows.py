"""Rows to messages, and messages to the array literals that the functions take.

Arrays are written out here and sent as one text each: that costs a third of what a general dumper
takes per element, and all parameters being texts of unknown type, a statement is prepared once and
never again for another width of a number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sourced._records import NewMessage, ScheduledMessage, StoredMessage
from sourced._store import Expectation, ExpectedSeq, Snapshot

__all__ = [
    "Row",
    "expectations",
    "message_arrays",
    "message_fields",
    "moment",
    "most",
    "plain_array",
    "readable",
    "scheduled_json",
    "snapshots_json",
    "stored",
    "stored_at",
    "text_array",
    "waiting",
]

Row = tuple[Any, ...]


# --- to the database ------------------------------------------------------------------------------


def text_array(texts: Iterable[str | None]) -> str:
    """Return the literal of an array of texts."""
    return "{" + ",".join([_quoted(text) for text in texts]) + "}"


def plain_array(values: Iterable[object]) -> str:
    """Return the literal of an array of values that need no quotes: numbers, uuids, moments."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def moment(value: datetime) -> str:
    """Return a moment as PostgreSQL reads it, whatever the session's zone."""
    return value.astimezone(UTC).isoformat()


def most(limit: int) -> str:
    """Return how many rows a function may return: no answer has more than an `integer` counts."""
    return str(min(limit, 2**31 - 1))


def message_arrays(messages: Sequence[NewMessage]) -> list[str]:
    """Return the nine arrays in which functions take messages."""
    return [
        text_array([message.stream_id for message in messages]),
        plain_array([message.id.hex for message in messages]),
        text_array([message.type for message in messages]),
        plain_array([message.version for message in messages]),
        plain_array([moment(message.created_at) for message in messages]),
        plain_array([message.causation_id.hex for message in messages]),
        plain_array([message.correlation_id.hex for message in messages]),
        text_array([message.meta for message in messages]),
        text_array([message.payload for message in messages]),
    ]


def message_fields(message: NewMessage) -> list[str]:
    """Return the nine parameters in which a function takes one message."""
    return [
        message.stream_id,
        message.id.hex,
        message.type,
        str(message.version),
        moment(message.created_at),
        message.causation_id.hex,
        message.correlation_id.hex,
        message.meta,
        message.payload,
    ]


def expectations(owned: Iterable[tuple[int, Mapping[str, Expectation]]]) -> str | None:
    """Return expectations, each with the place of its owner, as JSON; None for none."""
    found = [
        {
            "owner": owner,
            "stream_id": stream_id,
            "seq": one.seq,
            "types": None if isinstance(one, ExpectedSeq) else sorted(one.types),
        }
        for owner, expect in owned
        for stream_id, one in expect.items()
    ]
    return json.dumps(found) if found else None


def scheduled_json(messages: Iterable[ScheduledMessage]) -> str | None:
    """Return messages for the schedule as JSON; None for none."""
    found = [
        {
            "id": one.message.id.hex,
            "type": one.message.type,
            "stream_id": one.message.stream_id,
            "version": one.message.version,
            "payload": one.message.payload,
            "meta": one.message.meta,
            "created_at": moment(one.message.created_at),
            "causation_id": one.message.causation_id.hex,
            "correlation_id": one.message.correlation_id.hex,
            "due_at": moment(one.due_at),
        }
        for one in messages
    ]
    return json.dumps(found, ensure_ascii=False) if found else None


def snapshots_json(snapshots: Iterable[Snapshot]) -> str | None:
    """Return states to keep as JSON; None for none. Of one (group, stream) the last counts."""
    found = {
        (one.group, one.stream_id): {
            "group": one.group,
            "stream_id": one.stream_id,
            "seq": one.seq,
            "version": one.version,
            "state": one.state,
        }
        for one in snapshots
    }
    return json.dumps(list(found.values()), ensure_ascii=False) if found else None


def readable(text: str) -> str:
    """Return a text for people as it can be stored: what cannot be said becomes a mark."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _quoted(text: str | None) -> str:
    if text is None:
        return "NULL"
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if '"' in text:
        text = text.replace('"', '\\"')
    return f'"{text}"'


# --- from the database ----------------------------------------------------------------------------


def stored(row: Row) -> StoredMessage:
    """Return the message of a row: id, type, stream, payload, meta, moment in UTC, …, position."""
    return StoredMessage(
        id=row[0],
        type=row[1],
        stream_id=row[2],
        payload=row[3],
        meta=row[4],
        created_at=row[5].replace(tzinfo=UTC),
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


def waiting(row: Row) -> NewMessage:
    """Return the message of a row of the schedule: id, type, stream, payload, meta, moment, …."""
    return NewMessage(
        id=UUID(str(row[0])),
        type=row[1],
        stream_id=row[2],
        payload=row[3],
        meta=row[4],
        created_at=row[5].replace(tzinfo=UTC),
        causation_id=row[6],
        correlation_id=row[7],
        version=row[8],
    )

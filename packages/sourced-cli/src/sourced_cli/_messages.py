"""Messages as the command line shows them: as data, on one line, and whole.

They are shown as they are stored, without the classes that define them, so that no app is needed
and one that does not decode can be looked at all the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sourced_cli._durations import shown_clock
from sourced_cli._render import Painter
from sourced_cli._text import safe, shorten

if TYPE_CHECKING:
    from sourced._records import NewMessage, StoredMessage

__all__ = ["data_of", "line_of", "object_of", "page_of"]

PAYLOAD_CAP = 200


def object_of(text: str) -> Any:
    """Return what a stored JSON text holds; the text itself where it is broken or has no end."""
    from sourced._json_text import is_shallow

    try:
        found = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
    return found if is_shallow(found) else text


def data_of(message: StoredMessage | NewMessage) -> dict[str, Any]:
    """Return a message for `--json`."""
    return {
        "id": message.id,
        "type": message.type,
        "stream_id": message.stream_id,
        "seq": getattr(message, "seq", None),
        "position": getattr(message, "position", None),
        "created_at": message.created_at,
        "causation_id": message.causation_id,
        "correlation_id": message.correlation_id,
        "version": message.version,
        "meta": object_of(message.meta),
        "payload": object_of(message.payload),
    }


def line_of(message: StoredMessage, paint: Painter, columns: int | None) -> str:
    """Return a message on one line: position, time, type, stream, payload."""
    lead = f"#{message.position:<7} {shown_clock(message.created_at)}  "
    name, place = safe(message.type), f"  {safe(message.stream_id)} #{message.seq}  "
    used = len(lead) + len(name) + len(place)
    room = PAYLOAD_CAP if columns is None else max(columns - used - 1, 10)
    payload = shorten(safe(message.payload, cap=PAYLOAD_CAP), room)
    return f"{paint(lead, 'dim')}{paint(name, 'bold')}{place}{paint(payload, 'dim')}"


def page_of(message: StoredMessage, paint: Painter) -> str:
    """Return all of a message, one fact on a line, the payload as indented JSON."""
    facts = {
        "type": message.type,
        "id": message.id,
        "stream": f"{message.stream_id} #{message.seq}",
        "position": f"#{message.position}",
        "created": f"{shown_clock(message.created_at)} UTC",
        "caused by": _cause(message),
        "correlation": message.correlation_id,
    }
    lines = [f"{paint(f'{name:<12}', 'dim')} {safe(value)}" for name, value in facts.items()]
    return "\n".join(
        [*lines, *_block("meta", message.meta, paint), *_block("payload", message.payload, paint)]
    )


def _cause(message: StoredMessage) -> str:
    return "nothing" if message.causation_id == message.id else str(message.causation_id)


def _block(name: str, text: str, paint: Painter) -> list[str]:
    value = object_of(text)
    if value in ({}, ""):
        return [f"{paint(f'{name:<12}', 'dim')} {{}}"]
    shown = json.dumps(value, indent=2, ensure_ascii=False)
    return [paint(name, "dim"), *(f"  {safe(line)}" for line in shown.split("\n"))]

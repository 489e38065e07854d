"""Messages, as the rest of the kernel knows them."""

from __future__ import annotations

from sourced._draft import Draft
from sourced._envelopes import caused_by, decode, decode_new, encode, with_meta
from sourced._message import (
    Command,
    Event,
    Message,
    UnknownMessage,
    find_type,
    message_types,
    stored_types,
    type_of,
)
from sourced._meta import Meta

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

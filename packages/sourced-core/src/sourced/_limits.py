"""How large a message may be, checked by every store before any statement runs."""

from __future__ import annotations

from collections.abc import Iterable

from sourced._records import NewMessage, StoredMessage
from sourced.errors import PayloadError

__all__ = ["MAX_MESSAGE_BYTES", "check_sizes", "size_of"]

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""The default bound of payload plus meta of one message, in bytes of UTF-8."""


def size_of(message: NewMessage | StoredMessage) -> int:
    """Return the bytes of a message's payload and meta in UTF-8."""
    return _utf8_length(message.payload) + _utf8_length(message.meta)


def check_sizes(messages: Iterable[NewMessage], limit: int = MAX_MESSAGE_BYTES) -> None:
    """Refuse messages that are larger than `limit` bytes.

    Raises:
        PayloadError: names the first such message by type, with its size and the limit.
    """
    for message in messages:
        size = size_of(message)
        if size > limit:
            raise PayloadError(
                message.type,
                {"payload": [f"{size:,} bytes, more than the {limit:,} that this store takes"]},
            )


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())

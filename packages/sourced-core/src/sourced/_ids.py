"""Identifiers: time-ordered message ids, and names for new streams."""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

__all__ = ["new_id", "new_stream", "new_worker_id"]

_lock = threading.Lock()
_last = 0


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then a counter, then random bits.

    Ids made by one process increase strictly, also within a millisecond and when the machine's
    clock goes back: the 12 bits after the version count up (method 1 of RFC 9562, section 6.2).
    """
    global _last  # noqa: PLW0603 - the counter of RFC 9562 is the process's
    with _lock:
        moment = (time.time_ns() // 1_000_000) << 12
        _last = moment if moment > _last else _last + 1
        ticks = _last
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    value = ((ticks >> 12) << 80) | (0x7 << 76) | ((ticks & 0xFFF) << 64) | (0b10 << 62) | random
    return UUID(int=value)


def new_stream(prefix: str) -> str:
    """Return a stream id that nobody has used, such as `inventory-0198c9…`."""
    return f"{prefix}-{new_id().hex}"


def new_worker_id() -> str:
    """Return an id for one start of one worker process: never a pid or a host name alone."""
    return new_id().hex

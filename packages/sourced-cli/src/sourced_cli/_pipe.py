"""Notices that nobody reads a pipe any more, which a write alone would tell too late."""

from __future__ import annotations

import io
import os
import select
import stat
import time
from typing import IO

__all__ = ["await_loss"]

LONGEST = 86_400.0  # poll counts milliseconds in a C int, so that a pause of months is no argument


def await_loss(stream: IO[str], seconds: float) -> None:
    """Wait so long, a day at most, unless the reader of this pipe goes, or has gone.

    A stream that is no pipe has no reader to lose.

    Raises:
        BrokenPipeError: nobody reads it.
    """
    number = _pipe_of(stream)
    if number is None:
        time.sleep(min(seconds, LONGEST))
        return
    watch = select.poll()
    watch.register(number, 0)  # errors and hang-ups are told unasked
    told = watch.poll(min(seconds, LONGEST) * 1000)
    if any(event & (select.POLLERR | select.POLLHUP) for _, event in told):
        raise BrokenPipeError


def _pipe_of(stream: IO[str]) -> int | None:
    """Return the number of a pipe or socket; None for all else, and where nothing can watch it."""
    if not hasattr(select, "poll"):
        return None
    try:
        number = stream.fileno()
        mode = os.fstat(number).st_mode
    except (io.UnsupportedOperation, OSError, ValueError):  # an object of a test, or closed
        return None
    return number if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None

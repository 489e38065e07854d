"""What is known of each process, and what is said of its end: once, with its reason."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sourced._engine import logger
from sourced._tally import Tally
from sourced.runtime._children import Child, Children, End
from sourced.runtime._spawned import Spawned

__all__ = ["FAILED_EXIT", "Obituaries", "Record", "Refusal"]

FAILED_EXIT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a process could not start, or could not go on, by its own word.

    Attributes:
        code: the exit code that it means.
        name: for programs, such as `app.no-such-module`.
        message: one sentence.
        hint: the next step.
        trace: the user's traceback, where there is one.
        is_waiting: the store does not answer; it is no fault of the process.
    """

    code: int = FAILED_EXIT
    name: str = "failed"
    message: str = ""
    hint: str = ""
    trace: str = ""
    is_waiting: bool = False


@dataclass(slots=True, kw_only=True)
class Record:
    """What is known of one process.

    Attributes:
        slot: the number of its place.
        process: None when it is gone, or could not be started.
        pid: its process id, 0 if it could not be started.
        tally: what it has handled, by its own word.
        refusal: why it could not start, by its own word.
        ended: its last words.
    """

    slot: int
    process: Spawned | None = None
    pid: int = 0
    tally: Tally = field(default_factory=Tally)
    refusal: Refusal | None = None
    ended: Mapping[str, Any] | None = None


class Obituaries:
    """Logs how processes end; a reason that is the same as before is not told at length again."""

    def __init__(self) -> None:
        self._told = ""

    def joined(self) -> None:
        """Note that one is at work: what is amiss next is told anew."""
        self._told = ""

    def buried(
        self, record: Record, how: int | str, end: End, child: Child, after: Children
    ) -> None:
        """Tell how a process ended, and what follows from it.

        Args:
            record: what is known of it.
            how: its return code, or why there is none.
            end: what that means.
            child: what it was.
            after: what has been decided.
        """
        if after.cannot_start or (end == "orderly" and (child.told or after.drains)):
            return
        reason = self._reason(record, how, end)
        slot = next(s for s in after.slots if s.number == record.slot)
        if child.told:
            logger.error("%s while it ended; its lease gives back what it held", reason)
        elif slot.child is not None and not child.is_joined:
            logger.error("%s, so nobody is replaced: the former processes go on", reason)
        elif slot.is_down:
            logger.error(
                "%s: five deaths within a minute; it stays down until all are replaced", reason
            )
        elif slot.is_done:
            logger.error("%s", reason)
        elif slot.child is not None:
            logger.warning("%s; its successor takes over", reason)
        else:
            pause = round(max(0.0, slot.start_at - time.monotonic()), 1)
            logger.warning("%s; another one starts in %g s", reason, pause)

    def _reason(self, record: Record, how: int | str, end: End) -> str:
        name = f"process {record.pid}" if record.pid else "a process"
        if (refusal := record.refusal) is None:
            return f"{name} {'ended by itself' if end == 'orderly' else _cause(how)}"
        said = "\n".join(filter(None, (refusal.message, refusal.trace)))
        if said == self._told:
            return f"{name} could not start, as before"
        self._told = said
        return f"{name} could not start: {said}"


def _cause(how: int | str) -> str:
    """Return how a process came to its end, in words."""
    if isinstance(how, str):
        return how
    if how >= 0:
        return f"died with exit code {how}"
    try:
        return f"was killed by {signal.Signals(-how).name}"
    except ValueError:
        return f"was killed by signal {-how}"

"""One stream handled by itself, step by step, after it could not be committed with others.

```
       ┌──── committed, more is pending: the next step ───────────────────────────────┐
       ▼                                                                              │
read a step ── handle ── commit ─┬─ committed, nothing is pending ── over             │
       ▲                         ├─ claim lost, message failed, store away,           │
       │                         │  somebody keeps the stream locked ── over          │
       ├─ half the step ◀────────┼─ conflict: somebody else appended                  │
       ├─ one message ◀──────────┼─ a sync of several messages failed                 │
       └─ one message, decided ◀─┴─ the tenth conflict in a row                       │
          under the stream's lock ────────────────────────────────────────────────────┘
```

A conflict is no failure of anybody, so steps get smaller, and in the end are decided while nobody
else can append: whoever appends all the time cannot keep a decision from being made. A step of one
message tells whose failure a failing sync is. A stream whose worker died is handled by steps of one
from the start, and stays so: the message in hand when a process dies must be the next one (T21).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from enum import Enum, auto

from sourced._clock import Clock
from sourced._committing import Committing, raised_by
from sourced._engine import logger
from sourced._handling import Handling, Ready
from sourced._held import Held
from sourced._plan import Plan
from sourced._settling import FollowUp, Settling, no_follow_up
from sourced._store import Done, Keep, Then
from sourced.errors import (
    ClaimLostError,
    ConcurrencyError,
    StatementTimeoutError,
    StoreUnavailableError,
    StreamLockedError,
)

__all__ = ["Alone"]

CONFLICTS = 10
CONFLICT_PAUSE = timedelta(seconds=1)
FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.05


class _Step(Enum):
    """How a step ended."""

    OVER = auto()
    ON = auto()
    CONFLICT = auto()
    UNCLEAR = auto()


class Alone:
    """See the module's docstring.

    Args:
        bound: how many messages of a stream are handled at most.
    """

    def __init__(
        self,
        handling: Handling,
        committing: Committing,
        settling: Settling,
        held: Held,
        clock: Clock,
        *,
        bound: int,
        stopping: Callable[[], bool],
    ) -> None:
        self._handling = handling
        self._committing = committing
        self._settling = settling
        self._held = held
        self._clock = clock
        self._bound = bound
        self._stopping = stopping

    def run(self, stream_id: str, *, size: int, conflicts: int = 0) -> None:
        """Handle a stream until nothing is pending, it is let go of, or the bound is reached.

        Args:
            stream_id: the stream, which is held.
            size: how many messages a step has at most.
            conflicts: how many there were already.
        """
        left = self._bound
        while ready := self._handling.read([self._held[stream_id]], min(size, left)):
            count = len(ready[0].pending.messages)
            is_locked = conflicts >= CONFLICTS
            match self._step(ready[0], last=count >= left, locked=is_locked):
                case _Step.OVER:
                    return
                case _Step.ON:
                    left -= count
                    conflicts = conflicts if is_locked else 0
                case _Step.UNCLEAR:
                    size = 1
                case _Step.CONFLICT if is_locked:  # of what cannot be decided under a lock
                    self._held.give_back_later(stream_id, CONFLICT_PAUSE)
                    return
                case _Step.CONFLICT:
                    conflicts, size = conflicts + 1, max(1, size // 2)
                    if conflicts == CONFLICTS:
                        size = 1
                        self._tell(stream_id)
                    else:
                        self._pause(conflicts)

    def go_on(self, plan: Plan, error: Exception, *, is_culprit: bool) -> None:
        """Go on with a stream whose commit was refused.

        Args:
            plan: what was to be committed.
            error: why it was not.
            is_culprit: whether the error is this stream's, not one of all streams together.
        """
        stream_id, size = plan.batch.stream_id, len(plan.batch.messages)
        if not is_culprit:
            self.run(stream_id, size=size)
            return
        match self._refused(plan, error):
            case _Step.CONFLICT:
                self.run(stream_id, size=max(1, size // 2), conflicts=1)
            case _Step.UNCLEAR:
                self.run(stream_id, size=1)

    # --- a step -----------------------------------------------------------------------------------

    def _step(self, ready: Ready, *, last: bool, locked: bool) -> _Step:
        if locked and self._handling.is_decided(ready):
            return self._decide_locked(ready, last=last or self._stopping())
        plans = self._handling.plan([ready])
        if not plans:
            return _Step.OVER
        (plan,) = plans
        last = last or plan.failure is not None or self._stopping()
        then: tuple[Then, FollowUp] = self._settling.then(plan) if last else (Keep(), no_follow_up)
        if failures := self._committing.send(plans, [then]):
            return self._refused(plan, failures[ready.stream_id])
        return self._committed(ready.stream_id, last=last)

    def _decide_locked(self, ready: Ready, *, last: bool) -> _Step:
        stream_id = ready.stream_id
        try:
            plan, failure = self._committing.send_locked(
                stream_id,
                lambda transaction: self._handling.plan_in(transaction, ready),
                Done() if last else Keep(),
            )
        except StreamLockedError:
            self._held.give_back_later(stream_id)
            return _Step.OVER
        if isinstance(failure, ClaimLostError) or plan is None:
            self._held.lost(stream_id, failure or ClaimLostError("", stream_id))
            return _Step.OVER
        if failure is not None:
            return self._refused(plan, failure)
        if self._handling.settle_unhandled(plan):
            return _Step.OVER
        return self._committed(stream_id, last=last)

    def _committed(self, stream_id: str, *, last: bool) -> _Step:
        return _Step.ON if stream_id in self._held and not last else _Step.OVER

    def _refused(self, plan: Plan, error: Exception) -> _Step:
        """Tell how to go on; a stream that cannot be gone on with is let go of."""
        stream_id = plan.batch.stream_id
        is_timeout = isinstance(error, StatementTimeoutError)  # of its own sync
        if isinstance(error, ConcurrencyError):
            return _Step.CONFLICT
        if isinstance(error, ClaimLostError):
            self._held.lost(stream_id, error)
        elif isinstance(error, StreamLockedError):
            self._give_up(plan, error)
        elif isinstance(error, StoreUnavailableError) and not is_timeout:
            self._held.give_back_later(stream_id)
        elif plan.handled > 1:
            return _Step.UNCLEAR
        else:
            self._give_up(plan, raised_by(error))
        return _Step.OVER

    def _give_up(self, plan: Plan, error: BaseException) -> None:
        plan.ack_seq, plan.failure = None, (_first_seq(plan), error)
        self._handling.settle_unhandled(plan)

    def _pause(self, conflicts: int) -> None:
        self._clock.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**conflicts)))

    def _tell(self, stream_id: str) -> None:
        claim = self._held[stream_id]
        logger.info(
            "group %s, stream %s: %d conflicts in a row; deciding under the stream's lock",
            claim.group,
            stream_id,
            CONFLICTS,
            extra={"group": claim.group, "stream": stream_id, "worker": claim.worker},
        )


def _first_seq(plan: Plan) -> int:
    return plan.batch.messages[0].meta.seq or plan.batch.head

"""What becomes of a delivery after its messages were handled: a decision over values, no I/O.

| then      | after an ack, something is pending         | without an ack                     |
| --------- | ------------------------------------------ | ---------------------------------- |
| `Done`    | ready now, attempts 0, not suspect         | (not allowed)                      |
| `Keep`    | still claimed, attempts 1                  | (not allowed)                      |
| `Release` | as `Done`                                  | given back, the attempt taken back |
| `Retry`   | waits, attempts 1, its error kept          | waits, attempts as counted         |
| `Park`    | parked, attempts 1, its error kept         | parked, attempts as counted        |

An ack with nothing pending behind it deletes the row, whatever follows. An ack ends what was known
of the message before: its error, and that the stream was restarted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sourced._inspect import DeliveryState
from sourced._store import Claim, Done, Keep, Park, Release, Retry, Then

__all__ = ["Delivery", "freshened", "settle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A row of deliveries, by the keys it is stored under."""

    id: int
    stream: int
    next_seq: int
    replay_until: int
    restarted: bool
    ready_at: datetime
    worker: str | None
    epoch: int
    claimed_at: datetime | None
    attempts: int
    suspect: bool
    parked_at: datetime | None
    error: str | None

    def is_held_by(self, claim: Claim) -> bool:
        """Return whether a claim is still the one on this delivery (I3)."""
        return (self.worker, self.epoch, self.next_seq) == (
            claim.worker,
            claim.epoch,
            claim.next_seq,
        )

    def state(self, now: datetime) -> DeliveryState:
        """Return what the delivery waits for."""
        if self.parked_at is not None:
            return "parked"
        if self.worker is not None:
            return "claimed"
        return "retrying" if self.ready_at > now else "ready"

    def is_ready(self, now: datetime) -> bool:
        """Return whether it could be claimed now."""
        return self.state(now) == "ready"


def settle(
    row: Delivery, then: Then, *, acked: bool, next_seq: int | None, now: datetime
) -> Delivery | None:
    """Return the delivery as it goes on, or None if it is drained.

    Args:
        row: as it is.
        then: what was asked for.
        acked: whether messages were handled.
        next_seq: if so, the next one to handle; None if there is none.
        now: the store's time.
    """
    if acked:
        if next_seq is None:
            return None
        row = replace(row, next_seq=next_seq, attempts=1, restarted=False, error=None)
    match then:
        case Keep():
            return row
        case Retry():
            return replace(
                _freed(row, counts=then.counts),
                ready_at=_retry_at(then, now),
                error=row.error if then.error is None else then.error,
            )
        case Park():
            return replace(_freed(row), parked_at=now, error=then.error)
        case Release() if not acked:
            return _freed(row, counts=False)
        case Done() | Release():
            return replace(freshened(row, now), suspect=False)


def freshened(row: Delivery, now: datetime) -> Delivery:
    """Return a delivery as ready now, nothing tried: what was known of its failures is gone."""
    return replace(_freed(row), attempts=0, parked_at=None, error=None, ready_at=now)


def _freed(row: Delivery, *, counts: bool = True) -> Delivery:
    attempts = row.attempts if counts else max(row.attempts - 1, 0)
    return replace(row, worker=None, claimed_at=None, attempts=attempts)


def _retry_at(retry: Retry, now: datetime) -> datetime:
    if retry.at is not None:
        return retry.at
    return now if retry.after is None else now + retry.after

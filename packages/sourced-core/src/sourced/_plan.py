"""Folds what a reactor asked for into what is committed for its stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sourced._batch import Batch
from sourced._failures import FAILURES, kind_of, safe_repr
from sourced._messages import encode
from sourced._moments import due
from sourced._outcomes import (
    Ack,
    AfterCommit,
    Append,
    Evolved,
    Expect,
    Fail,
    Outcome,
    Outcomes,
    Schedule,
    SnapshotTaken,
    Sync,
    SyncTogether,
)
from sourced._records import NewMessage, ScheduledMessage
from sourced._store import Snapshot
from sourced.errors import UsageError

__all__ = ["Plan", "plan_of", "sync_together"]


@dataclass(slots=True)
class Plan:
    """What one batch of one stream comes to.

    Attributes:
        ack_seq: handled up to here; None if nothing was.
        failure: the seq of the message that failed, with its error.
    """

    batch: Batch
    ack_seq: int | None = None
    failure: tuple[int, BaseException] | None = None
    append: list[NewMessage] = field(default_factory=list)
    schedule: list[ScheduledMessage] = field(default_factory=list)
    syncs: list[Callable[[Any], object]] = field(default_factory=list)
    together: list[SyncTogether] = field(default_factory=list)
    after: list[Callable[[], object]] = field(default_factory=list)
    expect: Expect | None = None
    evolved: list[Evolved] = field(default_factory=list)
    snapshot: SnapshotTaken | None = None

    @property
    def handled(self) -> int:
        """How many messages of the batch are handled."""
        upto = self.ack_seq
        if upto is None:
            return 0
        return sum(1 for message in self.batch.messages if (message.meta.seq or 0) <= upto)

    @property
    def snapshot_to_store(self) -> Snapshot | None:
        """The snapshot that was taken, addressed to its stream."""
        taken = self.snapshot
        if taken is None:
            return None
        return Snapshot(
            group=self.batch.group,
            stream_id=self.batch.stream_id,
            seq=taken.seq,
            version=taken.version,
            state=taken.state,
        )


def plan_of(batch: Batch, outcomes: Outcomes, now: Callable[[], datetime]) -> Plan:
    """Fold outcomes up to the last ack that holds; see `_outcomes` for what the order means.

    A message whose outputs cannot be stored fails with that error; what was handled before it
    stands.

    Args:
        batch: what was handled.
        outcomes: what the reactor asked for.
        now: the store's time, for what is due so long from now.

    Raises:
        UsageError: the outcomes make no sense for this batch.
    """
    plan = Plan(batch)
    segment: list[Outcome] = []
    first, last = (batch.messages[n].meta.seq or batch.head for n in (0, -1))
    for outcome in outcomes:
        if isinstance(outcome, Ack | Fail) and not _is_within(outcome.seq, first, last):
            raise UsageError(f"{safe_repr(outcome)} is outside of the batch, #{first} to #{last}")
        if isinstance(outcome, Fail):
            plan.failure = (outcome.seq, _as_failure(outcome.error))
            return plan
        if not isinstance(outcome, Ack):
            segment.append(outcome)
        elif not _close(plan, segment, outcome.seq, now):
            return plan
        else:
            segment = []
    if plan.ack_seq is None or segment:
        _close(plan, segment, last if plan.ack_seq is None else plan.ack_seq, now)
    return plan


def _is_within(seq: object, first: int, last: int) -> bool:
    return isinstance(seq, int) and first <= seq <= last


def _close(plan: Plan, segment: list[Outcome], seq: int, now: Callable[[], datetime]) -> bool:
    """Take a segment into the plan; False if its outputs cannot be stored."""
    try:
        appended = [_encoded(each) for each in segment if isinstance(each, Append)]
        scheduled = [_scheduled(each, now) for each in segment if isinstance(each, Schedule)]
    except FAILURES as error:  # the message at `seq` made something that cannot be stored
        plan.failure = (seq, error)
        return False
    plan.append += appended
    plan.schedule += scheduled
    for rest in segment:
        if not isinstance(rest, Append | Schedule):
            _take(plan, rest)
    plan.ack_seq = seq
    return True


def _encoded(outcome: Append | Schedule) -> NewMessage:
    return outcome.encoded or encode(outcome.message, outcome.to)


def _scheduled(outcome: Schedule, now: Callable[[], datetime]) -> ScheduledMessage:
    due_at = due(now, at=outcome.at, after=outcome.after)
    return ScheduledMessage(message=_encoded(outcome), due_at=due_at)


def _take(plan: Plan, outcome: Outcome) -> None:
    match outcome:
        case Sync(run):
            plan.syncs.append(run)
        case SyncTogether():
            plan.together.append(outcome)
        case AfterCommit(run):
            plan.after.append(run)
        case Expect():
            plan.expect = _stricter(plan.expect, outcome)
        case Evolved():
            plan.evolved.append(outcome)
        case SnapshotTaken():
            plan.snapshot = outcome
        case _:
            raise UsageError(
                f"handle_batch returned {kind_of(outcome)}, which is no outcome: "
                "return Append, Schedule, Sync, AfterCommit, Ack or Fail"
            )


def _stricter(one: Expect | None, other: Expect) -> Expect:
    if one is None:
        return other
    return Expect(min(one.seq, other.seq), one.types | other.types)


def _as_failure(error: object) -> BaseException:
    if isinstance(error, FAILURES):
        return error
    if isinstance(error, BaseException):  # a KeyboardInterrupt is no failure of the message
        raise error
    raise UsageError(f"Fail needs the exception that was raised, got {safe_repr(error)}")


def sync_together(plans: Sequence[Plan]) -> list[Callable[[Any], object]]:
    """Join the syncs of several streams that belong together, in order of first appearance.

    A stream that comes twice, as it may in a unit, is synced in a second call: each call holds a
    stream once, with its state as of then.
    """
    joined: dict[tuple[int, int], tuple[SyncTogether, list[Any]]] = {}
    times: Counter[tuple[int, str]] = Counter()
    for plan in plans:
        for outcome in plan.together:
            seen = (id(outcome.key), plan.batch.stream_id)
            call = (id(outcome.key), times[seen])
            times[seen] += 1
            joined.setdefault(call, (outcome, []))[1].append(outcome.item)
    return [_call(first, items) for first, items in joined.values()]


def _call(first: SyncTogether, items: list[Any]) -> Callable[[Any], object]:
    return lambda connection: first.run(items, connection)

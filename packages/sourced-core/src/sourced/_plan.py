"""Folds what a reactor asked for into what is committed for its stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sourced._batch import Batch
from sourced._messages import encode
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
from sourced._records import NewMessage
from sourced._store import Snapshot
from sourced.errors import UsageError

__all__ = ["Later", "Plan", "plan_of", "sync_together"]


@dataclass(frozen=True, slots=True)
class Later:
    """A message to schedule, encoded."""

    message: NewMessage
    asked: Schedule


@dataclass(slots=True)
class Plan:
    """What one batch of one stream comes to.

    Attributes:
        ack_seq: handled up to here; None if nothing was.
        failure: the seq of the message that failed, with its error.
    """

    batch: Batch
    ack_seq: int | None = None
    failure: tuple[int, Exception] | None = None
    append: list[NewMessage] = field(default_factory=list)
    schedule: list[Later] = field(default_factory=list)
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


def plan_of(batch: Batch, outcomes: Outcomes) -> Plan:
    """Fold outcomes up to the last ack that holds; see `_outcomes` for what the order means.

    A message whose outputs do not encode fails with that `PayloadError`; what was handled before it
    stands.
    """
    plan = Plan(batch)
    segment: list[Outcome] = []
    first, last = (batch.messages[n].meta.seq or batch.head for n in (0, -1))
    for outcome in outcomes:
        if isinstance(outcome, Fail):
            plan.failure = (outcome.seq, _as_exception(outcome.error))
            return plan
        if not isinstance(outcome, Ack):
            segment.append(outcome)
        elif not first <= outcome.seq <= last:
            raise UsageError(f"{outcome!r} is outside of the batch, #{first} to #{last}")
        elif not _close(plan, segment, outcome.seq):
            return plan
        else:
            segment = []
    if plan.ack_seq is None or segment:
        _close(plan, segment, last if plan.ack_seq is None else plan.ack_seq)
    return plan


def _close(plan: Plan, segment: list[Outcome], seq: int) -> bool:
    """Take a segment into the plan; False if its outputs do not encode."""
    try:
        encoded = [
            (outcome, outcome.encoded or encode(outcome.message, outcome.to))
            for outcome in segment
            if isinstance(outcome, Append | Schedule)
        ]
    except Exception as error:  # noqa: BLE001 - whatever a codec raises, the message fails
        plan.failure = (seq, error)
        return False
    for outcome, message in encoded:
        if isinstance(outcome, Schedule):
            plan.schedule.append(Later(message, outcome))
        else:
            plan.append.append(message)
    for rest in segment:
        if not isinstance(rest, Append | Schedule):
            _take(plan, rest)
    plan.ack_seq = seq
    return True


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
                f"handle_batch returned {outcome!r}, which is no outcome: "
                "return Append, Schedule, Sync, AfterCommit, Ack or Fail"
            )


def _stricter(one: Expect | None, other: Expect) -> Expect:
    if one is None:
        return other
    return Expect(min(one.seq, other.seq), one.types | other.types)


def _as_exception(error: BaseException) -> Exception:
    if isinstance(error, Exception):
        return error
    raise error  # a KeyboardInterrupt is no failure of the message


def sync_together(plans: Sequence[Plan]) -> list[Callable[[Any], object]]:
    """Join the syncs of several streams that belong together, in order of first appearance."""
    joined: dict[int, tuple[SyncTogether, list[Any]]] = {}
    for plan in plans:
        for outcome in plan.together:
            joined.setdefault(id(outcome.key), (outcome, []))[1].append(outcome.item)
    return [_call(first, items) for first, items in joined.values()]


def _call(first: SyncTogether, items: list[Any]) -> Callable[[Any], object]:
    return lambda connection: first.run(items, connection)

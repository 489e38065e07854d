"""The suite is tested: each deliberately broken memory store is caught by the test named for it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sourced._faults import reach
from sourced._store import Claim, Done, ExpectedSeq, Keep, Retry, StreamCommit, UnlessSince
from sourced.errors import DuplicateMessageError
from sourced.memory import MemoryStore
from sourced_testing import FakeClock
from sourced_testing.conformance import (
    AckConformance,
    AppendConformance,
    ClaimConformance,
    CommitConformance,
    FaultsConformance,
    FencingConformance,
    HandleNowConformance,
    HintsConformance,
    LeaseConformance,
    LockedConformance,
    ParkConformance,
    PendingConformance,
    RegisterConformance,
    ReplayConformance,
    RetryConformance,
    ScheduleConformance,
)
from sourced_testing.conformance._given import Given


class Broken:
    """A memory store of which one verb breaks a promise; the others are the store's own."""

    def __init__(self, clock: FakeClock) -> None:
        self.real: Any = MemoryStore(clock=clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def head(self, stream_id: str) -> int:
        head: int = self.real.read_stream(stream_id, limit=1).head
        return head

    def row(self, claim: Claim) -> Any:
        found = self.real.inspect.deliveries(group=claim.group, stream_id=claim.stream_id)
        return found[0] if found else None


# --- commits --------------------------------------------------------------------------------------


class ChecksNoEpoch(Broken):
    """Whichever worker and epoch a commit names, it is taken for the present holder's."""

    def commit(self, _worker: str, parts: Sequence[StreamCommit], **more: Any) -> Any:
        parts = [self.as_holder(part) for part in parts]
        return self.real.commit(parts[0].claim.worker, parts, **more)

    def as_holder(self, part: StreamCommit) -> StreamCommit:
        row = self.row(part.claim)
        if row is None or row.worker is None:
            return part
        return replace(part, claim=replace(part.claim, epoch=row.epoch, worker=row.worker))


class ChecksNoNextSeq(Broken):
    """A claim is known by worker and epoch alone."""

    def commit(self, worker: str, parts: Sequence[StreamCommit], **more: Any) -> Any:
        return self.real.commit(worker, [self.moved(part) for part in parts], **more)

    def moved(self, part: StreamCommit) -> StreamCommit:
        row = self.row(part.claim)
        if row is None:
            return part
        upto = None if part.ack_seq is None else max(part.ack_seq, row.next_seq)
        return replace(part, claim=replace(part.claim, next_seq=row.next_seq), ack_seq=upto)


class AcksTooMuch(Broken):
    """An ack passes over what is pending behind it."""

    def commit(self, worker: str, parts: Sequence[StreamCommit], **more: Any) -> Any:
        parts = [replace(part, ack_seq=self.head(part.claim.stream_id)) for part in parts]
        return self.real.commit(worker, parts, **more)


class LosesWakeUps(Broken):
    """The last ack looks at what was pending when the stream was claimed, and at no more."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.heads: dict[int, int] = {}

    def claim(self, *args: Any, **more: Any) -> list[Claim]:
        claims: list[Claim] = self.real.claim(*args, **more)
        self.heads |= {claim.epoch: self.head(claim.stream_id) for claim in claims}
        return claims

    def commit(self, worker: str, parts: Sequence[StreamCommit], **more: Any) -> Any:
        return self.real.commit(worker, [self.blind(part) for part in parts], **more)

    def blind(self, part: StreamCommit) -> StreamCommit:
        if part.ack_seq is None or part.ack_seq < self.heads[part.claim.epoch]:
            return part
        return replace(part, ack_seq=self.head(part.claim.stream_id))


class AppendsOutputsFirst(Broken):
    """Outputs are written in a transaction of their own, before the ack."""

    def commit(self, worker: str, parts: Sequence[StreamCommit], **more: Any) -> Any:
        for part in parts:
            self.real.append(part.append)
        return self.real.commit(worker, [replace(part, append=()) for part in parts], **more)


class AcksBeforeEffects(Broken):
    """The ack is committed first, outputs follow in a transaction of their own."""

    def commit(self, worker: str, parts: Sequence[StreamCommit], **more: Any) -> Any:
        done = self.real.commit(worker, [replace(part, append=()) for part in parts], **more)
        outputs = self.real.append([one for part in parts for one in part.append])
        return replace(done, messages=outputs.messages)


class KeepsNothing(Broken):
    """A claim that is to be kept is given back."""

    def commit(self, worker: str, parts: Sequence[StreamCommit], **more: Any) -> Any:
        done = [replace(p, then=Done()) if isinstance(p.then, Keep) else p for p in parts]
        return self.real.commit(worker, done, **more)


class ExpectsNothing(Broken):
    """A commit checks no expectation."""

    def commit(self, worker: str, parts: Sequence[StreamCommit], **more: Any) -> Any:
        return self.real.commit(worker, [replace(part, expect={}) for part in parts], **more)


# --- claims and workers ---------------------------------------------------------------------------


class DecidesBeforeItLocks(Broken):
    """The decision that should be made under the stream's lock is made ahead of it."""

    def commit_locked(self, claim: Claim, decide: Callable[[Any], StreamCommit]) -> Any:
        decided = decide(self.real)
        reach("commit.locked")
        return self.real.commit(claim.worker, [decided])


class DecidesForZombies(Broken):
    """The decision is asked for before the claim is looked at."""

    def commit_locked(self, claim: Claim, decide: Callable[[Any], StreamCommit | None]) -> Any:
        with self.real.transaction() as transaction:
            decide(transaction)
        return self.real.commit_locked(claim, decide)


class CountsAttemptsLate(Broken):
    """An attempt is counted when the handler is done: a death leaves no trace."""

    def reap(self, lease: timedelta) -> int:
        before = len(self.real.inspect.deliveries(states=["claimed"]))
        for worker in self.real.inspect.workers():
            if worker.seen_at < self.real.now() - lease:
                self.real.leave(worker.id)
        self.real.reap(lease)
        after = len(self.real.inspect.deliveries(states=["claimed"]))
        return before - after


class ClaimsSuspectsTogether(Broken):
    """All that a dead worker held is claimed with whatever else is ready."""

    def claim(self, *args: Any, **more: Any) -> list[Claim]:
        claims: list[Claim] = []
        while found := self.real.claim(*args, **more):
            claims += found
        return claims


class ReapsTheLiving(Broken):
    """The lease is of the claim, not of the worker."""

    def reap(self, lease: timedelta) -> int:
        freed = 0
        for row in self.real.inspect.deliveries(states=["claimed"]):
            if row.claimed_at < self.real.now() - lease:
                self.real.leave(row.worker)
                freed += 1
        return freed + int(self.real.reap(lease))


class FreesForZombies(Broken):
    """A release frees the stream, whoever holds it."""

    def release(self, claims: Sequence[Claim]) -> int:
        rows = [(claim, self.row(claim)) for claim in claims]
        mine = [
            replace(claim, worker=row.worker, epoch=row.epoch, next_seq=row.next_seq)
            for claim, row in rows
            if row is not None and row.worker is not None
        ]
        freed: int = self.real.release(mine)
        return freed


# --- failures -------------------------------------------------------------------------------------


class RetriesTheGroup(Broken):
    """A retry delays every stream of its group."""

    def retry(self, claim: Claim, retry: Retry) -> None:
        self.real.retry(claim, retry)
        for other in self.real.claim(claim.group, claim.worker):
            self.real.retry(other, retry)


class RetriesGoToTheEnd(Broken):
    """A failed message waits, and those behind it are handled."""

    def retry(self, claim: Claim, retry: Retry) -> None:
        part = StreamCommit(claim=claim, ack_seq=claim.next_seq, then=retry)
        self.real.commit(claim.worker, [part])


class UnparksFromTheHead(Broken):
    """A stream that is mended goes on with what comes."""

    def unpark(self, group: str, stream_ids: Any = None, **more: Any) -> int:
        unparked: int = self.real.unpark(group, stream_ids, **more)
        worker = Given(self.real, FakeClock()).worker()
        for claim in self.real.claim(group, worker, stream_ids=stream_ids):
            self.real.commit(
                worker, [StreamCommit(claim=claim, ack_seq=self.head(claim.stream_id))]
            )
        return unparked


class SkipsAnything(Broken):
    """Whatever the seq, the next message is passed over."""

    def skip(self, group: str, stream_id: str, _seq: int, **more: Any) -> None:
        for row in self.real.inspect.deliveries(group=group, stream_id=stream_id):
            self.real.skip(group, stream_id, row.next_seq, **more)


# --- order and replay -----------------------------------------------------------------------------


class OrdersByClock(Broken):
    """Messages are read in the order of their clocks."""

    def read_pending(self, *args: Any, **more: Any) -> list[Any]:
        return [
            replace(one, messages=tuple(sorted(one.messages, key=lambda m: m.created_at)))
            for one in self.real.read_pending(*args, **more)
        ]


class MarksReplayPerGroup(Broken):
    """What lies before the highest position that the group handled counts as handled."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.highest = 0

    def claim(self, *args: Any, **more: Any) -> list[Claim]:
        return [replace(c, replay_until=self.mark(c)) for c in self.real.claim(*args, **more)]

    def mark(self, claim: Claim) -> int:
        stored = self.real.read_stream(claim.stream_id).messages
        return max((one.seq for one in stored if one.position <= self.highest), default=0)

    def commit(self, worker: str, parts: Sequence[StreamCommit], **more: Any) -> Any:
        parts = [replace(part, claim=replace(part.claim, replay_until=0)) for part in parts]
        done = self.real.commit(worker, parts, **more)
        for part in parts:
            stored = self.real.read_stream(part.claim.stream_id, upto=part.ack_seq).messages
            self.highest = max(self.highest, *(one.position for one in stored))
        return done


class ForgetsTheFirstReset(Broken):
    """A reset marks what has been handled since the last one."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.marks: dict[str, int] = {}

    def reset(self, group: str, *args: Any, **more: Any) -> Iterator[Any]:
        for stream in self.real.inspect.streams():
            self.marks[stream.stream_id] = self.real.inspect.progress(group, stream.stream_id).seq
        yield from self.real.reset(group, *args, **more)

    def claim(self, *args: Any, **more: Any) -> list[Claim]:
        return [
            replace(claim, replay_until=self.marks.get(claim.stream_id, 0))
            for claim in self.real.claim(*args, **more)
        ]


class ResetsByRemoving(Broken):
    """A reset is a removal and a registration from the beginning."""

    def reset(self, group: str, *_args: Any, **_more: Any) -> Iterator[Any]:
        types = self.real.inspect.groups([group])[0].types
        self.real.remove(group)
        self.real.register(group, types)
        return iter(())


# --- appending and scheduling ---------------------------------------------------------------------


class ExpectsAtLeast(Broken):
    """An expected seq beyond the head is taken for a stream that moved."""

    def append(self, messages: Any, *, expect: Any = None) -> Any:
        lenient = {
            stream: UnlessSince(e.seq, frozenset({"added"})) if isinstance(e, ExpectedSeq) else e
            for stream, e in (expect or {}).items()
        }
        return self.real.append(messages, expect=lenient)


class AppendsOneByOne(Broken):
    """A batch is a transaction per message."""

    def append(self, messages: Any, *, expect: Any = None) -> Any:
        done = [self.real.append([one], expect=expect) for one in messages]
        return replace(done[-1], messages=tuple(one.messages[0] for one in done))


class SwallowsRepeats(Broken):
    """A message whose id is known is dropped without a word."""

    def append(self, messages: Any, *, expect: Any = None) -> Any:
        try:
            return self.real.append(messages, expect=expect)
        except DuplicateMessageError as known:
            return self.append([one for one in messages if one.id != known.message_id])


class PromotesByInsertion(Broken):
    """Due messages enter the log in the order they were scheduled."""

    def promote_due(self, *_args: Any, **_more: Any) -> Any:
        due = self.real.inspect.schedule()
        for waiting in sorted(due, key=lambda waiting: waiting.message.id):
            self.real.cancel(waiting.message.id)
            self.real.append([waiting.message])


class HandlesPastOthers(Broken):
    """A unit takes no notice of what is pending."""

    def handle_now(self, work: Any) -> Any:
        return self.real.append(work.messages)


class StartsTwice(Broken):
    """Registering again fills the group again."""

    def register(self, group: str, types: Any, **more: Any) -> Any:
        done = self.real.register(group, types, **more)
        if not done.created:
            list(self.real.reset(group))
        return done


class HintsTooEarly(Broken):
    """Whoever waits is woken before there is anything to find."""

    def subscribe(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        self.callback = callback
        return lambda: None

    def append(self, messages: Any, **more: Any) -> Any:
        self.callback(frozenset({"G"}))
        return self.real.append(messages, **more)


CAUGHT: list[tuple[type[Broken], Callable[..., None], dict[str, Any]]] = [
    (
        ChecksNoEpoch,
        FencingConformance.test_the_same_worker_claiming_again_does_not_revive_an_old_epoch,
        {},
    ),
    (
        ChecksNoEpoch,
        FencingConformance.test_commit_after_the_lease_is_refused_while_another_holds_the_stream,
        {},
    ),
    (
        ChecksNoNextSeq,
        FencingConformance.test_an_epoch_handed_out_twice_does_not_move_a_stream_that_went_on,
        {},
    ),
    (AcksTooMuch, AckConformance.test_what_is_acked_in_parts_is_handled_once_and_in_order, {}),
    (
        LosesWakeUps,
        AckConformance.test_ack_and_append_race_on_the_last_message_and_none_is_lost,
        {},
    ),
    (
        AppendsOutputsFirst,
        CommitConformance.test_a_crash_before_the_commit_leaves_nothing_of_it,
        {"point": "commit.before_commit"},
    ),
    (
        AppendsOutputsFirst,
        FaultsConformance.test_a_crash_anywhere_loses_doubles_and_reorders_nothing,
        {"point": "commit.before_commit"},
    ),
    (
        AcksBeforeEffects,
        FaultsConformance.test_a_crash_anywhere_loses_doubles_and_reorders_nothing,
        {"point": "commit.connection_lost"},
    ),
    (KeepsNothing, AckConformance.test_keep_holds_the_claim_for_the_rest, {}),
    (
        ExpectsNothing,
        CommitConformance.test_a_decision_on_events_that_are_not_the_newest_is_refused,
        {},
    ),
    (
        CountsAttemptsLate,
        LeaseConformance.test_a_message_that_kills_is_known_after_its_attempts,
        {},
    ),
    (ClaimsSuspectsTogether, ClaimConformance.test_a_suspect_delivery_is_claimed_alone, {}),
    (
        ReapsTheLiving,
        LeaseConformance.test_a_worker_that_lives_keeps_its_claims_as_long_as_it_likes,
        {},
    ),
    (FreesForZombies, RetryConformance.test_a_zombie_frees_nobodys_claim, {}),
    (RetriesTheGroup, RetryConformance.test_a_retry_delays_its_own_stream_only, {}),
    (RetriesGoToTheEnd, RetryConformance.test_a_retry_delays_its_own_stream_only, {}),
    (
        UnparksFromTheHead,
        ParkConformance.test_unpark_handles_everything_behind_in_order_and_goes_on_live,
        {},
    ),
    (
        DecidesBeforeItLocks,
        LockedConformance.test_an_append_waits_for_the_decision_and_comes_after_it,
        {},
    ),
    (
        DecidesForZombies,
        LockedConformance.test_a_decision_for_a_claim_that_was_lost_is_never_asked_for,
        {},
    ),
    (SkipsAnything, ParkConformance.test_skip_refuses_any_other_message_than_the_next, {}),
    (OrdersByClock, PendingConformance.test_read_pending_goes_by_seq_whatever_the_clocks_say, {}),
    (
        MarksReplayPerGroup,
        ReplayConformance.test_a_message_behind_others_progress_is_not_replaying,
        {},
    ),
    (
        MarksReplayPerGroup,
        ReplayConformance.test_a_message_that_failed_while_others_advanced_is_not_replaying,
        {},
    ),
    (
        ForgetsTheFirstReset,
        ReplayConformance.test_a_second_reset_in_the_middle_of_a_replay_forgets_nothing,
        {},
    ),
    (
        ResetsByRemoving,
        ReplayConformance.test_after_a_reset_exactly_what_was_handled_is_replaying,
        {},
    ),
    (
        ExpectsAtLeast,
        AppendConformance.test_append_refuses_an_expected_seq_that_is_too_low_or_too_high,
        {"wrong": 3},
    ),
    (
        AppendsOneByOne,
        AppendConformance.test_append_refuses_an_id_that_stands_twice_in_the_batch,
        {},
    ),
    (
        SwallowsRepeats,
        AppendConformance.test_append_refuses_an_id_that_is_stored_and_says_where,
        {},
    ),
    (
        PromotesByInsertion,
        ScheduleConformance.test_due_messages_enter_in_the_order_due_then_inserted,
        {},
    ),
    (HandlesPastOthers, HandleNowConformance.test_an_older_command_is_not_overtaken, {}),
    (StartsTwice, RegisterConformance.test_registering_again_changes_nothing, {}),
    (HintsTooEarly, HintsConformance.test_work_is_committed_when_its_hint_is_given, {}),
]


def run(test: Callable[..., None], store: Any, clock: FakeClock, values: dict[str, Any]) -> None:
    """Run one test of the suite on a store, with the fixtures that it asks for."""
    fixtures = {"store": store, "other": store, "clock": clock, "given": Given(store, clock)}
    fixtures |= values
    asked = [name for name in inspect.signature(test).parameters if name != "self"]
    test(_suite_of(test)(), **{name: fixtures[name] for name in asked})


def _suite_of(test: Callable[..., None]) -> type[object]:
    suite = vars(sys.modules[test.__module__])[test.__qualname__.partition(".")[0]]
    assert isinstance(suite, type)
    return suite


@pytest.mark.parametrize(
    ("broken", "test", "values"),
    CAUGHT,
    ids=[f"{broken.__name__}-{test.__name__}" for broken, test, _ in CAUGHT],
)
def test_a_broken_store_is_caught_and_a_sound_one_passes(
    broken: type[Broken], test: Callable[..., None], values: dict[str, Any]
) -> None:
    sound, clock = FakeClock(), FakeClock()

    run(test, MemoryStore(clock=sound), sound, values)

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(test, broken(clock), clock, values)

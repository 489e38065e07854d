"""One round of one worker for one group: claim, read, handle, commit, and settle what failed.

```
claim ─┬─ set aside ── unknown type (give back or park) · a message that kills its process (park)
       ├─ suspect ──── stepwise: read one, handle, commit, keep the claim, again
       └─ handle ───── as many streams as fit the budget ── commit ─┬─ committed: remember, hooks
                          ↑                                         ├─ claim lost: drop
                          └── conflict: read and decide again ──────┤
                              sync failed: stepwise ────────────────┘
```

Whatever happens, every claim of the round has been committed, kept out of, or given back when the
round ends. An error of the store ends the round and is raised; it is no attempt of any message.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sourced._batch import Batch
from sourced._engine import Engine, logger
from sourced._failures import FAILURES
from sourced._faults import reach
from sourced._plan import Plan, sync_together
from sourced._reader import Prefetched
from sourced._registry import Registered
from sourced._settling import STORE_PAUSE, FollowUp, Settling, no_follow_up
from sourced._store import (
    Claim,
    Committed,
    Expectation,
    Keep,
    Park,
    Pending,
    ReadLimits,
    Retry,
    StreamCommit,
    Tails,
    Then,
    UnlessSince,
)
from sourced._tally import Tally
from sourced.errors import (
    ClaimLostError,
    CommitRefusedError,
    ConcurrencyError,
    StoreUnavailableError,
    UnknownTypeError,
    UsageError,
)

__all__ = ["Round"]

CONFLICTS = 10
CONFLICT_PAUSE = timedelta(seconds=1)
SHORT_HISTORY = 100


_OF_THE_COMMIT = (ClaimLostError, ConcurrencyError)


class _SyncFailedError(Exception):
    """A sync raised what a store says of a commit, or would not let through."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class _TogetherFailedError(_SyncFailedError):
    """A sync over several streams raised; anything else that a commit raises is the store's."""


class Round:
    """See the module's docstring."""

    def __init__(
        self,
        engine: Engine,
        entry: Registered,
        worker_id: str,
        *,
        stopping: Callable[[], bool] = lambda: False,
        max_messages: int | None = None,
    ) -> None:
        self._engine = engine
        self._store = engine.store
        self._entry = entry
        self._worker = worker_id
        self._stopping = stopping
        self._max_messages = max_messages or entry.setting(
            "max_messages", engine.settings.max_messages
        )
        self._held: dict[str, Claim] = {}
        self.result = Tally()
        self._settling = Settling(engine, entry, worker_id, self.result)

    def run(
        self, *, max_streams: int | None = None, stream_ids: Sequence[str] | None = None
    ) -> Tally:
        """Claim and handle once."""
        bound = max_streams or self._entry.setting("max_streams", self._engine.settings.max_streams)
        claims = self._store.claim(
            self._entry.group, self._worker, max_streams=bound, stream_ids=stream_ids
        )
        if not claims:
            return self.result
        self.result.claimed = len(claims)
        self._held = {claim.stream_id: claim for claim in claims}
        try:
            with self._engine.stamping():
                self._handle_claims(claims)
        finally:
            self._give_back()
        return self.result

    # --- from claims to plans ---------------------------------------------------------------------

    def _handle_claims(self, claims: Sequence[Claim]) -> None:
        if claims[0].suspect:
            for claim in claims:
                if not self._park_killer(claim):
                    self._stepwise(claim)
            return
        pendings, tails = self._read(claims)
        waiting = [(p, tails.get(p.claim.stream_id)) for p in pendings if self._is_ready(p)]
        plans, left = self._handle_some(waiting)
        self._commit(plans)
        self.result.claimed -= len(left)  # given back untouched, for whoever has time for them

    def _read(
        self, claims: Sequence[Claim], limits: ReadLimits | None = None
    ) -> tuple[list[Pending], dict[str, Prefetched]]:
        limits = limits or ReadLimits(messages=self._max_messages)
        tails = self._tails(claims)
        pendings = self._store.read_pending(
            claims, known_types=self._entry.types, limits=limits, tails=tails
        )
        reach("read.after")
        if tails is None:
            return pendings, {}
        return pendings, {
            p.claim.stream_id: Prefetched(
                messages=p.tail,
                types=tails.types,
                after=tails.after[p.claim.stream_id],
                to=p.tail_to,
                head=p.head,
            )
            for p in pendings
            if p.claim.stream_id in tails.after
        }

    def _tails(self, claims: Sequence[Claim]) -> Tails | None:
        """Ask for the history that deciding will need: what the cache lacks, or a short stream."""
        types = self._entry.evolved_types
        if not types or not self._entry.decides:
            return None
        after: dict[str, int] = {}
        for claim in claims:
            known = self._engine.cache.seq_of(self._entry.group, claim.stream_id, "decide")
            if known is not None:
                after[claim.stream_id] = known
            elif claim.next_seq <= SHORT_HISTORY:
                after[claim.stream_id] = 0
        return Tails(types=types, after=after) if after else None

    def _is_ready(self, pending: Pending) -> bool:
        """Set aside what has no message to handle; tell whether there is one."""
        claim = pending.claim
        if pending.unknown is not None:
            self._set_unknown_aside(pending)
            return False
        if pending.messages:
            return True
        if pending.looked_to >= claim.next_seq:
            self._commit_one(StreamCommit(claim=claim, ack_seq=pending.looked_to))
        return False

    def _handle_some(
        self, waiting: list[tuple[Pending, Prefetched | None]]
    ) -> tuple[list[Plan], list[tuple[Pending, Prefetched | None]]]:
        """Handle streams until the budget is used up; return what is left, too."""
        if getattr(self._entry.reactor, "handles_concurrently", False):
            return self._handle(waiting), []
        clock, budget = self._engine.clock, self._engine.settings.batch_budget.total_seconds()
        if getattr(self._entry.reactor, "handles_together", False):
            return self._handle(waiting), []
        began, plans = clock.monotonic(), []
        for n, item in enumerate(waiting, 1):
            plans += self._handle([item])
            if clock.monotonic() - began >= budget or self._stopping():
                return plans, waiting[n:]
        return plans, []

    def _handle(self, items: Sequence[tuple[Pending, Prefetched | None]]) -> list[Plan]:
        reach("handle.before")
        plans: list[Plan] = []
        batches: list[Batch] = []
        undecoded = []
        for pending, prefetched in items:
            batch, failure = self._engine.batch_of(self._entry, pending, prefetched)
            if batch is None:
                assert failure is not None
                self._settle_undecoded(pending, failure.error)
            else:
                batches.append(batch)
                undecoded.append(failure)
        outcomes = self._engine.handle(self._entry, batches) if batches else []
        for batch, outcome, failure in zip(batches, outcomes, undecoded, strict=True):
            plans.append(self._engine.plan(batch, outcome, failure))
        reach("handle.after_before_commit")
        return plans

    # --- committing -------------------------------------------------------------------------------

    def _commit(self, plans: Sequence[Plan]) -> None:
        """Commit plans together; those that are refused go their own ways."""
        plans = [plan for plan in plans if not self._settle_unhandled(plan)]
        decided = {plan.batch.stream_id: self._settling.then(plan) for plan in plans}
        while plans:
            try:
                committed = self._send(plans, [decided[p.batch.stream_id][0] for p in plans])
            except CommitRefusedError as refused:
                for plan in [p for p in plans if p.batch.stream_id in refused.failures]:
                    self._refused(plan, refused.failures[plan.batch.stream_id])
                plans = [p for p in plans if p.batch.stream_id not in refused.failures]
                continue
            except _TogetherFailedError as failed:
                self._one_by_one(plans, failed)
                return
            reach("ack.after")
            for plan in plans:
                self._committed(plan, committed, decided[plan.batch.stream_id][1])
            return

    def _send(self, plans: Sequence[Plan], thens: Sequence[Then]) -> Committed:
        together = sync_together(plans)
        settle = self._engine.runner.settle

        def sync_all(connection: Any) -> None:
            try:
                for sync in together:
                    settle(sync(connection))
            except FAILURES as error:
                raise _TogetherFailedError(error) from error

        commits = [self._stream_commit(plan, then) for plan, then in zip(plans, thens, strict=True)]
        try:
            return self._store.commit(self._worker, commits, sync=sync_all if together else None)
        except UsageError as error:  # such as: the sync ended the transaction it was given
            if not together:
                raise
            raise _TogetherFailedError(error) from error

    def _stream_commit(self, plan: Plan, then: Then) -> StreamCommit:
        stream_id = plan.batch.stream_id
        settle = self._engine.runner.settle

        def sync(connection: Any) -> None:
            try:
                for run in plan.syncs:
                    settle(run(connection))
            except FAILURES as error:
                if isinstance(error, Exception) and not isinstance(error, _OF_THE_COMMIT):
                    raise
                raise _SyncFailedError(error) from error

        expect: dict[str, Expectation] = {}
        if plan.expect is not None:
            expect[stream_id] = UnlessSince(plan.expect.seq, plan.expect.types)
        return StreamCommit(
            claim=self._held[stream_id],
            ack_seq=plan.ack_seq,
            then=then,
            append=tuple(plan.append),
            schedule=tuple(plan.schedule),
            expect=expect,
            sync=sync if plan.syncs else None,
            snapshot=plan.snapshot_to_store,
        )

    def _committed(self, plan: Plan, committed: Committed, follow_up: FollowUp) -> None:
        stream_id = plan.batch.stream_id
        kept = committed.kept.get(stream_id)
        if kept is None:
            self._held.pop(stream_id, None)
        else:
            self._held[stream_id] = kept
        self.result.handled += plan.handled
        mine = {message.id for message in plan.append}
        stored = [message for message in committed.messages if message.id in mine]
        self._engine.after_commit(self._entry.group, plan.after)
        self._engine.remember(plan.batch, plan.evolved, stored)
        follow_up()

    def _commit_one(self, commit: StreamCommit) -> None:
        """Commit an ack without a batch; a claim that was lost is dropped."""
        try:
            self._store.commit(self._worker, [commit])
        except CommitRefusedError as refused:
            self._log_lost(commit.claim, refused)
        self._held.pop(commit.claim.stream_id, None)

    def _one_by_one(self, plans: Sequence[Plan], error: Exception) -> None:
        """A sync over several streams failed and the culprit cannot be told: commit each alone."""
        if len(plans) == 1:
            self._refused(plans[0], error)
            return
        for plan in plans:
            self._again(plan.batch.stream_id)

    # --- what is refused --------------------------------------------------------------------------

    def _refused(self, plan: Plan, error: Exception) -> None:
        """Go on with a stream whose commit was refused."""
        stream_id = plan.batch.stream_id
        if isinstance(error, ClaimLostError):
            self._log_lost(self._held.pop(stream_id), error)
            return
        if isinstance(error, ConcurrencyError):
            self._again(stream_id)
            return
        if isinstance(error, StoreUnavailableError):
            self._give_back_later(stream_id)
            return
        if plan.handled > 1:
            self._stepwise(self._held[stream_id])
            return
        raised = error.error if isinstance(error, _SyncFailedError) else error
        plan.ack_seq = None
        plan.failure = (plan.batch.messages[0].meta.seq or plan.batch.head, raised)
        self._settle_unhandled(plan)

    def _again(self, stream_id: str) -> None:
        """Handle one stream on fresh state until nobody interferes; no attempt is counted."""
        for conflict in range(1, CONFLICTS + 1):
            pendings, tails = self._read([self._held[stream_id]])
            if not self._is_ready(pendings[0]):
                return
            plans = self._handle([(pendings[0], tails.get(stream_id))])
            if not plans or self._settle_unhandled(plans[0]):
                return
            if self._commit_alone(plans[0]):
                return
            self._engine.clock.sleep(random.uniform(0, 0.002 * 2**conflict))
        logger.warning(
            "group %s, stream %s: %d conflicts in a row; giving it back for a second",
            self._entry.group,
            stream_id,
            CONFLICTS,
        )
        self._give_back_later(stream_id, CONFLICT_PAUSE)

    def _commit_alone(self, plan: Plan) -> bool:
        """Commit one plan; False if somebody else appended meanwhile."""
        then, follow_up = self._settling.then(plan)
        try:
            committed = self._send([plan], [then])
        except CommitRefusedError as refused:
            error = refused.failures[plan.batch.stream_id]
            if isinstance(error, ConcurrencyError):
                return False
            self._refused(plan, error)
        except _TogetherFailedError as failed:
            self._refused(plan, failed)
        else:
            reach("ack.after")
            self._committed(plan, committed, follow_up)
        return True

    def _stepwise(self, claim: Claim) -> None:
        """Handle message by message, each committed, so that the one that fails is known."""
        stream_id = claim.stream_id
        for left in range(self._max_messages - 1, -1, -1):
            pendings, _ = self._read([self._held[stream_id]], ReadLimits(messages=1))
            if not self._is_ready(pendings[0]):
                return
            plans = self._handle([(pendings[0], None)])
            if not plans or self._settle_unhandled(plans[0]):
                return
            last = left == 0 or self._stopping() or plans[0].failure is not None
            if not self._step(plans[0], last=last):
                return

    def _step(self, plan: Plan, *, last: bool) -> bool:
        """Commit one message; True if the claim is kept for the next."""
        stream_id = plan.batch.stream_id
        then, follow_up = self._settling.then(plan) if last else (Keep(), no_follow_up)
        try:
            committed = self._send([plan], [then])
        except CommitRefusedError as refused:
            self._refused(plan, refused.failures[stream_id])
            return False
        except _TogetherFailedError as failed:
            self._refused(plan, failed)
            return False
        reach("ack.after")
        self._committed(plan, committed, follow_up)
        return stream_id in self._held and not last

    # --- what nothing was handled of --------------------------------------------------------------

    def _settle_unhandled(self, plan: Plan) -> bool:
        """Settle a plan of which nothing was handled; False if there is something to commit."""
        if plan.ack_seq is not None:
            return False
        self._give_up(plan.batch.stream_id, *self._settling.then(plan))
        return True

    def _settle_undecoded(self, pending: Pending, error: BaseException) -> None:
        claim = pending.claim
        self._give_up(claim.stream_id, *self._settling.undecoded(claim, pending.messages[0], error))

    def _set_unknown_aside(self, pending: Pending) -> None:
        """A type that this process does not know: leave it to those who do, or park and name it."""
        unknown, claim = pending.unknown, pending.claim
        assert unknown is not None
        if unknown.known_elsewhere:
            self._give_back_later(claim.stream_id, self._engine.settings.lease)
            return
        error = UnknownTypeError(unknown.type, f"group {claim.group!r}")
        self._park(claim, error)

    def _park_killer(self, claim: Claim) -> bool:
        """Park a stream whose next message has killed its process once too often."""
        error = self._settling.killer(claim)
        if error is None:
            return False
        self._park(claim, error)
        return True

    def _park(self, claim: Claim, error: Exception) -> None:
        page = self._store.read_stream(claim.stream_id, after=claim.next_seq - 1, limit=1)
        record = page.messages[0] if page.messages else None
        self._give_up(claim.stream_id, *self._settling.park(claim, record, error))

    def _give_up(self, stream_id: str, then: Then, follow_up: FollowUp = no_follow_up) -> None:
        """Let go of a stream of which nothing was handled."""
        claim = self._held.pop(stream_id)
        try:
            if isinstance(then, Retry):
                self._store.retry(claim, then)
            elif isinstance(then, Park):
                self._store.park(claim, then)
            else:
                self._store.release([claim])
        except ClaimLostError as error:
            self._log_lost(claim, error)
            return
        follow_up()

    def _give_back_later(self, stream_id: str, after: timedelta = STORE_PAUSE) -> None:
        self._give_up(stream_id, Retry(after=after, counts=False))

    def _give_back(self) -> None:
        """Release what is still held, untouched; what cannot be comes back by its lease."""
        claims, self._held = list(self._held.values()), {}
        if not claims:
            return
        try:
            self._store.release(claims)
        except Exception:  # noqa: BLE001 - the error that ended the round must not be hidden
            logger.warning("could not release %d claims; their lease will", len(claims))

    def _log_lost(self, claim: Claim, error: Exception) -> None:
        logger.warning(
            "lease_lost: group %s, stream %s: %s",
            claim.group,
            claim.stream_id,
            error,
            extra={"group": claim.group, "stream": claim.stream_id, "worker": self._worker},
        )

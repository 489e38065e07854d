"""One round of one worker for one group: claim, read, handle, commit, and settle what failed.

```
claim ─┬─ set aside ── unknown type (give back or park) · a message that kills its process (park)
       ├─ suspect ──── stepwise: read one, handle, commit, keep the claim, again
       └─ handle ───── as many streams as fit the budget ── commit ─┬─ committed: remember, hooks
                          ↑                                         ├─ claim lost: drop
                          └── conflict: read and decide again ──────┤
                              ten conflicts: stepwise, under lock ──┤
                              sync failed: stepwise ────────────────┘
```

Whatever happens, every claim of the round has been committed, kept out of, or given back when the
round ends. An error of the store ends the round and is raised; it is no attempt of any message.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta

from sourced._batch import Batch
from sourced._committing import Committing, SyncFailedError, TogetherFailedError
from sourced._engine import Engine, logger
from sourced._faults import reach
from sourced._held import Held
from sourced._plan import Plan
from sourced._reader import Prefetched
from sourced._registry import Registered
from sourced._settling import Settling, no_follow_up
from sourced._store import (
    Claim,
    Done,
    Keep,
    Pending,
    ReadLimits,
    StreamCommit,
    Tails,
    Transaction,
)
from sourced._tally import Tally
from sourced.errors import (
    ClaimLostError,
    CommitRefusedError,
    ConcurrencyError,
    StoreUnavailableError,
    UnknownTypeError,
)

__all__ = ["Round"]

CONFLICTS = 10
CONFLICT_PAUSE = timedelta(seconds=1)
SHORT_HISTORY = 100


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
        self.result = Tally()
        self._held = Held(engine.store)
        self._settling = Settling(engine, entry, worker_id, self.result)
        self._committing = Committing(engine, worker_id, self._held, self.result)

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
        self._held.take(claims)
        try:
            with self._engine.stamping():
                self._handle_claims(claims)
        finally:
            self._held.give_back()
        return self.result

    # --- from claims to plans ---------------------------------------------------------------------

    def _handle_claims(self, claims: Sequence[Claim]) -> None:
        if claims[0].suspect:
            for claim in claims:
                if not self._park_killer(claim):
                    self._stepwise(claim.stream_id)
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
            self._committing.ack(StreamCommit(claim=claim, ack_seq=pending.looked_to))
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
        thens = {plan.batch.stream_id: self._settling.then(plan) for plan in plans}
        while plans:
            try:
                self._committing.send(plans, [thens[plan.batch.stream_id] for plan in plans])
            except CommitRefusedError as refused:
                for plan in [p for p in plans if p.batch.stream_id in refused.failures]:
                    self._refused(plan, refused.failures[plan.batch.stream_id])
                plans = [p for p in plans if p.batch.stream_id not in refused.failures]
            except TogetherFailedError as failed:
                self._one_by_one(plans, failed)
                return
            else:
                return

    def _one_by_one(self, plans: Sequence[Plan], error: Exception) -> None:
        """A sync over several streams failed and the culprit cannot be told: commit each alone."""
        if len(plans) == 1:
            self._refused(plans[0], error)
            return
        for plan in plans:
            self._again(plan.batch.stream_id)

    def _refused(self, plan: Plan, error: Exception) -> None:
        """Go on with a stream whose commit was refused."""
        stream_id = plan.batch.stream_id
        if isinstance(error, ClaimLostError):
            self._held.lost(stream_id, error)
            return
        if isinstance(error, ConcurrencyError):
            self._again(stream_id)
            return
        if isinstance(error, StoreUnavailableError):
            self._held.give_back_later(stream_id)
            return
        if plan.handled > 1:
            self._stepwise(stream_id)
            return
        raised = error.error if isinstance(error, SyncFailedError) else error
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
        logger.info(
            "group %s, stream %s: %d conflicts in a row; deciding under the stream's lock",
            self._entry.group,
            stream_id,
            CONFLICTS,
        )
        self._stepwise(stream_id, locked=True)

    def _commit_alone(self, plan: Plan) -> bool:
        """Commit one plan; False if somebody else appended meanwhile."""
        try:
            self._committing.send([plan], [self._settling.then(plan)])
        except CommitRefusedError as refused:
            error = refused.failures[plan.batch.stream_id]
            if isinstance(error, ConcurrencyError):
                return False
            self._refused(plan, error)
        except TogetherFailedError as failed:
            self._refused(plan, failed)
        return True

    # --- message by message -----------------------------------------------------------------------

    def _stepwise(self, stream_id: str, *, locked: bool = False) -> None:
        """Handle message by message, each committed, so that the one that fails is known.

        Args:
            stream_id: the stream.
            locked: decide commands under the stream's lock, since others append all the time.
        """
        for left in range(self._max_messages - 1, -1, -1):
            pendings, _ = self._read([self._held[stream_id]], ReadLimits(messages=1))
            if not self._is_ready(pendings[0]):
                return
            last = left == 0 or self._stopping()
            if locked and self._is_decided_here(pendings[0]):
                goes_on = self._step_locked(pendings[0], last=last)
            else:
                goes_on = self._step(pendings[0], last=last)
            if not goes_on:
                return

    def _step(self, pending: Pending, *, last: bool) -> bool:
        """Handle and commit one message; True if the claim is kept for the next."""
        plans = self._handle([(pending, None)])
        if not plans or self._settle_unhandled(plans[0]):
            return False
        (plan,) = plans
        last = last or plan.failure is not None
        then = self._settling.then(plan) if last else (Keep(), no_follow_up)
        stream_id = pending.claim.stream_id
        try:
            self._committing.send(plans, [then])
        except CommitRefusedError as refused:
            self._refused(plan, refused.failures[stream_id])
            return False
        except TogetherFailedError as failed:
            self._refused(plan, failed)
            return False
        return stream_id in self._held and not last

    def _step_locked(self, pending: Pending, *, last: bool) -> bool:
        """Decide one command under its stream's lock; True if the claim is kept for the next."""
        stream_id = pending.claim.stream_id
        decided: list[Plan] = []

        def decide(transaction: Transaction) -> Plan:
            batch, _ = self._engine.batch_of(self._entry, pending, transaction=transaction)
            assert batch is not None, "it was decoded before"
            outcomes = self._engine.decide_here(self._entry, batch)
            plan = self._engine.plan(batch, outcomes)
            if plan.failure is not None and isinstance(plan.failure[1], StoreUnavailableError):
                raise plan.failure[1]  # the transaction is of no use any more
            decided.append(plan)
            return plan

        try:
            failed = self._committing.send_locked(stream_id, decide, Done() if last else Keep())
        except CommitRefusedError as refused:
            error = refused.failures[stream_id]
            if isinstance(error, ClaimLostError):
                self._held.lost(stream_id, error)
            elif isinstance(error, ConcurrencyError):  # only if a store did not lock
                self._held.give_back_later(stream_id, CONFLICT_PAUSE)
            else:
                self._refused(decided[0], error)
            return False
        if failed is not None:
            self._settle_unhandled(failed)
            return False
        return stream_id in self._held and not last

    def _is_decided_here(self, pending: Pending) -> bool:
        """Tell whether the next message is a command that this reactor decides."""
        batch, _ = self._engine.batch_of(self._entry, pending)
        return batch is not None and isinstance(batch.messages[0], tuple(self._entry.decides))

    # --- what nothing was handled of --------------------------------------------------------------

    def _settle_unhandled(self, plan: Plan) -> bool:
        """Settle a plan of which nothing was handled; False if there is something to commit."""
        if plan.ack_seq is not None:
            return False
        self._held.give_up(plan.batch.stream_id, *self._settling.then(plan))
        return True

    def _settle_undecoded(self, pending: Pending, error: BaseException) -> None:
        claim = pending.claim
        settled = self._settling.undecoded(claim, pending.messages[0], error)
        self._held.give_up(claim.stream_id, *settled)

    def _set_unknown_aside(self, pending: Pending) -> None:
        """A type that this process does not know: leave it to those who do, or park and name it."""
        unknown, claim = pending.unknown, pending.claim
        assert unknown is not None
        if unknown.known_elsewhere:
            self._held.give_back_later(claim.stream_id, self._engine.settings.lease)
            return
        self._park(claim, UnknownTypeError(unknown.type, f"group {claim.group!r}"))

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
        self._held.give_up(claim.stream_id, *self._settling.park(claim, record, error))

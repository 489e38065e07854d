"""From claims to plans: what is pending is read, set aside if it cannot be handled, or handled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from sourced._batch import Batch
from sourced._committing import Committing
from sourced._engine import Engine
from sourced._faults import reach
from sourced._held import Held
from sourced._metrics import HANDLE_SECONDS
from sourced._outcomes import Fail
from sourced._plan import Plan
from sourced._reader import Prefetched
from sourced._registry import Registered
from sourced._settling import Settling
from sourced._store import Claim, Pending, ReadLimits, StreamCommit, Tails, Transaction
from sourced.errors import StoreUnavailableError, UnknownTypeError

__all__ = ["Handling", "Ready"]

SHORT_HISTORY = 100


@dataclass(frozen=True, slots=True)
class Ready:
    """What one stream has to handle, with the history that came along."""

    pending: Pending
    history: Prefetched | None = None

    @property
    def stream_id(self) -> str:
        """The stream."""
        return self.pending.claim.stream_id


class Handling:
    """Handles what a worker holds for one group; commits nothing but what needs no handler."""

    def __init__(
        self,
        engine: Engine,
        entry: Registered,
        held: Held,
        settling: Settling,
        committing: Committing,
    ) -> None:
        self._engine = engine
        self._entry = entry
        self._held = held
        self._settling = settling
        self._committing = committing
        self._took: dict[str, list[float]] = {"ok": [], "failed": []}

    def note_times(self) -> None:
        """Measure, once for the round, how long each go of its handlers took."""
        for outcome, seconds in self._took.items():
            if seconds:
                labels = (self._entry.group, outcome)
                self._engine.metrics.observe(HANDLE_SECONDS, labels, seconds)

    def read(self, claims: Sequence[Claim], limit: int) -> list[Ready]:
        """Return what there is to handle, at most `limit` messages of a stream."""
        tails = self._tails(claims)
        pendings = self._engine.store.read_pending(
            claims,
            known_types=self._entry.types,
            limits=ReadLimits(messages=limit),
            tails=tails,
        )
        reach("read.after")
        return [Ready(p, _history(p, tails)) for p in pendings if self._is_ready(p)]

    def plan(self, ready: Sequence[Ready]) -> list[Plan]:
        """Let the reactor handle streams; those of which it handles nothing are let go of."""
        reach("handle.before")
        batches: list[Batch] = []
        undecoded = []
        for each in ready:
            batch, failure = self._engine.batch_of(self._entry, each.pending, each.history)
            if batch is None:
                assert failure is not None
                self._settle_undecoded(each.pending, failure.error)
            else:
                batches.append(batch)
                undecoded.append(failure)
        plans = self._handled(batches, undecoded) if batches else []
        reach("handle.after_before_commit")
        return [plan for plan in plans if not self.settle_unhandled(plan)]

    def _handled(self, batches: Sequence[Batch], undecoded: Sequence[Fail | None]) -> list[Plan]:
        began = perf_counter()
        with self._engine.tracing.handling(self._entry.group, batches) as failed:
            outcomes = self._engine.handle(self._entry, batches)
            plans = [
                self._engine.plan(batch, outcome, failure)
                for batch, outcome, failure in zip(batches, outcomes, undecoded, strict=True)
            ]
            errors = [plan.failure[1] for plan in plans if plan.failure is not None]
            for error in errors:
                failed(error)
        self._took["failed" if errors else "ok"].append(perf_counter() - began)
        return plans

    def plan_in(self, transaction: Transaction, ready: Ready) -> Plan:
        """Let the reactor decide a command by what a transaction reads.

        Raises:
            StoreUnavailableError: it could not be read, so the transaction is of no use any more.
        """
        batch, _ = self._engine.batch_of(self._entry, ready.pending, transaction=transaction)
        assert batch is not None, "is_decided has decoded it"
        with self._engine.tracing.handling(self._entry.group, [batch]) as failed:
            plan = self._engine.plan(batch, self._engine.decide_here(self._entry, batch))
            if plan.failure is not None:
                failed(plan.failure[1])
        if plan.failure is not None and isinstance(plan.failure[1], StoreUnavailableError):
            raise plan.failure[1]
        return plan

    def is_decided(self, ready: Ready) -> bool:
        """Tell whether the next message is a command that the reactor decides."""
        batch, _ = self._engine.batch_of(self._entry, ready.pending)
        return batch is not None and isinstance(batch.messages[0], tuple(self._entry.decides))

    def settle_unhandled(self, plan: Plan) -> bool:
        """Let go of a stream of which nothing was handled; False if something was."""
        if plan.ack_seq is not None:
            return False
        self._held.give_up(plan.batch.stream_id, *self._settling.then(plan))
        self._engine.notices.committed([plan.batch])  # who waits for a parked stream waits no more
        return True

    def park_killer(self, claim: Claim) -> bool:
        """Park a stream whose next message has killed its process once too often."""
        error = self._settling.killer(claim)
        if error is None:
            return False
        self._park(claim, error)
        return True

    # --- history ----------------------------------------------------------------------------------

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

    # --- what is set aside ------------------------------------------------------------------------

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

    def _set_unknown_aside(self, pending: Pending) -> None:
        """A type that this process does not know: leave it to those who do, or park and name it."""
        unknown, claim = pending.unknown, pending.claim
        assert unknown is not None
        if unknown.known_elsewhere:
            self._held.give_back_later(claim.stream_id, self._engine.settings.lease)
            return
        self._park(claim, UnknownTypeError(unknown.type, f"group {claim.group!r}"))

    def _settle_undecoded(self, pending: Pending, error: BaseException) -> None:
        claim = pending.claim
        settled = self._settling.undecoded(claim, pending.messages[0], error)
        self._held.give_up(claim.stream_id, *settled)

    def _park(self, claim: Claim, error: Exception) -> None:
        page = self._engine.store.read_stream(claim.stream_id, after=claim.next_seq - 1, limit=1)
        record = page.messages[0] if page.messages else None
        self._held.give_up(claim.stream_id, *self._settling.park(claim, record, error))


def _history(pending: Pending, tails: Tails | None) -> Prefetched | None:
    after = None if tails is None else tails.after.get(pending.claim.stream_id)
    if tails is None or after is None:
        return None
    return Prefetched(
        messages=pending.tail, types=tails.types, after=after, to=pending.tail_to, head=pending.head
    )

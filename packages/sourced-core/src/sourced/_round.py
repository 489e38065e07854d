"""One round of one worker for one group: claim, read, handle, commit, and settle what failed.

```
claim ─┬─ suspect ─┬─ killed its process too often ── park
       │           └─ alone, message by message; one at a time in this process
       └─ read ─┬─ unknown type ── give back or park
                └─ handle ── as many streams as fit the budget ── commit together ─┬─ committed
                                                                                   └─ refused
       what did not fit is given back, then what was refused is handled alone, see `_alone`
```

Whatever happens, every claim of the round has been committed, kept out of, or given back when the
round ends. An error of the store ends the round and is raised; it is no attempt of any message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from sourced._alone import Alone
from sourced._committing import Committing, TogetherFailedError
from sourced._engine import Engine
from sourced._handling import Handling, Ready
from sourced._held import Held
from sourced._plan import Plan
from sourced._registry import Registered
from sourced._settling import Settling
from sourced._store import Claim
from sourced._tally import Tally

__all__ = ["Round"]

Refused = list[tuple[Plan, Exception, bool]]
"""Plans that could not be committed, why, and whether they are to blame for it."""


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
        self._entry = entry
        self._worker = worker_id
        self._stopping = stopping
        self._bound = max_messages or entry.setting("max_messages", engine.settings.max_messages)
        self.result = Tally()
        self._held = Held(engine)
        self._settling = Settling(engine, entry, worker_id, self.result)
        self._committing = Committing(engine, worker_id, self._held, self.result)
        self._handling = Handling(engine, entry, self._held, self._settling, self._committing)
        self._alone = Alone(
            self._handling,
            self._committing,
            self._settling,
            self._held,
            engine.clock,
            bound=self._bound,
            stopping=stopping,
        )

    @property
    def is_in_doubt(self) -> bool:
        """Whether the worker may hold a claim that it does not know of."""
        return self._held.is_in_doubt

    def run(
        self, *, max_streams: int | None = None, stream_ids: Sequence[str] | None = None
    ) -> Tally:
        """Claim and handle once."""
        bound = max_streams or self._entry.setting("max_streams", self._engine.settings.max_streams)
        with ExitStack() as until_handled:
            self._run(self._claims(bound, stream_ids, until_handled))
        return self.result

    def _claims(
        self, bound: int, stream_ids: Sequence[str] | None, until_handled: ExitStack
    ) -> list[Claim]:
        """Claim; a suspect delivery only if no other thread of this process is at one."""
        claim = partial(self._engine.store.claim, self._entry.group, self._worker)
        if stream_ids is not None:  # whoever names a stream waits for it
            return claim(max_streams=bound, stream_ids=stream_ids)
        lock = self._engine.at_suspect
        with ExitStack() as until_claimed:
            is_free = lock.acquire(blocking=False)
            if is_free:
                until_claimed.callback(lock.release)
            claims = claim(max_streams=bound, suspects=is_free)
            if claims and claims[0].suspect:
                until_handled.push(until_claimed.pop_all())
        return claims

    def _run(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return
        self.result.claimed = len(claims)
        self._held.take(claims)
        try:
            with self._engine.stamping():
                self._handle(claims)
        finally:
            self._handling.note_times()
            self._held.give_back()

    def _handle(self, claims: Sequence[Claim]) -> None:
        if claims[0].suspect:
            for claim in claims:
                if not self._handling.park_killer(claim):
                    self._alone.run(claim.stream_id, size=1)
            return
        plans, left = self._plan_some(self._handling.read(claims, self._bound))
        refused = self._commit(plans)
        self._held.give_back(ready.stream_id for ready in left)
        self.result.claimed -= len(left)  # untouched, for whoever has time for them
        for plan, error, is_culprit in refused:
            self._alone.go_on(plan, error, is_culprit=is_culprit)

    def _plan_some(self, ready: list[Ready]) -> tuple[list[Plan], list[Ready]]:
        """Handle streams until the budget is used up; return what is left, too."""
        reactor = self._entry.reactor
        if getattr(reactor, "handles_concurrently", False) or getattr(
            reactor, "handles_together", False
        ):
            return self._handling.plan(ready), []
        clock, budget = self._engine.clock, self._engine.settings.batch_budget.total_seconds()
        began, plans = clock.monotonic(), list[Plan]()
        for n, each in enumerate(ready, 1):
            plans += self._handling.plan([each])
            if clock.monotonic() - began >= budget or self._stopping():
                return plans, ready[n:]
        return plans, []

    def _commit(self, plans: list[Plan]) -> Refused:
        """Commit plans together, without those that are refused; return these."""
        refused: Refused = []
        thens = {plan.batch.stream_id: self._settling.then(plan) for plan in plans}
        while plans:
            failures = self._committing.send(plans, [thens[p.batch.stream_id] for p in plans])
            are_many = len(plans) > 1
            for plan in plans:
                error = failures.get(plan.batch.stream_id)
                if error is not None:
                    is_culprit = not (are_many and isinstance(error, TogetherFailedError))
                    refused.append((plan, error, is_culprit))
            if not failures:
                break
            plans = [plan for plan in plans if plan.batch.stream_id not in failures]
        return refused

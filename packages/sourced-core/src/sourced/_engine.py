"""What every round shares: the store, the cache of states, the event loop and the settings."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sourced._async import AsyncRunner
from sourced._batch import Batch, Remembered, StreamReader
from sourced._clock import Clock, ambient_clock
from sourced._errors_policy import (
    Decision,
    ErrorPolicy,
    Failure,
    Park,
    Policy,
    checked_decision,
)
from sourced._failures import FAILURES, kind_of
from sourced._messages import Message, decode
from sourced._metrics import Metrics
from sourced._notices import Notices
from sourced._outcomes import Evolved, Fail, Outcomes
from sourced._plan import Plan, plan_of
from sourced._reader import Prefetched, StoreReader, TransactionReader
from sourced._records import StoredMessage
from sourced._registry import Registered
from sourced._running import run_now
from sourced._settings import Settings
from sourced._state_cache import StateCache
from sourced._store import Claim, Pending, Store, Transaction
from sourced._timeouts import Timeouts
from sourced._tracing import NO_TRACING, Tracing
from sourced.errors import StoreUnavailableError, UsageError

__all__ = ["UNREMEMBERED", "Engine", "logger"]

logger = logging.getLogger("sourced")

UNREMEMBERED = "load"
"""The role of a state that lives in the user's own storage: carried on in a unit, never cached."""


@dataclass(slots=True)
class Engine:
    """The parts that handling needs, once per app.

    Attributes:
        at_suspect: held by the round that handles a suspect delivery. If the process dies of it,
            the others that are in hand must not be taken for the cause, again and again.
        timeouts: waits of handlers' own statements, in a row.
        metrics: what this process counts and measures.
        tracing: is told of appends and handling.
        notices: told of every batch that is committed here.
    """

    store: Store
    clock: Clock
    settings: Settings
    cache: StateCache
    runner: AsyncRunner = field(default_factory=AsyncRunner)
    at_suspect: threading.Lock = field(default_factory=threading.Lock)
    timeouts: Timeouts = field(default_factory=Timeouts)
    metrics: Metrics = field(default_factory=Metrics)
    tracing: Tracing = NO_TRACING
    notices: Notices = field(default_factory=Notices)

    @contextmanager
    def stamping(self) -> Iterator[None]:
        """Let messages that are made inside take their time from the app's clock."""
        token = ambient_clock.set(self.clock)
        try:
            yield
        finally:
            ambient_clock.reset(token)

    def batch_of(
        self,
        entry: Registered,
        pending: Pending,
        prefetched: Prefetched | None = None,
        transaction: Transaction | None = None,
    ) -> tuple[Batch | None, Fail | None]:
        """Decode what is pending: the messages before the first one that does not decode.

        What was before them is read from the store, or in a transaction if one is given.
        """
        messages: list[Message] = []
        failure: Fail | None = None
        for record in pending.messages:
            try:
                messages.append(decode(record))
            except Exception as error:  # noqa: BLE001 - whatever a codec raises, the message fails
                failure = Fail(record.seq, error)
                break
        if not messages:
            return None, failure
        claim = pending.claim
        batch = Batch(
            group=entry.group,
            stream_id=claim.stream_id,
            messages=tuple(messages),
            reader=self._reader(claim, prefetched, transaction),
            head=pending.head,
            replay_until=claim.replay_until,
            restarted=claim.restarted,
            attempt=claim.attempts,
        )
        return batch, failure

    def _reader(
        self, claim: Claim, prefetched: Prefetched | None, transaction: Transaction | None
    ) -> StreamReader:
        group, stream_id = claim.group, claim.stream_id
        if transaction is not None:
            return TransactionReader(transaction, group, stream_id, cache=self.cache)
        return StoreReader(self.store, group, stream_id, cache=self.cache, prefetched=prefetched)

    def decide_here(self, entry: Registered, batch: Batch) -> Outcomes:
        """Let an actor decide commands in this very thread, which holds a lock for it.

        Commands are plain functions, so nothing is waited for, though the class may have async
        reactions.
        """

        def decide(batch: Batch) -> Any:
            result = entry.reactor.handle_batch(batch)
            return run_now(result) if inspect.iscoroutine(result) else result

        return _outcomes(batch, _attempt(decide, batch))

    def handle(self, entry: Registered, batches: Sequence[Batch]) -> list[Outcomes]:
        """Let the reactor handle batches of different streams; an escaped error becomes a `Fail`.

        Those that are coroutines run at the same time.
        """
        if len(batches) > 1 and getattr(entry.reactor, "handles_together", False):
            try:
                together = entry.reactor.handle_batches(batches)
                return list(self.runner.settle(together, _about(*batches)))
            except Exception:
                logger.debug(
                    "group %s: handling streams one by one",
                    entry.group,
                    exc_info=True,
                    extra={"group": entry.group},
                )
        results = [_attempt(entry.reactor.handle_batch, batch) for batch in batches]
        waiting = [n for n, result in enumerate(results) if inspect.isawaitable(result)]
        if waiting:
            settled = self.runner.gather_all(
                [results[n] for n in waiting], [_about(batches[n]) for n in waiting]
            )
            for n, result in zip(waiting, settled, strict=True):
                results[n] = result
        return [_outcomes(batch, result) for batch, result in zip(batches, results, strict=True)]

    def plan(self, batch: Batch, outcomes: Outcomes, undecoded: Fail | None = None) -> Plan:
        """Fold outcomes into a plan; a message that did not decode fails after all before it."""
        try:
            plan = plan_of(batch, outcomes, self.store.now)
        except StoreUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - the reactor asked for what cannot be
            return Plan(batch, failure=(batch.messages[0].meta.seq or batch.head, error))
        if plan.failure is None and undecoded is not None:
            plan.failure = (undecoded.seq, undecoded.error)
        return plan

    def decide(self, entry: Registered, failure: Failure) -> Decision:
        """Ask the policy; one that raises, or decides what cannot be, parks the stream."""
        policy: Policy = entry.setting("error_policy", self.settings.errors)
        try:
            return checked_decision(policy(failure), self.store.now())
        except StoreUnavailableError:
            raise
        except Exception:
            logger.exception(
                "the error policy of group %s failed; parking",
                failure.group,
                extra=failure.named(),
            )
            return Park()

    def tell(self, entry: Registered, decision: Decision, failure: Failure) -> None:
        """Tell the policy's callback what was decided, once it is done."""
        policy: Policy = entry.setting("error_policy", self.settings.errors)
        told = policy.told(decision) if isinstance(policy, ErrorPolicy) else None
        if told is not None:
            what = f"a callback of group {entry.group}"
            self.call_safely(lambda: told(failure), what, failure.named())

    def remember(
        self, batch: Batch, evolved: Sequence[Evolved], stored: Sequence[StoredMessage]
    ) -> None:
        """Put states into the cache, now that what they rest on is committed."""
        own = [message.seq for message in stored if message.stream_id == batch.stream_id]
        for state in evolved:
            if state.role == UNREMEMBERED:
                continue
            seq = max([state.seq, *own]) if state.includes_appended else state.seq
            entry = Remembered(state.state, seq, state.snapshot_seq)
            self.cache.put(batch.group, batch.stream_id, state.role, entry)

    def after_commit(self, group: str, hooks: Sequence[Callable[[], object]]) -> None:
        """Run hooks that follow a commit; their errors are logged."""
        for hook in hooks:
            what = f"after_commit of group {group}"
            self.call_safely(partial(self._settled, hook, what), what, {"group": group})

    def _settled(self, hook: Callable[[], object], what: str) -> None:
        self.runner.settle(hook(), what)

    def call_safely(self, call: Callable[[], Any], what: str, named: Mapping[str, str]) -> None:
        """Call what must not break the engine; an error is logged with what it belongs to."""
        try:
            call()
        except FAILURES:
            logger.exception("%s failed", what, extra=dict(named))


def _attempt(handle: Callable[[Batch], Any], batch: Batch) -> Any:
    try:
        return handle(batch)
    except FAILURES as error:
        return error


def _about(*batches: Batch) -> str:
    streams = ", ".join(batch.stream_id for batch in batches[:3])
    more = f" and {len(batches) - 3} more" if len(batches) > 3 else ""
    return f"group {batches[0].group}, stream{'s' * (len(batches) > 1)} {streams}{more}"


def _outcomes(batch: Batch, result: Any) -> Outcomes:
    """Return what a reactor asked for; what it raised, or a wrong answer, as a `Fail`."""
    if isinstance(result, Sequence) and not isinstance(result, str | bytes):
        return result
    if not isinstance(result, BaseException):
        result = UsageError(
            f"handle_batch returned {kind_of(result)}; "
            "return a list of outcomes, such as [Ack(seq)]"
        )
    if not isinstance(result, FAILURES):
        raise result
    return [Fail(batch.messages[0].meta.seq or batch.head, result)]

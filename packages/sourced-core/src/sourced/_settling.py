"""What becomes of a message that failed: asks the policy, records the failure, follows it up."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from sourced import _errors_policy as policy
from sourced._engine import Engine, logger
from sourced._errors_policy import Failure, failure_record
from sourced._failures import safe_repr
from sourced._metrics import PARKED, RETRIES, SKIPPED
from sourced._plan import Plan
from sourced._records import StoredMessage
from sourced._registry import Registered
from sourced._store import Claim, Done, Operator, Park, Release, Retry, Then
from sourced._tally import Tally
from sourced._timeouts import FREE
from sourced.errors import (
    BusyError,
    NotFoundError,
    PayloadError,
    StatementTimeoutError,
    StoreUnavailableError,
    StreamLockedError,
    WorkerDiedError,
)

__all__ = ["STORE_PAUSE", "FollowUp", "Settling", "no_follow_up"]

STORE_PAUSE = timedelta(seconds=1)
DEFAULT_RETRIES = 5

FollowUp = Callable[[], None]


class Settling:
    """Decides for one group and one worker; writes nothing but what follows a decision."""

    def __init__(self, engine: Engine, entry: Registered, worker_id: str, tally: Tally) -> None:
        self._engine = engine
        self._entry = entry
        self._worker = worker_id
        self._tally = tally
        self._is_tripped = False

    def then(self, plan: Plan) -> tuple[Then, FollowUp]:
        """Decide what becomes of the rest of a stream, and what to do once that is committed."""
        if plan.failure is None:
            return Done(), no_follow_up
        seq, error = plan.failure
        message = next((m for m in plan.batch.messages if m.meta.seq == seq), None)
        return self.decide(
            Failure(
                exception=error,
                message=message,
                message_id=str(message.meta.id) if message else "",
                type=message.meta.type if message else "",
                seq=seq,
                group=self._entry.group,
                stream_id=plan.batch.stream_id,
                attempt=plan.batch.attempt if plan.ack_seq is None else 1,
                correlation_id=str(message.meta.correlation_id) if message else "",
            )
        )

    def undecoded(
        self, claim: Claim, record: StoredMessage, error: BaseException
    ) -> tuple[Then, FollowUp]:
        """Decide about a message that does not decode."""
        return self.decide(self._failure(claim, record, error))

    def decide(self, failure: Failure) -> tuple[Then, FollowUp]:
        """Ask the policy; trouble of the store is no attempt of the message and asks nobody.

        A statement of the handler's own that waits too long is such trouble up to some number in a
        row, see `_timeouts`; a stream that somebody keeps locked always is. Nothing is counted,
        logged or told before the decision is carried out: it may be decided again on fresh state.
        """
        error = failure.exception
        count = self._engine.timeouts.next_of(failure.group, failure.stream_id, failure.seq)
        if isinstance(error, StreamLockedError):
            return self._wait(failure, count, "waiting until its stream is let go of")
        if isinstance(error, StatementTimeoutError):
            if count <= FREE:
                told = f"{count} of {FREE} in a row that are no attempt; waiting"
                return self._wait(failure, count, told)
            return self._ask(replace(failure, exception=error.__cause__ or error), count)
        if isinstance(error, StoreUnavailableError):
            return Retry(after=STORE_PAUSE, counts=False), no_follow_up
        return self._ask(failure)

    def _wait(self, failure: Failure, count: int, told: str) -> tuple[Then, FollowUp]:
        """Leave a stream alone for a while, without an attempt; what it waited for is kept."""
        after = self._engine.timeouts.pause(count)
        then = Retry(after=after, counts=False, error=self._record(failure))
        return then, partial(self._has_waited, failure, count, told)

    def _ask(self, failure: Failure, waits: int = 0) -> tuple[Then, FollowUp]:
        if self._is_tripped:  # the group is stopped: enough of its streams are parked
            return Release(), no_follow_up
        decision = self._engine.decide(self._entry, failure)
        then: Then = Release()
        if isinstance(decision, policy.Retry):
            then = Retry(at=decision.at, after=decision.after, error=self._record(failure))
        elif isinstance(decision, policy.Park):
            then = Park(error=self._record(failure))
        return then, partial(self._carried_out, failure, decision, waits)

    def park(
        self, claim: Claim, record: StoredMessage | None, error: Exception
    ) -> tuple[Then, FollowUp]:
        """Set a stream aside without asking: no policy can help."""
        failure = self._failure(claim, record, error)
        then = Park(error=self._record(failure))
        return then, partial(self._carried_out, failure, policy.Park())

    def killer(self, claim: Claim) -> WorkerDiedError | None:
        """Return the error of a suspect whose next message has killed its process too often.

        The first death may have been that of any stream in hand, so each is tried alone at least
        once.
        """
        chosen = self._entry.setting("error_policy", self._engine.settings.errors)
        retries = getattr(chosen, "retries", DEFAULT_RETRIES)
        if claim.attempts <= max(retries, 1) + 1:
            return None
        return WorkerDiedError(claim.group, claim.stream_id, claim.attempts - 1)

    def _failure(self, claim: Claim, record: StoredMessage | None, error: BaseException) -> Failure:
        return Failure(
            exception=error,
            message=None,
            message_id=str(record.id) if record else "",
            type=record.type if record else "",
            seq=record.seq if record else claim.next_seq,
            group=claim.group,
            stream_id=claim.stream_id,
            attempt=claim.attempts,
            correlation_id=str(record.correlation_id) if record else "",
        )

    def _record(self, failure: Failure) -> str:
        return failure_record(
            failure,
            worker=self._worker,
            code_version=self._engine.settings.code_version,
            at=self._engine.store.now(),
        )

    # --- what follows -----------------------------------------------------------------------------

    def _has_waited(self, failure: Failure, count: int, told: str) -> None:
        self._note_waits(failure, count)
        self._log(failure, told)

    def _note_waits(self, failure: Failure, count: int) -> None:
        self._engine.timeouts.note(failure.group, failure.stream_id, failure.seq, count)

    def _carried_out(self, failure: Failure, decision: policy.Decision, waits: int = 0) -> None:
        is_row = waits and isinstance(decision, policy.Retry)
        self._note_waits(failure, waits if is_row else 0)
        self._log(failure, type(decision).__name__.lower())
        metrics, labels = self._engine.metrics, (failure.group, failure.type)
        match decision:
            case policy.Retry():
                self._tally.retried += 1
                metrics.add(RETRIES, labels)
            case policy.Park():
                self._tally.parked += 1
                metrics.add(PARKED, labels)
                self._trip_breaker()
            case policy.Stop(reason=reason):
                self._tally.stopped += 1
                self._stop(failure, reason)
            case policy.Skip(reason=reason):
                self._tally.skipped += 1
                metrics.add(SKIPPED, labels)
                self._skip(failure, reason)
        self._engine.tell(self._entry, decision, failure)

    def _trip_breaker(self) -> None:
        settings = self._engine.settings
        if self._engine.store.trip_breaker(
            self._entry.group, more_than=settings.breaker, within=settings.breaker_window
        ):
            self._is_tripped = True
            logger.error(
                "group %s stopped: more than %d streams parked within %s",
                self._entry.group,
                settings.breaker,
                settings.breaker_window,
                extra={"group": self._entry.group, "worker": self._worker},
            )

    def _stop(self, failure: Failure, reason: str) -> None:
        why = reason or f"{failure.type} failed: {safe_repr(failure.exception)}"
        self._engine.store.stop(self._entry.group, by=Operator(actor=self._worker, reason=why))

    def _skip(self, failure: Failure, reason: str) -> None:
        why = reason or f"failed: {safe_repr(failure.exception)}"
        try:
            self._engine.store.skip(
                self._entry.group,
                failure.stream_id,
                failure.seq,
                by=Operator(actor=self._worker, reason=why),
            )
        except (BusyError, NotFoundError):  # somebody else has claimed it and will decide
            logger.debug(
                "skip of %s #%d left to another",
                failure.stream_id,
                failure.seq,
                extra=failure.named() | {"worker": self._worker},
            )

    def _log(self, failure: Failure, decided: str) -> None:
        logger.warning(
            "group %s, stream %s #%d (%s), attempt %d: %s; %s",
            failure.group,
            failure.stream_id,
            failure.seq,
            failure.type,
            failure.attempt,
            policy.storable_text(_without_values(failure.exception), 500),
            decided,
            extra=failure.named() | {"worker": self._worker},
        )


def _without_values(error: BaseException) -> str:
    """Return an error for a log: of a payload that does not fit, the fields alone."""
    if isinstance(error, PayloadError):  # below a field, a path may hold keys of the payload
        fields = dict.fromkeys(re.split(r"[.\[]", path, maxsplit=1)[0] for path in error.problems)
        return f"PayloadError({error.type!r}: {', '.join(fields)})"
    return safe_repr(error, 500)


def no_follow_up() -> None:
    """Follows what needs no follow-up."""

"""Commits plans of claimed streams: together, or one that is decided under its stream's lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sourced._engine import Engine
from sourced._failures import FAILURES
from sourced._faults import reach
from sourced._held import Held
from sourced._measuring import note_appended, note_handled
from sourced._plan import Plan, sync_together
from sourced._settling import FollowUp, no_follow_up
from sourced._store import (
    Committed,
    Connection,
    Expectation,
    StreamCommit,
    Then,
    Transaction,
    UnlessSince,
)
from sourced._tally import Tally
from sourced.errors import (
    ClaimLostError,
    CommitRefusedError,
    ConcurrencyError,
    StatementTimeoutError,
    StoreUnavailableError,
    StreamLockedError,
)

__all__ = ["Committing", "SyncFailedError", "TogetherFailedError", "raised_by"]

_OF_THE_COMMIT = (ClaimLostError, ConcurrencyError)


class SyncFailedError(Exception):
    """A sync raised what a store says of a commit, or would not let through."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class TogetherFailedError(SyncFailedError):
    """What several streams could not do together, of which nobody can tell whose fault it was."""


def raised_by(error: Exception) -> BaseException:
    """Return what a sync raised, out of what a commit and a store carried it in."""
    raised = error.error if isinstance(error, SyncFailedError) else error
    if isinstance(raised.__cause__, SyncFailedError):  # a store told what befell the sync
        raised.__cause__ = raised.__cause__.error
    return raised


class Committing:
    """Sends what was planned for streams that a worker holds, and remembers what was committed."""

    def __init__(self, engine: Engine, worker_id: str, held: Held, tally: Tally) -> None:
        self._engine = engine
        self._worker = worker_id
        self._held = held
        self._tally = tally

    def send(
        self, plans: Sequence[Plan], thens: Sequence[tuple[Then, FollowUp]]
    ) -> Mapping[str, Exception]:
        """Commit plans in one transaction, then run what follows.

        Returns:
            Why nothing was written, for every stream that is to blame; empty if all was. A sync
            over several streams that raised, or whose statement waited too long, is a
            `TogetherFailedError` of each of them; so is a stream that somebody keeps locked.
        """
        together = sync_together(plans)
        commits = [
            self._stream_commit(plan, then) for plan, (then, _) in zip(plans, thens, strict=True)
        ]
        sync = partial(self._sync_together, together) if together else None
        try:
            committed = self._engine.store.commit(self._worker, commits, sync=sync)
        except CommitRefusedError as refused:
            return refused.failures
        except TogetherFailedError as error:
            return {plan.batch.stream_id: error for plan in plans}
        except StreamLockedError as error:
            why = TogetherFailedError(error) if len(plans) > 1 else error
            return {plan.batch.stream_id: why for plan in plans}
        except Exception as error:
            is_away = isinstance(error, StoreUnavailableError)
            if not together or (is_away and not isinstance(error, StatementTimeoutError)):
                raise
            # Of a sync that ended its transaction, or left behind what cannot be committed.
            return {plan.batch.stream_id: TogetherFailedError(error) for plan in plans}
        reach("ack.after")
        self._note(plans, committed)
        self._engine.notices.committed(plan.batch for plan in plans)
        for plan, (_, follow_up) in zip(plans, thens, strict=True):
            self._committed(plan, committed, follow_up)
        return {}

    def send_locked(
        self, stream_id: str, decide: Callable[[Transaction], Plan], then: Then
    ) -> tuple[Plan | None, Exception | None]:
        """Commit what is decided while nobody else can append to the stream.

        Returns:
            The plan, None if the claim was lost before it was made; and why it was not committed,
            None if it was, or if nothing of it could be handled.
        """
        decided: list[Plan] = []

        def commit_of(transaction: Transaction) -> StreamCommit | None:
            plan = decide(transaction)
            decided.append(plan)
            return None if plan.ack_seq is None else self._stream_commit(plan, then)

        try:
            committed = self._engine.store.commit_locked(self._held[stream_id], commit_of)
        except CommitRefusedError as refused:
            return (decided[-1] if decided else None), refused.failures[stream_id]
        plan = decided[-1]
        if committed is not None:
            reach("ack.after")
            self._note([plan], committed)
            self._engine.notices.committed([plan.batch])
            self._committed(plan, committed, no_follow_up)
        return plan, None

    def ack(self, commit: StreamCommit) -> None:
        """Commit an ack without a batch; a claim that was lost is dropped."""
        stream_id = commit.claim.stream_id
        try:
            self._engine.store.commit(self._worker, [commit])
        except CommitRefusedError as refused:
            self._held.lost(stream_id, refused)
        except StreamLockedError:
            self._held.give_back_later(stream_id)
        self._held.committed(stream_id)

    def _sync_together(
        self, together: Sequence[Callable[[Connection], object]], connection: Connection
    ) -> None:
        try:
            for sync in together:
                self._engine.runner.settle(sync(connection))
        except FAILURES as error:
            raise TogetherFailedError(error) from error

    def _stream_commit(self, plan: Plan, then: Then) -> StreamCommit:
        stream_id = plan.batch.stream_id
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
            sync=partial(self._sync, plan) if plan.syncs else None,
            snapshot=plan.snapshot_to_store,
        )

    def _sync(self, plan: Plan, connection: Any) -> None:
        about = f"sync of group {plan.batch.group}, stream {plan.batch.stream_id}"
        try:
            for run in plan.syncs:
                self._engine.runner.settle(run(connection), about)
        except FAILURES as error:
            if isinstance(error, Exception) and not isinstance(error, _OF_THE_COMMIT):
                raise
            raise SyncFailedError(error) from error

    def _note(self, plans: Sequence[Plan], committed: Committed) -> None:
        metrics = self._engine.metrics
        note_appended(metrics, committed.messages)
        note_handled(metrics, plans[0].batch.group, plans, self._engine.clock.now())

    def _committed(self, plan: Plan, committed: Committed, follow_up: FollowUp) -> None:
        stream_id = plan.batch.stream_id
        self._held.committed(stream_id, committed.kept.get(stream_id))
        self._tally.handled += plan.handled
        mine = {message.id for message in plan.append}
        stored = [message for message in committed.messages if message.id in mine]
        self._engine.after_commit(plan.batch.group, plan.after)
        self._engine.remember(plan.batch, plan.evolved, stored)
        follow_up()

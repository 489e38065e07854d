"""Commit: what the function is told of a batch, and what becomes of its refusals.

Without syncs a commit is one statement. With syncs it is one transaction of two round trips beside
the caller's own: BEGIN and a glance at the claims go together, and so do the verb and its COMMIT,
so that none of the store's locks is held across a round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from psycopg.pq import TransactionStatus

from sourced._limits import check_sizes
from sourced._records import NewMessage
from sourced._store import (
    Claim,
    Committed,
    Connection,
    Done,
    Keep,
    Park,
    Release,
    Retry,
    StreamCommit,
    Then,
)
from sourced.errors import (
    ClaimLostError,
    CommitRefusedError,
    ConcurrencyError,
    PayloadError,
)
from sourced_postgres._rows import (
    Row,
    expectations,
    message_arrays,
    moment,
    plain_array,
    scheduled_json,
    snapshots_json,
    text_array,
)
from sourced_postgres._sync import run_sync
from sourced_postgres._translate import CallersError
from sourced_postgres._verbs import appended_of

__all__ = [
    "claim_arguments",
    "commit_arguments",
    "committed_of",
    "failures_in",
    "local_failures",
    "outputs_of",
    "retry_arguments",
    "run_syncs",
]

_NAMES: dict[type[Then], str] = {
    Done: "done",
    Keep: "keep",
    Release: "release",
    Retry: "retry",
    Park: "park",
}


# --- what the functions are told ------------------------------------------------------------------


def claim_arguments(worker_id: str, streams: Sequence[StreamCommit]) -> list[Any]:
    """Return the parameters that name the claims of a batch."""
    claims = [one.claim for one in streams]
    return [
        claims[0].group if claims else "",
        worker_id,
        text_array([claim.stream_id for claim in claims]),
        plain_array([claim.epoch for claim in claims]),
        plain_array([claim.next_seq for claim in claims]),
    ]


def commit_arguments(worker_id: str, streams: Sequence[StreamCommit]) -> list[Any]:
    """Return the parameters of the function `commit`."""
    owned = [(owner, message) for owner, one in enumerate(streams, 1) for message in one.append]
    return [
        *claim_arguments(worker_id, streams),
        plain_array([one.ack_seq for one in streams]),
        plain_array([_NAMES[type(one.then)] for one in streams]),
        *_retry_arrays(streams),
        text_array([_error_of(one.then) for one in streams]),
        plain_array(["t" if _is_uncounted(one) else "f" for one in streams]),
        plain_array([owner for owner, _ in owned]),
        *message_arrays([message for _, message in owned]),
        expectations((owner, one.expect) for owner, one in enumerate(streams, 1)),
        scheduled_json(waiting for one in streams for waiting in one.schedule),
        snapshots_json(one.snapshot for one in streams if one.snapshot is not None),
    ]


def retry_arguments(then: Then) -> tuple[str | None, float | None]:
    """Return when a retry is, or how many seconds from now."""
    if not isinstance(then, Retry):
        return None, None
    if then.at is not None:
        return moment(then.at), None
    return None, then.after.total_seconds() if then.after is not None else 0.0


def _retry_arrays(streams: Sequence[StreamCommit]) -> list[str]:
    found = [retry_arguments(one.then) for one in streams]
    return [plain_array([at for at, _ in found]), plain_array([after for _, after in found])]


def _error_of(then: Then) -> str | None:
    return then.error if isinstance(then, Retry | Park) else None


def _is_uncounted(one: StreamCommit) -> bool:
    if isinstance(one.then, Retry):
        return not one.then.counts
    return isinstance(one.then, Release) and one.ack_seq is None


# --- syncs ----------------------------------------------------------------------------------------


def run_syncs(
    connection: Any,
    streams: Sequence[StreamCommit],
    sync: Callable[[Connection], None] | None,
    *,
    is_checked: bool = False,
) -> None:
    """Run each stream's sync, then the batch's.

    What a sync puts off to the end of the transaction is checked behind all of them, with the verb;
    or behind each (`is_checked`), one round trip more, so that it is known whose it was. After a
    statement that failed, the transaction takes no other: the syncs behind it are not run.

    Raises:
        CallersError: carries the refusal that names the streams whose own sync raised, or what the
            batch's sync raised.
        psycopg.Error: trouble of the database while a sync ran.
    """
    failures: dict[str, Exception] = {}
    for one in streams:
        if one.sync is None:
            continue
        try:
            run_sync(connection, one.sync, is_checked=is_checked)
        except CallersError as carrier:
            failures[one.claim.stream_id] = carrier.error
        if connection.info.transaction_status != TransactionStatus.INTRANS:
            break
    if failures:
        raise CallersError(CommitRefusedError(failures))
    if sync is not None:
        run_sync(connection, sync, is_checked=is_checked)


# --- refusals -------------------------------------------------------------------------------------


def local_failures(
    worker_id: str, streams: Sequence[StreamCommit], limit: int
) -> dict[str, Exception]:
    """Return what is refused before any statement runs: other workers' claims, large outputs."""
    failures: dict[str, Exception] = {}
    for one in streams:
        if one.claim.worker != worker_id:
            failures[one.claim.stream_id] = _lost(one.claim)
            continue
        try:
            check_sizes(outputs_of(one), limit)
        except PayloadError as error:
            failures[one.claim.stream_id] = error
    return failures


def failures_in(detail: Any, streams: Sequence[StreamCommit]) -> dict[str, Exception]:
    """Return the streams that a function refused, each with its error."""
    if detail is None:
        return {}
    claims = [one.claim for one in streams]
    failures: dict[str, Exception] = {
        claims[place - 1].stream_id: _lost(claims[place - 1]) for place in detail["lost"]
    }
    for one in detail["failed"]:
        error = ConcurrencyError(one["stream_id"], one["expected"], one["actual"])
        failures[claims[one["owner"] - 1].stream_id] = error
    return failures


def outputs_of(one: StreamCommit) -> list[NewMessage]:
    """Return the messages that a stream's commit writes, for the log and for the schedule."""
    return [*one.append, *(waiting.message for waiting in one.schedule)]


def _lost(claim: Claim) -> ClaimLostError:
    return ClaimLostError(claim.group, claim.stream_id)


# --- answers --------------------------------------------------------------------------------------


def committed_of(streams: Sequence[StreamCommit], row: Row) -> Committed:
    """Return what a commit did, from the function's answer."""
    appended = appended_of([message for one in streams for message in one.append], row)
    claims = {one.claim.stream_id: one.claim for one in streams}
    kept = {
        stream_id: replace(claims[stream_id], next_seq=next_seq, attempts=1, restarted=False)
        for stream_id, next_seq in zip(row[3] or (), row[4] or (), strict=True)
    }
    return Committed(messages=appended.messages, kept=kept, groups=appended.groups)

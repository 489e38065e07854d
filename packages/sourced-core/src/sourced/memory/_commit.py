"""Committing: a batch of claimed streams, or a chain that was handled by its caller.

Under the store's one lock nothing can come between the first look at the claims and the writing,
so what the port orders as separate steps is checked once here, and in the port's order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from sourced._arguments import check_commit
from sourced._faults import reach
from sourced._limits import check_sizes
from sourced._records import StoredMessage
from sourced._store import (
    Appended,
    Claim,
    Committed,
    Connection,
    Snapshot,
    StreamCommit,
    UnitOfWork,
)
from sourced.errors import (
    BusyError,
    ClaimLostError,
    CommitRefusedError,
    GroupStoppedError,
    SourcedError,
    StreamParkedError,
    UsageError,
)
from sourced.memory._append import append
from sourced.memory._deliveries import ack, held
from sourced.memory._schedule import schedule
from sourced.memory._tables import Tables

__all__ = ["check_held", "commit", "handle_now"]

Failures = dict[str, Exception]


# --- a batch of claimed streams -------------------------------------------------------------------


def commit(
    tables: Tables,
    worker_id: str,
    streams: Sequence[StreamCommit],
    sync: Callable[[Connection], None] | None,
    limit: int,
) -> Committed:
    """Run syncs, write outputs and acks of a batch of claimed streams of one group.

    Raises:
        CommitRefusedError: names every stream that fails.
        UsageError: the batch could never be committed.
    """
    check_commit(streams)
    _refuse(_each(streams, lambda part: _check_part(tables, worker_id, part, limit)))
    _refuse(_each(streams, _run_sync))
    if sync is not None:
        sync(None)
    reach("commit.after_sync")
    stored: list[StoredMessage] = []
    _refuse(_each(streams, lambda part: stored.extend(_write(tables, part))))
    kept = {part.claim.stream_id: rest for part in streams if (rest := _ack(tables, part))}
    reach("commit.before_commit")
    return Committed(messages=tuple(stored), kept=kept, groups=frozenset(tables.deliveries.stirred))


def check_held(tables: Tables, claim: Claim) -> None:
    """Refuse a claim that is not its worker's any more.

    Raises:
        CommitRefusedError: names its stream.
    """
    try:
        held(tables, claim)
    except ClaimLostError as error:
        raise CommitRefusedError({claim.stream_id: error}) from error


def _check_part(tables: Tables, worker_id: str, part: StreamCommit, limit: int) -> None:
    if part.claim.worker != worker_id:
        raise ClaimLostError(part.claim.group, part.claim.stream_id)
    held(tables, part.claim)
    check_sizes(part.append, limit)
    check_sizes((item.message for item in part.schedule), limit)


def _run_sync(part: StreamCommit) -> None:
    if part.sync is not None:
        part.sync(None)


def _write(tables: Tables, part: StreamCommit) -> tuple[StoredMessage, ...]:
    # What a refused stream wrote before it was refused goes alone, so that the streams after it
    # are checked as if it were not in the batch: it will not be in the next try.
    mark = tables.journal.mark()
    try:
        appended = append(tables, part.append, part.expect)
        schedule(tables, part.schedule)
    except SourcedError:
        tables.journal.undo(mark)
        raise
    if part.snapshot is not None:
        _keep_snapshots(tables, [part.snapshot])
    return appended.messages


def _ack(tables: Tables, part: StreamCommit) -> Claim | None:
    return ack(tables, held(tables, part.claim), part.ack_seq, part.then)


def _each(streams: Iterable[StreamCommit], step: Callable[[StreamCommit], object]) -> Failures:
    failures: Failures = {}
    for part in streams:
        try:
            step(part)
        except Exception as error:  # noqa: BLE001 - a sync is the user's; whatever it is, it is told
            failures[part.claim.stream_id] = error
    return failures


def _refuse(failures: Failures) -> None:
    if failures:
        raise CommitRefusedError(failures)


def _keep_snapshots(tables: Tables, snapshots: Iterable[Snapshot]) -> None:
    for snapshot in snapshots:
        tables.snapshots.put((snapshot.group, snapshot.stream_id), snapshot)


# --- handled by the caller ------------------------------------------------------------------------


def handle_now(tables: Tables, work: UnitOfWork) -> Appended:
    """Write a chain that its caller has handled, unless anything stands in its way.

    Raises:
        UnknownGroupError, GroupStoppedError, StreamParkedError, BusyError: as the port says.
        ConcurrencyError, DuplicateMessageError: as with an append.
    """
    if work.sync is not None:
        work.sync(None)
    for group, stream_id in sorted(work.handled):
        _check_idle(tables, group, stream_id)
    _check_in_order(tables, work)
    appended = append(tables, work.messages, work.expect, work.handled)
    schedule(tables, work.schedule)
    _keep_snapshots(tables, work.snapshots)
    reach("handle_now.before_commit")
    return appended


def _check_idle(tables: Tables, group_name: str, stream_id: str) -> None:
    group = tables.groups.require(group_name)
    if group.status == "stopped":
        raise GroupStoppedError(group_name, stream_id)
    if group.status == "filling":
        raise BusyError(group_name, stream_id, "filling")
    row = tables.deliveries.get((group_name, stream_id))
    if row is None:
        return
    match row.state(tables.now):
        case "parked":
            raise StreamParkedError(group_name, stream_id)
        case "claimed":
            raise BusyError(group_name, stream_id, "held")
        case "retrying":
            raise BusyError(group_name, stream_id, "retrying", row.ready_at)
        case "ready":
            raise BusyError(group_name, stream_id, "pending")


def _check_in_order(tables: Tables, work: UnitOfWork) -> None:
    """Refuse work in which a group leaves a message to workers and handles a later one (I4)."""
    left: dict[tuple[str, str], UUID] = {}
    for message in work.messages:
        for group in tables.groups.handling(message.type):
            key = (group, message.stream_id)
            handled = message.id in work.handled.get(key, ())
            if handled and key in left:
                raise UsageError(
                    f"group {group!r} handles {message.type!r} in stream {message.stream_id!r} "
                    f"but not message {left[key]} before it; handle a stream's messages in order"
                )
            if not handled:
                left.setdefault(key, message.id)

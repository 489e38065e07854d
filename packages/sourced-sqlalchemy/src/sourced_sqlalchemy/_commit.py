"""Commit: check claims, run syncs, check everything, write outputs and acks; all or nothing.

The transaction has SQLite's write lock from its first statement on, so nothing changes between the
checks and the writes, except by syncs, which may use the verbs of this very transaction: after
syncs everything is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from sqlalchemy import bindparam, select
from sqlalchemy.dialects import sqlite

from sourced._arguments import checked_decision
from sourced._faults import reach
from sourced._limits import check_sizes
from sourced._records import NewMessage
from sourced._store import Claim, Committed, Connection, Keep, Snapshot, StreamCommit
from sourced.errors import ClaimLostError, CommitRefusedError, PayloadError, UsageError
from sourced_sqlalchemy._append import Repeats, write
from sourced_sqlalchemy._connections import raw_of
from sourced_sqlalchemy._deliveries import next_handled, read_deliveries, save_deliveries
from sourced_sqlalchemy._heads import Heads, read_heads
from sourced_sqlalchemy._keys import group_key
from sourced_sqlalchemy._schedule import insert_scheduled
from sourced_sqlalchemy._scope import Scope
from sourced_sqlalchemy._settle import Delivery, settle
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._translate import CallersError, callers_code

__all__ = ["check_held", "commit", "decided", "run_sync", "save_snapshots"]

Sync = Callable[[Connection], None]


def _group_of(streams: Sequence[StreamCommit]) -> str:
    return streams[0].claim.group if streams else ""


def commit(
    scope: Scope, worker_id: str, streams: Sequence[StreamCommit], sync: Sync | None
) -> Committed:
    """Commit a batch; see the port."""
    group = _group_of(streams)
    failures: dict[str, Exception] = {
        one.claim.stream_id: ClaimLostError(group, one.claim.stream_id)
        for one in streams
        if one.claim.worker != worker_id
    }
    held = _check_claims(scope, group, streams, failures)
    if _run_syncs(scope, streams, sync, failures):
        held = _check_claims(scope, group, streams, failures)
    reach("commit.after_sync")
    heads = read_heads(scope, _touched(streams))
    _check_outputs(scope, streams, heads.copy(), failures)
    if failures:
        raise CommitRefusedError(failures)
    written = write(scope, heads, [message for one in streams for message in one.append])
    insert_scheduled(scope, [waiting for one in streams for waiting in one.schedule])
    save_snapshots(scope, [one.snapshot for one in streams if one.snapshot is not None])
    settled = _settle(scope, group, streams, held, heads)
    save_deliveries(scope, [(held[name], row) for name, row in settled.items()])
    if any(row is not None and row.is_ready(scope.now) for row in settled.values()):
        scope.stirred.add(group)
    return Committed(
        messages=written.messages,
        kept=_kept(streams, settled),
        groups=written.groups | (scope.stirred & {group}),
    )


# --- checks ---------------------------------------------------------------------------------------


def check_held(scope: Scope, claim: Claim) -> None:
    """Refuse a claim that is not its worker's any more.

    Raises:
        CommitRefusedError: names its stream.
    """
    failures: dict[str, Exception] = {}
    _check_claims(scope, claim.group, [StreamCommit(claim=claim)], failures)
    if failures:
        raise CommitRefusedError(failures)


def _check_claims(
    scope: Scope, group: str, streams: Sequence[StreamCommit], failures: dict[str, Exception]
) -> dict[str, Delivery]:
    rows = read_deliveries(scope, group, [one.claim.stream_id for one in streams])
    for one in streams:
        row = rows.get(one.claim.stream_id)
        if row is None or not row.is_held_by(one.claim):
            lost = ClaimLostError(group, one.claim.stream_id)
            failures.setdefault(one.claim.stream_id, lost)
    return rows


def _run_syncs(
    scope: Scope,
    streams: Sequence[StreamCommit],
    sync: Sync | None,
    failures: dict[str, Exception],
) -> bool:
    """Run each stream's sync, then the batch's, unless it is refused already; whether any ran."""
    if failures:
        return False
    own = {one.claim.stream_id: one.sync for one in streams if one.sync is not None}
    for stream_id, write_rows in own.items():
        try:
            run_sync(scope, write_rows)
        except CallersError as carrier:
            failures[stream_id] = carrier.error
            if _is_over(scope):  # whatever comes now would only say that, of others
                raise CommitRefusedError(failures) from carrier
    if sync is not None and not failures:
        run_sync(scope, sync)
    return bool(own) or sync is not None


def run_sync(scope: Scope, sync: Sync) -> None:
    """Let the caller write rows of its own in this transaction.

    Raises:
        CallersError: carries what it raised, that it waited too long for a lock, or that it ended
            the transaction.
    """
    try:
        with callers_code():
            sync(scope.connection)
    except Exception as error:
        raise CallersError(error) from error
    if _is_over(scope):
        raise CallersError(
            UsageError(
                "a sync committed, rolled back or closed the connection it was given; leave that "
                "to the store, which commits its rows together with the events"
            )
        )


def decided(
    scope: Scope, claim: Claim, decide: Callable[[], StreamCommit | None]
) -> StreamCommit | None:
    """Return what the caller decides inside this transaction.

    Raises:
        CallersError: carries what it raised, or that it ended the transaction.
        UsageError: what it decided is not for the claimed stream alone.
    """
    found: list[StreamCommit | None] = []
    run_sync(scope, lambda _connection: found.append(decide()))
    return checked_decision(claim, found[0])


def _is_over(scope: Scope) -> bool:
    return scope.connection.closed or not raw_of(scope.connection).in_transaction


def _touched(streams: Sequence[StreamCommit]) -> set[str]:
    names = {one.claim.stream_id for one in streams}
    for one in streams:
        names.update(one.expect, (message.stream_id for message in one.append))
    return names


def _check_outputs(
    scope: Scope,
    streams: Sequence[StreamCommit],
    heads: Heads,
    failures: dict[str, Exception],
) -> None:
    """Name the streams whose outputs are refused; what earlier ones append counts for later."""
    outputs = {one.claim.stream_id: _outputs(one) for one in streams}
    repeats = Repeats(scope, [message for some in outputs.values() for message in some])
    for one in streams:
        name = one.claim.stream_id
        if name in failures:
            continue
        refusal: Exception | None = _oversized(scope, outputs[name])
        for stream_id, expectation in sorted(one.expect.items()):
            refusal = refusal or heads.refusal(scope, stream_id, expectation)
        refusal = refusal or repeats.refusal(outputs[name])
        if refusal is not None:
            failures[name] = refusal
        else:
            heads.foresee(one.append)


def _outputs(one: StreamCommit) -> list[NewMessage]:
    return [*one.append, *(waiting.message for waiting in one.schedule)]


def _oversized(scope: Scope, messages: Sequence[NewMessage]) -> PayloadError | None:
    try:
        check_sizes(messages, scope.max_message_bytes)
    except PayloadError as error:
        return error
    return None


# --- acks -----------------------------------------------------------------------------------------


def _settle(
    scope: Scope,
    group: str,
    streams: Sequence[StreamCommit],
    held: Mapping[str, Delivery],
    heads: Heads,
) -> dict[str, Delivery | None]:
    """Decide what becomes of each claim; the look for more sees what this commit appended."""
    acks = {
        held[one.claim.stream_id].stream: one.ack_seq
        for one in streams
        if one.ack_seq is not None and one.ack_seq < heads[one.claim.stream_id].seq
    }
    following = next_handled(scope, group, acks)
    return {
        one.claim.stream_id: settle(
            held[one.claim.stream_id],
            one.then,
            acked=one.ack_seq is not None,
            next_seq=following.get(held[one.claim.stream_id].stream),
            now=scope.now,
        )
        for one in streams
    }


def _kept(
    streams: Sequence[StreamCommit], settled: Mapping[str, Delivery | None]
) -> dict[str, Claim]:
    kept: dict[str, Claim] = {}
    for one in streams:
        row = settled[one.claim.stream_id]
        if row is not None and isinstance(one.then, Keep):
            kept[one.claim.stream_id] = replace(
                one.claim, next_seq=row.next_seq, attempts=row.attempts, restarted=False
            )
    return kept


# --- snapshots ------------------------------------------------------------------------------------


def save_snapshots(scope: Scope, snapshots: Sequence[Snapshot]) -> None:
    """Keep states, each in place of the one before it."""
    rows = [
        {
            "name": one.group,
            "stream_name": one.stream_id,
            "seq": one.seq,
            "version": one.version,
            "state": one.state,
        }
        for one in snapshots
    ]
    scope.execute_many(_save_snapshot(scope.tables), rows)


@cache
def _save_snapshot(tables: Tables) -> sqlite.Insert:
    s = tables.streams.c
    stream = select(s.id).where(s.stream_id == bindparam("stream_name")).scalar_subquery()
    statement = sqlite.insert(tables.snapshots).values(group=group_key(tables), stream=stream)
    return statement.on_conflict_do_update(
        index_elements=["group", "stream"],
        set_={name: statement.excluded[name] for name in ("seq", "version", "state")},
    )

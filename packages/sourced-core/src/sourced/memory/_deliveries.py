"""Deliveries from claim to ack: who holds what, and what becomes of it.

Every change of a held delivery compares worker, epoch and `next_seq` with those of the claim (I3).
The epoch alone would do in memory, where nothing claimed is ever forgotten; all three are compared
because that is the promise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from sourced._store import Claim, Done, Keep, Operator, Park, Release, Retry, Then
from sourced.errors import BusyError, ClaimLostError, NotFoundError
from sourced.memory._tables import Delivery, Tables

__all__ = ["ack", "claim", "free", "held", "park", "release", "retry", "skip", "unpark"]


def claim(
    tables: Tables,
    group_name: str,
    worker_id: str,
    max_streams: int,
    stream_ids: Collection[str] | None,
    *,
    suspects: bool,
) -> list[Claim]:
    """Take hold of ready deliveries, oldest `ready_at` first; a suspect one alone, if at all."""
    group = tables.groups.get(group_name)
    if group is None or group.status != "active" or worker_id not in tables.workers:
        return []
    return [
        _hold(tables, row, worker_id)
        for row in _choose(tables, group_name, max_streams, stream_ids, suspects=suspects)
    ]


def _choose(
    tables: Tables,
    group: str,
    max_streams: int,
    stream_ids: Collection[str] | None,
    *,
    suspects: bool,
) -> list[Delivery]:
    chosen: list[Delivery] = []
    for row in _ready(tables, group, stream_ids):
        if len(chosen) >= max_streams:
            break
        if not row.suspect:
            chosen.append(row)
        elif suspects and not chosen:
            return [row]
    return chosen


def _ready(tables: Tables, group: str, stream_ids: Collection[str] | None) -> Iterator[Delivery]:
    part = tables.deliveries.of(group)
    if stream_ids is None:
        return (part.rows[stream_id] for stream_id in part.waiting.until(tables.now))
    named = (part.rows[stream_id] for stream_id in set(stream_ids) if stream_id in part.rows)
    ready = (row for row in named if row.state(tables.now) == "ready")
    return iter(sorted(ready, key=lambda row: (row.ready_at, row.born)))


def _hold(tables: Tables, row: Delivery, worker_id: str) -> Claim:
    held = replace(
        row,
        worker=worker_id,
        epoch=next(tables.numbers),
        claimed_at=tables.now,
        attempts=row.attempts + 1,
    )
    tables.deliveries.save(held)
    return _claim_of(held, worker_id)


def _claim_of(row: Delivery, worker_id: str) -> Claim:
    return Claim(
        group=row.group,
        stream_id=row.stream_id,
        worker=worker_id,
        epoch=row.epoch,
        next_seq=row.next_seq,
        attempts=row.attempts,
        replay_until=row.replay_until,
        restarted=row.restarted,
        suspect=row.suspect,
    )


def held(tables: Tables, claim: Claim) -> Delivery:
    """Return the delivery of a claim that is still its worker's.

    Raises:
        ClaimLostError: it is not.
    """
    row = tables.deliveries.get((claim.group, claim.stream_id))
    if row is None or (row.worker, row.epoch, row.next_seq) != (
        claim.worker,
        claim.epoch,
        claim.next_seq,
    ):
        raise ClaimLostError(claim.group, claim.stream_id)
    return row


def free(tables: Tables, row: Delivery) -> None:
    """Give a held delivery back untouched: the attempt is not counted, its place is kept."""
    attempts = max(row.attempts - 1, 0)
    tables.make_ready(replace(row, worker=None, claimed_at=None, attempts=attempts))


def release(tables: Tables, claims: Sequence[Claim]) -> int:
    """Give claims back untouched; those lost are passed over."""
    released = 0
    for claim in claims:
        try:
            free(tables, held(tables, claim))
        except ClaimLostError:
            continue
        released += 1
    return released


def retry(tables: Tables, row: Delivery, retry: Retry) -> None:
    """Give a held delivery back until later; no error given leaves the one that is kept."""
    at = retry.at
    if at is None:
        at = tables.now if retry.after is None else tables.now + retry.after
    tables.make_ready(
        replace(
            row,
            worker=None,
            claimed_at=None,
            attempts=row.attempts if retry.counts else max(row.attempts - 1, 0),
            ready_at=at,
            error=row.error if retry.error is None else retry.error,
        )
    )


def park(tables: Tables, row: Delivery, park: Park) -> None:
    """Set a held delivery aside."""
    tables.deliveries.save(
        replace(row, worker=None, claimed_at=None, parked_at=tables.now, error=park.error)
    )


def ack(tables: Tables, row: Delivery, ack_seq: int | None, then: Then) -> Claim | None:
    """Move a held delivery on and do with it what was asked.

    The look for what is pending sees whatever was appended before, by this commit too: the row
    stays or it goes, and in the second case the next append makes it anew. No wake-up is lost.

    Returns:
        The claim for the rest, if it is kept.
    """
    if ack_seq is not None:
        moved = _move(tables, row, ack_seq)
        if moved is None:
            return None
        row = moved
    match then:
        case Keep():
            tables.deliveries.save(row)
            return _claim_of(row, row.worker or "")
        case Retry():
            retry(tables, row, then)
        case Park():
            park(tables, row, then)
        case Release() if ack_seq is None:
            free(tables, row)
        case Done() | Release():
            tables.make_ready(replace(_fresh(tables, row), suspect=False))
    return None


def _move(tables: Tables, row: Delivery, ack_seq: int) -> Delivery | None:
    """Return the delivery of what is pending after an ack; without any, drop it, return None."""
    pending = tables.first_pending(row.group, row.stream_id, ack_seq + 1)
    if pending is None:
        tables.deliveries.drop(row)
        return None
    return replace(row, next_seq=pending, attempts=1, restarted=False, error=None)


def unpark(
    tables: Tables, group: str, stream_ids: Collection[str] | None, by: Operator | None
) -> int:
    """Make parked and waiting deliveries ready now."""
    tables.groups.require(group)
    part = tables.deliveries.of(group)
    asleep = [*part.parked, *part.waiting.after(tables.now)]
    named = None if stream_ids is None else set(stream_ids)
    chosen = [part.rows[stream] for stream in asleep if named is None or stream in named]
    for row in chosen:
        tables.make_ready(_fresh(tables, row))
    target = group if named is None else f"{group} {', '.join(sorted(named))}"
    tables.record("retry", target, by, before=f"{len(chosen)} parked or waiting", after="ready")
    return len(chosen)


def skip(tables: Tables, group: str, stream_id: str, seq: int, by: Operator | None) -> None:
    """Count the next pending message of a stream as handled, unrun."""
    row = _skippable(tables, group, stream_id)
    first = tables.first_pending(group, stream_id, row.next_seq) if row is not None else None
    if row is None or first != seq:
        there = "nothing is pending" if first is None else f"seq {first} is"
        raise NotFoundError(
            f"seq {seq} of stream {stream_id!r} is not the next message that group {group!r} "
            f"has to handle: {there}"
        )
    before = f"seq {seq}, {row.state(tables.now)}"
    pending = tables.first_pending(group, stream_id, seq + 1)
    if pending is None:
        tables.deliveries.drop(row)
        after = "drained"
    else:
        tables.make_ready(replace(_fresh(tables, row), next_seq=pending))
        after = f"seq {pending}, ready"
    tables.record("skip", f"{group} {stream_id} {seq}", by, before=before, after=after)


def _skippable(tables: Tables, group: str, stream_id: str) -> Delivery | None:
    if tables.groups.require(group).fill is not None:
        raise BusyError(group, stream_id, "filling")
    row = tables.deliveries.get((group, stream_id))
    if row is not None and row.worker is not None and row.worker in tables.workers:
        raise BusyError(group, stream_id, "held")
    return row


def _fresh(tables: Tables, row: Delivery) -> Delivery:
    return replace(
        row,
        worker=None,
        claimed_at=None,
        parked_at=None,
        ready_at=tables.now,
        attempts=0,
        error=None,
    )

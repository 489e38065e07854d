"""Groups: registration with its back-fill, subscriptions, and what operators do to a group."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sourced._inspect import GroupState
from sourced._store import NOW, Operator, Registration, Start
from sourced.errors import RegistrationError
from sourced.memory._log import Stream
from sourced.memory._tables import Delivery, Fill, Group, Tables

__all__ = [
    "FILL_CHUNK",
    "fill_chunk",
    "first_past",
    "is_registered",
    "remove",
    "start",
    "stop",
    "subscribe",
    "trip_breaker",
    "unsubscribe",
]

FILL_CHUNK = 500
"""Streams per transaction of a back-fill."""


# --- registering ----------------------------------------------------------------------------------


def is_registered(tables: Tables, name: str, types: Collection[str], was: Sequence[str]) -> bool:
    """Return whether registering would change nothing."""
    group = tables.groups.get(name)
    return (
        group is not None
        and (group.fill is None or group.status == "stopped")
        and group.types.issuperset(types)
        and not _former(tables, name, was)
    )


def subscribe(
    tables: Tables, name: str, types: Collection[str], start: Start, was: Sequence[str]
) -> Registration:
    """Make a group, filling unless it starts now, or add types to a known one.

    Raises:
        RegistrationError: the group is known under this name and under a former one.
    """
    _rename(tables, name, was)
    group = tables.groups.get(name)
    if group is not None:
        return _add_types(tables, group, frozenset(types))
    fill = None
    if start != NOW:
        since = start if isinstance(start, datetime) else None
        fill = Fill(done=0, upto=len(tables.log.streams), start=since)
    tables.groups.put(
        name,
        Group(
            name=name,
            types=frozenset(types),
            status="filling" if fill is not None else "active",
            since=tables.now,
            fill=fill,
        ),
    )
    return Registration(created=True)


def _add_types(tables: Tables, group: Group, types: frozenset[str]) -> Registration:
    added = types - group.types
    if not added:
        return Registration(created=False)
    # A group that is still filling has handled nothing, so that the fill may begin again and
    # cover the new types too: nothing of them is passed over.
    fill = group.fill
    if fill is not None:
        fill = replace(fill, done=0, upto=len(tables.log.streams))
    tables.groups.put(group.name, replace(group, types=group.types | added, fill=fill))
    return Registration(created=False, added_types=added if fill is None else frozenset())


def fill_chunk(tables: Tables, name: str) -> tuple[int, bool]:
    """Announce the past of the next streams to a group that is filling.

    Returns:
        In how many of them there was something to handle, and whether more is to be done.
    """
    group = tables.groups.get(name)
    if group is None or group.status != "filling" or group.fill is None:
        return 0, False
    fill = group.fill
    end = min(fill.done + FILL_CHUNK, fill.upto)
    streams = tables.log.streams[fill.done : end]
    found = sum(_announce_past(tables, group, stream, fill.start) for stream in streams)
    if end < fill.upto:
        tables.groups.put(name, replace(group, fill=replace(fill, done=end)))
        return found, True
    tables.groups.change(replace(group, fill=None), "active", "", tables.now)
    if tables.deliveries.of(name).waiting:
        tables.deliveries.stirred.add(name)
    return found, False


def first_past(stream: Stream, types: frozenset[str], start: datetime | None) -> int | None:
    """Return the first seq that a new group handles in a stream."""
    if start is None:
        return stream.first(types)
    counted = (message.seq for message in stream.walk(types, 1) if message.created_at >= start)
    return next(counted, None)


def _announce_past(tables: Tables, group: Group, stream: Stream, start: datetime | None) -> bool:
    first = first_past(stream, group.types, start)
    if first is None:
        return False
    row = tables.deliveries.get((group.name, stream.id))
    if row is None:
        tables.announce(group.name, stream.id, first)
        return True
    if first < row.next_seq:
        tables.make_ready(replace(row, next_seq=first))
        return True
    return False


def _former(tables: Tables, name: str, was: Sequence[str]) -> list[str]:
    return [former for former in was if former != name and former in tables.groups]


def _rename(tables: Tables, name: str, was: Sequence[str]) -> None:
    former = _former(tables, name, was)
    known = [*former, name] if name in tables.groups else former
    if len(known) > 1:
        raise RegistrationError(
            f"{' and '.join(map(repr, known))} are groups of their own, so {name!r} cannot take "
            "a former name over; remove the groups that it does not go on from"
        )
    if not former:
        return
    old = tables.groups.require(former[0])
    tables.groups.delete(old.name)
    tables.groups.put(name, replace(old, name=name))
    for row in list(tables.deliveries.of(old.name).rows.values()):
        tables.deliveries.drop(row)
        tables.make_ready(replace(_unclaimed(tables, row), group=name))
    for snapshot in [row for row in tables.snapshots if row.group == old.name]:
        tables.snapshots.delete((old.name, snapshot.stream_id))
        tables.snapshots.put((name, snapshot.stream_id), replace(snapshot, group=name))


def _unclaimed(tables: Tables, row: Delivery) -> Delivery:
    # Nobody can commit a claim that names the old group: it must not be held until its worker ends.
    if row.worker is None:
        return row
    attempts = max(row.attempts - 1, 0)
    return replace(row, worker=None, claimed_at=None, attempts=attempts, ready_at=tables.now)


# --- operators' verbs -----------------------------------------------------------------------------


def unsubscribe(tables: Tables, name: str, types: Collection[str], by: Operator | None) -> None:
    """Take types from a group; its deliveries move on to the next type it handles."""
    group = tables.groups.require(name)
    left = replace(group, types=group.types - set(types))
    tables.groups.put(name, left)
    for row in list(tables.deliveries.of(name).rows.values()):
        _move_on(tables, row)
    tables.record("unsubscribe", name, by, before=_listed(group.types), after=_listed(left.types))


def _move_on(tables: Tables, row: Delivery) -> None:
    pending = tables.first_pending(row.group, row.stream_id, row.next_seq)
    if pending == row.next_seq:
        return
    tables.deliveries.drop(row)
    if pending is None:
        return
    # What was being handled, retried or parked is not the group's any more. A worker's claim of
    # the old `next_seq` is lost, so nobody may seem to hold the row.
    fresh = replace(row, worker=None, claimed_at=None, parked_at=None, attempts=0, error=None)
    tables.make_ready(replace(fresh, next_seq=pending, ready_at=tables.now))


def remove(tables: Tables, name: str, by: Operator | None) -> None:
    """Forget a group: its subscriptions, deliveries and snapshots."""
    group = tables.groups.require(name)
    rows = list(tables.deliveries.of(name).rows.values())
    for row in rows:
        tables.deliveries.drop(row)
    for snapshot in [row for row in tables.snapshots if row.group == name]:
        tables.snapshots.delete((name, snapshot.stream_id))
    tables.groups.delete(name)
    before = f"{group.status}, {len(rows)} streams with something to handle"
    tables.record("remove", name, by, before=before, after="removed")


def stop(tables: Tables, name: str, by: Operator | None) -> None:
    """Let no more be claimed for a group."""
    group = tables.groups.require(name)
    tables.groups.change(group, "stopped", by.reason if by is not None else "", tables.now)
    tables.record("stop", name, by, before=group.status, after="stopped")


def start(tables: Tables, name: str, by: Operator | None) -> None:
    """Let a stopped group be claimed again, or be filled to the end first."""
    group = tables.groups.require(name)
    status: GroupState = "active" if group.fill is None else "filling"
    tables.groups.change(group, status, "", tables.now)
    if tables.deliveries.of(name).waiting:
        tables.deliveries.stirred.add(name)
    tables.record("start", name, by, before=group.status, after=status)


def trip_breaker(tables: Tables, name: str, more_than: int, within: timedelta) -> bool:
    """Stop an active group if too many of its streams were parked of late."""
    group = tables.groups.get(name)
    parked = tables.deliveries.of(name).parked.count_since(tables.now - within)
    if group is None or group.status != "active" or parked <= more_than:
        return False
    reason = f"breaker: {parked} streams parked within {within.total_seconds():g} s"
    stop(tables, name, Operator(actor="breaker", reason=reason))
    return True


def _listed(types: frozenset[str]) -> str:
    return ", ".join(sorted(types)) or "nothing"

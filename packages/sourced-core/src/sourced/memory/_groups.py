"""Groups: registration with its back-fill, subscriptions, and what operators do to a group."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sourced._inspect import GroupState
from sourced._store import NOW, Operator, Registration, Start
from sourced.memory._log import Stream
from sourced.memory._rename import find_renamed, rename
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
        and not find_renamed(tables, name, was)
    )


def subscribe(
    tables: Tables, name: str, types: Collection[str], start: Start, was: Sequence[str]
) -> Registration:
    """Make a group, filling unless it starts now, or add types to a known one.

    Raises:
        RegistrationError: the group is known under two names, or under a newer one.
    """
    rename(tables, name, was)
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
    """Forget a group: its subscriptions, deliveries, snapshots and former names."""
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

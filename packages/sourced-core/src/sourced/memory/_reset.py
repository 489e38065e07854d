"""Resetting: a group handles again what it has handled, and is told so message by message."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sourced._store import Operator
from sourced.errors import BusyError
from sourced.memory._log import Stream
from sourced.memory._tables import Delivery, Tables

__all__ = ["begin_reset", "reset_chunk"]


def begin_reset(
    tables: Tables, group_name: str, stream_ids: Collection[str] | None, by: Operator | None
) -> list[Stream]:
    """Write down that a reset begins; return the streams it covers, in order of creation.

    Raises:
        UnknownGroupError: no such group.
        BusyError: the group is still filling.
    """
    types = tables.groups.require(group_name).types
    _check_filled(tables, group_name)
    if stream_ids is None:
        streams = tables.log.streams
    else:
        named = (tables.log.stream(stream_id) for stream_id in set(stream_ids))
        known = (stream for stream in named if stream is not None)
        streams = sorted(known, key=lambda stream: stream.number)
    covered = [stream for stream in streams if stream.first(types) is not None]
    target = group_name if stream_ids is None else f"{group_name} {', '.join(sorted(stream_ids))}"
    pending = len(tables.deliveries.of(group_name).rows)
    before = f"{pending} streams with something to handle"
    tables.record("reset", target, by, before=before, after=f"{len(covered)} streams to replay")
    return covered


def reset_chunk(tables: Tables, group_name: str, streams: Sequence[Stream]) -> None:
    """Reset some streams, each at this one instant."""
    types = tables.groups.require(group_name).types
    _check_filled(tables, group_name)
    for stream in streams:
        first = stream.first(types)
        if first is not None:
            _reset(tables, group_name, stream, first)


def _reset(tables: Tables, group: str, stream: Stream, first: int) -> None:
    row = tables.deliveries.get((group, stream.id))
    if row is None:
        born = next(tables.numbers)
        replay_until = stream.head
    else:
        born = row.born
        replay_until = max(row.replay_until, row.next_seq - 1)
    tables.make_ready(
        Delivery(
            group=group,
            stream_id=stream.id,
            born=born,
            next_seq=first,
            replay_until=replay_until,
            restarted=True,
            ready_at=tables.now,
            epoch=next(tables.numbers),
        )
    )


def _check_filled(tables: Tables, group_name: str) -> None:
    if tables.groups.require(group_name).fill is not None:
        raise BusyError(group_name, "", "filling")

"""Append: lock the streams in one pass, write behind their heads, fan out."""

from __future__ import annotations

from collections.abc import Iterable

from storage_protocol.choices import BUILT, Choices
from storage_protocol.connection import Connection
from storage_protocol.program import Program
from storage_protocol.world import SUBSCRIPTIONS, Memory, Message, Step

__all__ = ["Append", "in_order"]


def in_order(streams: Iterable[str], choices: Choices = BUILT) -> list[str]:
    """Return each stream once, in the order in which they are locked."""
    once = list(dict.fromkeys(streams))
    return sorted(once) if choices.sorts_locks else once


class Append(Program):
    """Appends batches, each in a transaction of its own.

    Args:
        batches: the messages.
        own_row: a row of the caller's that each transaction changes first.
    """

    name = "append"

    def __init__(self, *batches: tuple[Message, ...], own_row: str = "") -> None:
        self._batches = batches
        self._own_row = own_row

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._write_own if self._own_row else self._begin,)

    def _batch(self, connection: Connection) -> tuple[Message, ...]:
        return self._batches[connection.memory.times]

    def _write_own(self, connection: Connection) -> str:
        connection.lock(("own", self._own_row))
        connection.then(self._begin)
        return "write own row"

    def _begin(self, connection: Connection) -> str:
        memory = connection.memory
        if connection.choices.isolation == "repeatable read" and memory.subscriptions is None:
            connection.remember(memory._replace(subscriptions=connection.subscriptions()))
            connection.rest(self._begin)
            return "begin REPEATABLE READ, first statement"
        connection.share(SUBSCRIPTIONS)
        connection.then(self._lock)
        return "begin, share subscriptions"

    def _lock(self, connection: Connection) -> str:
        streams = in_order((stream for stream, _ in self._batch(connection)), connection.choices)
        return connection.lock_streams(streams, self._lock, self._write)

    def _write(self, connection: Connection) -> str:
        batch = self._batch(connection)
        for stream in in_order(stream for stream, _ in batch):
            types = tuple(type for name, type in batch if name == stream)
            connection.fan_out(stream, connection.append(stream, types), types)
        connection.then(self._commit)
        return "write " + ", ".join(f"{type} to {stream}" for stream, type in batch)

    def _commit(self, connection: Connection) -> str:
        connection.commit()
        times = connection.memory.times + 1
        connection.remember(Memory(times=times))
        connection.rest(*(self.start if times < len(self._batches) else ()))
        return "COMMIT"

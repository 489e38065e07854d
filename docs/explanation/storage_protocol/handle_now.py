"""Handle now: decide in memory, then write unless a delivery or somebody's append is in the way."""

from __future__ import annotations

from storage_protocol.append import in_order
from storage_protocol.connection import Connection, Waits
from storage_protocol.ledger import Effects
from storage_protocol.program import Program
from storage_protocol.world import SUBSCRIPTIONS, Memory, Step

__all__ = ["HandleNow"]


class HandleNow(Program):
    """Handles a new `c` in each of some streams, as a group would, in one transaction."""

    name = "handle now"

    def __init__(self, group: str, *streams: str) -> None:
        self._group = group
        self._streams = streams

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._load,)

    def _is_in_the_way(self, connection: Connection) -> bool:
        db = connection.db
        group = db.groups[self._group]
        return group.is_filling or any((self._group, stream) in db.rows for stream in self._streams)

    def _load(self, connection: Connection) -> str:
        db = connection.db
        group = db.groups.get(self._group)
        if group is None or "c" not in group.types or self._is_in_the_way(connection):
            raise Waits
        connection.rest(self._begin)
        return "load, decide"

    def _begin(self, connection: Connection) -> str:
        connection.share(SUBSCRIPTIONS)
        connection.then(self._lock)
        return "begin, share subscriptions"

    def _lock(self, connection: Connection) -> str:
        streams = in_order(self._streams, connection.choices)
        return connection.lock_streams(streams, self._lock, self._write)

    def _write(self, connection: Connection) -> str:
        if self._is_in_the_way(connection):
            connection.rollback()
            self.interrupted(connection)
            return "a delivery is in the way, rolled back"
        for stream in self._streams:
            connection.fan_out(stream, connection.append(stream, ("c",)), ("c",), skip=self._group)
        connection.then(self._commit)
        return "write the command and its events"

    def _commit(self, connection: Connection) -> str:
        places = [(self._group, stream) for stream in self._streams]
        connection.commit(
            *(Effects(place, ((len(connection.read(place[1])), False),)) for place in places)
        )
        connection.remember(Memory())
        connection.rest()
        return "COMMIT"

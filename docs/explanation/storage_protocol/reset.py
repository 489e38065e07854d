"""Reset: share subscriptions, lock the streams, then write a delivery at the start of each."""

from __future__ import annotations

from storage_protocol.append import in_order
from storage_protocol.connection import Connection
from storage_protocol.ledger import Restarted, handled
from storage_protocol.program import Program
from storage_protocol.world import SUBSCRIPTIONS, Place, Row, Step, get

__all__ = ["Reset"]


class Reset(Program):
    """Lets a group handle some streams again, as one chunk."""

    name = "reset"

    def __init__(self, group: str, *streams: str) -> None:
        self._group = group
        self._streams = streams

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._begin,)

    def _begin(self, connection: Connection) -> str:
        if connection.choices.resets == "locks first":
            if connection.choices.resets_share:
                connection.share(SUBSCRIPTIONS)
            connection.then(self._lock)
            return "begin, share subscriptions"
        rows = {
            (self._group, stream): connection.row((self._group, stream)) for stream in self._streams
        }
        log = tuple(connection.db.log.items())
        connection.remember(connection.memory._replace(log=log, rows=tuple(rows.items())))
        connection.then(self._write)
        return "begin, take a snapshot"

    def _lock(self, connection: Connection) -> str:
        return connection.lock_streams(in_order(self._streams), self._lock, self._find)

    def _find(self, connection: Connection) -> str:
        if connection.db.groups[self._group].is_gone:
            connection.rollback()
            connection.rest()
            return "refused: no such group"
        connection.then(self._write)
        return "find the group"

    def _write(self, connection: Connection) -> str:
        """Write the delivery of the next stream; a statement writes all, and may wait at each."""
        memory = connection.memory
        stream = self._streams[memory.place]
        place = (self._group, stream)
        log, seen = connection.db.log[stream], connection.row(place)
        if connection.choices.resets == "reads first":
            log, seen = get(memory.log, stream, ()), get(memory.rows, place, None)
        todo = handled(log, connection.db.groups[self._group].types)
        if todo:
            self._restart(connection, place, todo, seen)
        connection.remember(memory._replace(place=memory.place + 1))
        is_last = memory.place + 1 == len(self._streams)
        connection.then(self._commit if is_last else self._write)
        return f"write the delivery of {stream} ({'there' if seen else 'absent'} before)"

    def _restart(
        self, connection: Connection, place: Place, todo: list[int], seen: Row | None
    ) -> None:
        connection.lock_inserted(place)
        new = connection.new_row(todo[0])
        replay_until = max(seen.replay_until, seen.next_seq - 1) if seen else todo[-1]
        epoch = connection.draw_epoch()
        if connection.choices.epochs == "row":
            epoch = seen.epoch + 1 if seen else 0
        there = connection.row(place)
        born = there.born if there else new.born
        connection.write_row(place, new._replace(replay_until=replay_until, epoch=epoch, born=born))

    def _commit(self, connection: Connection) -> str:
        connection.commit(*(Restarted((self._group, stream)) for stream in self._streams))
        connection.rest()
        return "COMMIT"

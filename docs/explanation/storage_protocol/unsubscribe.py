"""Unsubscribe: take types from a group while nobody appends, then move its deliveries on."""

from __future__ import annotations

from storage_protocol.connection import Connection, Waits
from storage_protocol.ledger import handled
from storage_protocol.program import GAVE_UP, Program
from storage_protocol.world import (
    SUBSCRIPTIONS,
    Memory,
    Step,
    group_lock,
    stream_lock,
)

__all__ = ["Unsubscribe"]


class Unsubscribe(Program):
    """Takes types from a group; then, stream by stream, its deliveries go on to what is left."""

    name = "unsubscribe"

    def __init__(self, group: str, types: str) -> None:
        self._group = group
        self._types = frozenset(types)

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._lock_group,)

    def interrupted(self, connection: Connection) -> None:
        """Go on with the same chunk, if the types are gone already."""
        is_done = not self._types & connection.db.groups[self._group].types
        connection.rest(*((self._choose,) if is_done else self.start))

    def _is_obstructed(self, connection: Connection) -> bool:
        is_alone = connection.choices.unsubscribes == "alone"
        return is_alone and not connection.is_free(SUBSCRIPTIONS)

    def _lock_group(self, connection: Connection) -> str:
        if connection.memory.way == GAVE_UP and self._is_obstructed(connection):
            raise Waits
        connection.remember(Memory())
        connection.lock(group_lock(self._group))
        connection.then(self._take_types)
        return "lock the group"

    def _take_types(self, connection: Connection) -> str:
        if self._is_obstructed(connection):
            return self._give_up(connection)
        if connection.choices.unsubscribes == "alone":
            connection.lock(SUBSCRIPTIONS)
        group = connection.db.groups[self._group]
        left = group._replace(types=group.types - self._types, is_moving=True)
        connection.write_group(self._group, left)
        connection.then(self._commit_types)
        return f"take {', '.join(sorted(self._types))}"

    def _give_up(self, connection: Connection) -> str:
        if not connection.choices.gives_up:
            raise Waits
        connection.rollback()
        connection.remember(Memory(way=GAVE_UP))
        connection.rest(*self.start)
        return "lock timeout, rolled back"

    def _commit_types(self, connection: Connection) -> str:
        connection.commit()
        connection.rest(self._choose)
        return "COMMIT"

    def _choose(self, connection: Connection) -> str:
        """Take the deliveries that are there, one a chunk; what comes later needs no moving."""
        rows = [place[1] for place in connection.db.rows if place[0] == self._group]
        left = [stream for stream in sorted(rows) if stream > self._upto(connection)]
        if not left:
            group = connection.db.groups[self._group]
            connection.write_group(self._group, group._replace(is_moving=False))
            connection.commit()
            connection.rest()
            return "nothing is left to move"
        connection.remember(Memory(way=left[0]))
        if connection.choices.moves_on == "reads first":
            log = tuple(connection.db.log.items())
            connection.remember(connection.memory._replace(log=log))
            connection.then(self._move)
            return f"move on: {left[0]}, take a snapshot"
        connection.then(self._lock_stream)
        return f"move on: {left[0]}"

    def _upto(self, connection: Connection) -> str:
        return connection.memory.way

    def _lock_stream(self, connection: Connection) -> str:
        stream = self._upto(connection)
        connection.lock(stream_lock(stream))
        connection.then(self._lock_row)
        return f"move on: lock {stream}"

    def _lock_row(self, connection: Connection) -> str:
        connection.lock_row((self._group, self._upto(connection)))
        connection.then(self._move)
        return "move on: lock the delivery"

    def _move(self, connection: Connection) -> str:
        stream = self._upto(connection)
        place = (self._group, stream)
        log = dict(connection.memory.log).get(stream, connection.db.log[stream])
        row = connection.row(place)
        if row is not None:
            todo = handled(log, connection.db.groups[self._group].types, row.next_seq - 1)
            if not todo:
                connection.write_row(place, None)
            elif todo[0] != row.next_seq:
                worker = "" if connection.choices.moving_frees else row.worker
                moved = row._replace(next_seq=todo[0], worker=worker, parked=False)
                connection.write_row(place, moved)
        connection.then(self._commit_chunk)
        return f"move on: the delivery of {stream}"

    def _commit_chunk(self, connection: Connection) -> str:
        connection.commit()
        connection.remember(Memory(way=self._upto(connection)))
        connection.rest(self._choose)
        return "move on: COMMIT"

"""Unsubscribe: take types from a group while nobody appends, then move its deliveries on.

Remove: unsubscribe from all, then delete the group while nobody appends.
"""

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

__all__ = ["Remove", "Unsubscribe"]


class Unsubscribe(Program):
    """Takes types from a group; then, stream by stream, its deliveries go on to what is left."""

    name = "unsubscribe"

    def __init__(self, group: str, types: str) -> None:
        self._group = group
        self._types = frozenset(types)

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._begin,)

    @property
    def _afterwards(self) -> tuple[Step, ...]:
        """What follows when all deliveries have moved."""
        return ()

    def interrupted(self, connection: Connection) -> None:
        """Go on with the same chunk, if the types are gone already."""
        is_done = not self._types & connection.db.groups[self._group].types
        connection.rest(*((self._choose,) if is_done else self.start))

    def _is_obstructed(self, connection: Connection) -> bool:
        if connection.choices.unsubscribes == "beside appends":
            return False
        needed = (SUBSCRIPTIONS, group_lock(self._group))
        return not all(connection.is_free(lock) for lock in needed)

    def _begin(self, connection: Connection) -> str:
        if connection.memory.way == GAVE_UP and self._is_obstructed(connection):
            raise Waits
        connection.remember(Memory())
        if connection.choices.unsubscribes == "alone, the group first":
            connection.lock(group_lock(self._group))
            connection.then(self._take_types)
            return "lock the group"
        if connection.choices.unsubscribes == "alone":
            connection.lock(SUBSCRIPTIONS)
        connection.then(self._take_types)
        return "alone with subscriptions"

    def _take_types(self, connection: Connection) -> str:
        if self._is_obstructed(connection):
            return self._give_up(connection)
        if connection.choices.unsubscribes == "alone, the group first":
            connection.lock(SUBSCRIPTIONS)
        connection.lock(group_lock(self._group))
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
            connection.rest(*self._afterwards)
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


class Remove(Unsubscribe):
    """Takes all types from a group, moves its deliveries on, and forgets it; again if need be."""

    name = "remove"

    @property
    def _afterwards(self) -> tuple[Step, ...]:
        return (self._have_alone,)

    def _have_alone(self, connection: Connection) -> str:
        if connection.choices.removes == "alone":
            connection.lock(SUBSCRIPTIONS)
        connection.then(self._have_group)
        return "remove: alone with subscriptions"

    def _have_group(self, connection: Connection) -> str:
        connection.lock(group_lock(self._group))
        if connection.choices.removes == "alone" and connection.db.groups[self._group].types:
            connection.rollback()
            connection.remember(Memory())
            connection.rest(*self.start)
            return "remove: it was registered again"
        connection.then(self._delete)
        return "remove: have the group alone"

    def _delete(self, connection: Connection) -> str:
        for place in [place for place in connection.db.rows if place[0] == self._group]:
            connection.lock_row(place)
            connection.write_row(place, None)
        group = connection.db.groups[self._group]
        gone = group._replace(types=frozenset(), is_filling=False, is_moving=False, is_gone=True)
        connection.write_group(self._group, gone)
        connection.then(self._commit_removal)
        return "remove: delete what is the group's"

    def _commit_removal(self, connection: Connection) -> str:
        connection.commit()
        connection.rest()
        return "remove: COMMIT"

"""Register: make the group visible while no append is under way, then fill it in chunks.

subscribe  alone with subscriptions · rename, if it was known by another name · COMMIT
fill       lock the next stream · lock the group's row, is it still filling, and no further? · write
           the stream's delivery · COMMIT
"""

from __future__ import annotations

from collections.abc import Sequence

from storage_protocol.connection import Connection, Waits
from storage_protocol.ledger import handled
from storage_protocol.program import GAVE_UP, Program
from storage_protocol.world import (
    SUBSCRIPTIONS,
    Group,
    Lock,
    Memory,
    Place,
    Row,
    Step,
    group_lock,
    name_lock,
    row_lock,
    stream_lock,
)

__all__ = ["Register"]


class Register(Program):
    """Makes a group, adds types to one that is known, or renames one.

    Args:
        group: its name.
        types: what it handles.
        was: its former names.
    """

    def __init__(self, group: str, types: str, was: Sequence[str] = ()) -> None:
        self.name = f"register {group}"
        self._group = group
        self._types = frozenset(types)
        self._was = was

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._begin,)

    # --- subscribe --------------------------------------------------------------------------------

    def _begin(self, connection: Connection) -> str:
        db = connection.db
        key = db.find(self._group)
        if key is not None and self._types <= db.groups[key].types:
            connection.remember(Memory(group=key))
            connection.rest(*((self._choose,) if db.groups[key].is_filling else ()))
            return "known"
        if self._former_of(connection):
            connection.rest()
            return "refused: it was renamed"
        if connection.memory.way == GAVE_UP and self._is_obstructed(connection):
            raise Waits
        if connection.choices.registers != "at once, beside appends":
            connection.lock(SUBSCRIPTIONS)
        connection.then(self._find)
        return "alone with subscriptions"

    def _is_obstructed(self, connection: Connection) -> bool:
        return not all(connection.is_free(lock) for lock in self._needed(connection))

    def _needed(self, connection: Connection) -> list[Lock]:
        """Return the locks that it will take behind the one on subscriptions."""
        if (key := connection.db.find(self._group)) is not None:
            return [group_lock(key)]
        known = [(name, connection.db.find(name)) for name in self._was]
        return [
            lock
            for name, key in known
            if key is not None
            for lock in (name_lock(name), *map(row_lock, self._held(connection, key)))
        ]

    def _former_of(self, connection: Connection) -> bool:
        return connection.choices.remembers_names and any(
            self._group in group.former and group.name not in self._was
            for group in connection.db.groups.values()
        )

    def _find(self, connection: Connection) -> str:
        """Find or make the group, under its row's lock."""
        db = connection.db
        key = db.find(self._group)
        if key is not None:
            return self._add_types(connection, key)
        for name in self._was:
            if (former := db.find(name)) is not None:
                return self._rename(connection, former)
        key = self._group if self._group not in db.groups else f"{self._group} again"
        connection.remember(Memory(group=key))
        if connection.choices.registers != "in chunks":
            connection.then(self._make_at_once)
            return "find no such group"
        reactor = self._reactor(connection, key)
        connection.write_group(
            key, Group(self._group, self._types, is_filling=True, reactor=reactor)
        )
        connection.commit()
        connection.rest(self._choose)
        return "group is filling, COMMIT"

    def _reactor(self, connection: Connection, key: str) -> str:
        """Return whose work a new group of this name does: maybe another group's."""
        known = connection.db.groups.values()
        return next((one.reactor for one in known if self._group in one.former), key)

    def _add_types(self, connection: Connection, key: str) -> str:
        if not connection.is_free(group_lock(key)):
            return self._give_up(connection)
        connection.lock(group_lock(key))
        group = connection.db.groups[key]
        added = self._types - group.types
        if not group.is_filling:
            for type in added:
                for stream, log in connection.db.log.items():
                    connection.db.since[key, type, stream] = len(log)
        filled = 0 if connection.choices.fill_restarts else group.filled
        connection.write_group(key, group._replace(types=group.types | added, filled=filled))
        connection.remember(Memory(group=key))
        connection.commit()
        connection.rest(*((self._choose,) if group.is_filling else ()))
        return f"add {', '.join(sorted(added))}, COMMIT"

    def _give_up(self, connection: Connection) -> str:
        """Try again later; whoever waits for good here, while it is alone, stops all appends."""
        if not connection.choices.gives_up:
            raise Waits
        connection.rollback()
        connection.remember(Memory(way=GAVE_UP))
        connection.rest(*self.start)
        return "lock timeout, rolled back"

    # --- rename -----------------------------------------------------------------------------------

    def _rename(self, connection: Connection, key: str) -> str:
        group = connection.db.groups[key]
        if connection.choices.rename_waits:
            if not connection.is_free(name_lock(group.name)):
                return self._give_up(connection)
            connection.lock(name_lock(group.name))
        former = (group.former | {group.name}) - {self._group}
        connection.write_group(key, group._replace(name=self._group, former=former))
        connection.remember(Memory(group=key))
        connection.then(self._free_claims)
        return f"rename {group.name}"

    def _held(self, connection: Connection, key: str) -> dict[Place, Row]:
        rows = connection.db.rows.items()
        return {place: row for place, row in rows if place[0] == key and row.worker}

    def _free_claims(self, connection: Connection) -> str:
        held = self._held(connection, connection.memory.group)
        if connection.choices.rename_frees:
            if not all(connection.is_free(row_lock(place)) for place in held):
                return self._give_up(connection)
            for place, row in held.items():
                connection.write_row(place, row._replace(worker=""))
        connection.then(self._commit)
        return "free its claims"

    def _commit(self, connection: Connection) -> str:
        connection.commit()
        connection.rest()
        return "COMMIT"

    # --- fill -------------------------------------------------------------------------------------

    def _choose(self, connection: Connection) -> str:
        """Find the next stream; without the check a process trusts what it has filled itself."""
        memory = connection.memory
        group = connection.db.groups[memory.group]
        if connection.choices.fill_checks:
            if not group.is_filling:
                connection.rest()
                return "fill: no longer filling"
            connection.remember(memory._replace(place=group.filled))
        connection.then(self._lock_next)
        return "fill: begin"

    def _lock_next(self, connection: Connection) -> str:
        stream = list(connection.db.log)[connection.memory.place]
        connection.lock(stream_lock(stream))
        connection.then(self._lock_group)
        return f"fill: lock {stream}"

    def _lock_group(self, connection: Connection) -> str:
        memory = connection.memory
        connection.lock(group_lock(memory.group))
        group = connection.db.groups[memory.group]
        if connection.choices.fill_checks and not (
            group.is_filling and group.filled == memory.place
        ):
            connection.rollback()
            connection.rest(*((self._choose,) if group.is_filling else ()))
            return "fill: lock the group, somebody else has filled it"
        connection.then(self._fill)
        return "fill: lock the group, still filling"

    def _fill(self, connection: Connection) -> str:
        memory = connection.memory
        connection.remember(memory._replace(place=memory.place + 1))
        return self._fill_chunk(connection, memory.place)

    def _fill_chunk(self, connection: Connection, number: int) -> str:
        """Fill one stream; whether it was the last is written down in the group's row."""
        key = connection.memory.group
        stream = list(connection.db.log)[number]
        self._announce(connection, key, stream)
        is_last = number + 1 == len(connection.db.log)
        group = connection.db.groups[key]
        is_filling = group.is_filling and not is_last
        connection.write_group(key, group._replace(filled=number + 1, is_filling=is_filling))
        connection.commit()
        connection.rest(*(() if is_last else (self._choose,)))
        return f"fill: {stream}{', group is active' if is_last else ''}, COMMIT"

    def _announce(self, connection: Connection, key: str, stream: str) -> None:
        place = (key, stream)
        todo = handled(connection.db.log[stream], connection.db.groups[key].types)
        if not todo:
            return
        connection.lock_inserted(place)
        row = connection.row(place)
        if row is None:
            connection.write_row(place, connection.new_row(todo[0]))
        else:
            connection.write_row(place, row._replace(next_seq=min(row.next_seq, todo[0])))

    # --- all at once ------------------------------------------------------------------------------

    def _make_at_once(self, connection: Connection) -> str:
        key = connection.memory.group
        group = Group(self._group, self._types, reactor=self._group)
        connection.write_group(key, group)
        for stream, log in connection.db.log.items():
            todo = handled(log, self._types)
            if todo:
                connection.insert_row((key, stream), todo[0])
        connection.then(self._commit)
        return "make the group and all its deliveries"

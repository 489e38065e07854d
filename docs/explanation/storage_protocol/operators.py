"""What operators do to deliveries: skip and unpark; and what a worker does when it ends: leave."""

from __future__ import annotations

from storage_protocol.connection import Connection, Waits
from storage_protocol.ledger import Skipped, handled
from storage_protocol.program import Program
from storage_protocol.world import Row, Step, stream_lock

__all__ = ["Leave", "Skip", "Unpark"]


class Skip(Program):
    """Counts the first pending message of a stream as handled, unless a worker holds it."""

    name = "skip"

    def __init__(self, group: str, stream: str) -> None:
        self._group = group
        self._stream = stream

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._begin,)

    def _begin(self, connection: Connection) -> str:
        if (self._group, self._stream) not in connection.db.rows:
            raise Waits
        if connection.choices.skips == "reads first":
            log = tuple(connection.db.log.items())
            connection.remember(connection.memory._replace(log=log))
            connection.then(self._lock_row)
            return "begin, take a snapshot"
        connection.then(self._lock_stream)
        return "begin"

    def _lock_stream(self, connection: Connection) -> str:
        connection.lock(stream_lock(self._stream))
        connection.then(self._lock_row)
        return f"lock {self._stream}"

    def _lock_row(self, connection: Connection) -> str:
        connection.lock_row((self._group, self._stream))
        connection.then(self._skip)
        return "lock the delivery"

    def _skip(self, connection: Connection) -> str:
        row = connection.row((self._group, self._stream))
        if row is None or row.worker:
            connection.rollback()
            connection.rest()
            return "held by a worker, or gone; rolled back"
        log = dict(connection.memory.log).get(self._stream, connection.db.log[self._stream])
        types = connection.db.groups[self._group].types
        first, *later = handled(log, types, row.next_seq - 1)
        moved = row._replace(next_seq=later[0], parked=False) if later else None
        connection.write_row((self._group, self._stream), moved)
        connection.remember(connection.memory._replace(place=first))
        connection.then(self._commit)
        return f"skip #{first}"

    def _commit(self, connection: Connection) -> str:
        connection.commit(Skipped((self._group, self._stream), connection.memory.place))
        connection.rest()
        return "COMMIT"


class Unpark(Program):
    """Makes a group's parked streams ready, once."""

    name = "unpark"

    def __init__(self, group: str) -> None:
        self._group = group

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._unpark,)

    def _unpark(self, connection: Connection) -> str:
        parked = [
            (place, row)
            for place, row in connection.db.rows.items()
            if place[0] == self._group and row.parked and not row.worker
        ]
        if not parked:
            raise Waits
        for place, row in parked:
            connection.write_row(place, row._replace(parked=False))
        connection.commit()
        connection.rest()
        return "ready again"


class Leave(Program):
    """Frees all that a worker holds, as it ends; or as its process does under another id."""

    name = "leave"

    def __init__(self, worker: str) -> None:
        self._worker = worker

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._begin,)

    def _held(self, connection: Connection) -> list[tuple[tuple[str, str], Row]]:
        rows = connection.db.rows
        return [
            (place, rows[place]) for place in sorted(rows) if rows[place].worker == self._worker
        ]

    def _begin(self, connection: Connection) -> str:
        if not self._held(connection):
            raise Waits
        places = tuple((place, None) for place, _ in self._held(connection))
        connection.remember(connection.memory._replace(rows=places))
        connection.then(self._lock)
        return "begin"

    def _lock(self, connection: Connection) -> str:
        memory = connection.memory
        place = memory.rows[memory.place][0]
        row = connection.lock_row(place)
        if connection.choices.lets_go == "row by row" and row and row.worker == self._worker:
            connection.write_row(place, row._replace(worker=""))
        connection.remember(memory._replace(place=memory.place + 1))
        is_last = memory.place + 1 == len(memory.rows)
        connection.then(self._free if is_last else self._lock)
        return f"lock the delivery of {'/'.join(place)}"

    def _free(self, connection: Connection) -> str:
        for place, _ in connection.memory.rows:
            row = connection.row(place)
            if row is not None and row.worker == self._worker:
                connection.write_row(place, row._replace(worker=""))
        connection.commit()
        connection.rest()
        return "free them, COMMIT"

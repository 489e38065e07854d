"""The database as the model has it: READ COMMITTED, row locks, advisory locks, private writes.

A statement is one step. What it reads is committed, or its own; what it writes others see after the
commit. A statement that cannot get a lock does not happen yet: it `Waits`. So one that waits reads
by a snapshot from after its wait, which PostgreSQL's does not; where that matters, a wrong variant
takes its snapshot in a step of its own, before the one that waits.

A row's lock makes other lockers and writers wait. Inserting a key that is there waits only for who
has *written* it: PostgreSQL's `ON CONFLICT DO NOTHING` passes by a row that is merely locked.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage_protocol.choices import Choices
from storage_protocol.ledger import Effects, Restarted, Skipped, Violation, broken, enter, stale
from storage_protocol.world import (
    Group,
    Lock,
    Memory,
    Pairs,
    Place,
    Process,
    Row,
    Step,
    World,
    Writes,
    get,
    put,
    row_lock,
    stream_lock,
)

__all__ = ["Connection", "Database", "Waits"]


class Waits(Exception):  # noqa: N818 - no error: the statement happens later
    """A statement cannot happen now."""


class Database:
    """A world that is being changed."""

    def __init__(self, world: World) -> None:
        self.log = dict(world.log)
        self.rows = dict(world.rows)
        self.groups = dict(world.groups)
        self.epochs = world.epochs
        self.births = world.births
        self.locks = dict(world.locks)
        self.shared = dict(world.shared)
        self.processes = list(world.processes)
        self.durable = world.durable
        self.done = dict(world.done)
        self.ever = dict(world.ever)
        self.since = dict(world.since)
        self.budget = world.budget
        self.violation: Violation | None = None

    def world(self) -> World:
        """Return what it has become."""
        return World(
            log=tuple(self.log.items()),
            rows=tuple(sorted(self.rows.items())),
            groups=tuple(sorted(self.groups.items(), key=lambda item: item[0])),
            epochs=self.epochs,
            births=self.births,
            locks=tuple(sorted(self.locks.items())),
            shared=tuple(sorted(self.shared.items(), key=lambda item: item[0])),
            processes=tuple(self.processes),
            durable=self.durable,
            done=tuple(sorted(self.done.items())),
            ever=tuple(sorted(self.ever.items(), key=lambda item: item[0])),
            since=tuple(sorted(self.since.items())),
            budget=self.budget,
        )

    def find(self, name: str) -> str | None:
        """Return the key of the group of this name."""
        known = (key for key, one in self.groups.items() if one.name == name and not one.is_gone)
        return next(known, None)

    def unlock(self, number: int) -> None:
        """Let go of all locks of a process."""
        for lock in [lock for lock, holder in self.locks.items() if holder == number]:
            del self.locks[lock]
        for lock in [lock for lock, holders in self.shared.items() if number in holders]:
            self.shared[lock] -= {number}
            if not self.shared[lock]:
                del self.shared[lock]


class Connection:
    """What one process does to the world, statement by statement."""

    def __init__(self, db: Database, number: int, choices: Choices) -> None:
        self.db = db
        self.number = number
        self.choices = choices

    # --- the process ------------------------------------------------------------------------------

    @property
    def process(self) -> Process:
        """The process, as it is between two statements."""
        return self.db.processes[self.number]

    @property
    def memory(self) -> Memory:
        """What it remembers."""
        return self.process.memory

    def remember(self, memory: Memory) -> None:
        """Replace what it remembers."""
        self._become(self.process._replace(memory=memory))

    def then(self, *steps: Step) -> None:
        """Say which statements may come next."""
        self._become(self.process._replace(steps=steps, is_open=True))

    def rest(self, *steps: Step) -> None:
        """Say the same, with no transaction open."""
        self._become(self.process._replace(steps=steps, is_open=False))

    def _become(self, process: Process) -> None:
        self.db.processes[self.number] = process

    # --- locks ------------------------------------------------------------------------------------

    def is_free(self, lock: Lock) -> bool:
        """Return whether an exclusive lock could be had."""
        others = self.db.shared.get(lock, frozenset()) - {self.number}
        return not others and self.db.locks.get(lock, self.number) == self.number

    def lock(self, lock: Lock) -> None:
        """Take a lock alone."""
        if not self.is_free(lock):
            raise Waits
        self.db.locks[lock] = self.number

    def share(self, lock: Lock) -> None:
        """Take a lock that others may share."""
        if self.db.locks.get(lock, self.number) != self.number:
            raise Waits
        self.db.shared[lock] = self.db.shared.get(lock, frozenset()) | {self.number}

    def holds(self, lock: Lock) -> bool:
        """Return whether the process has a lock alone."""
        return self.db.locks.get(lock) == self.number

    def holds_streams(self, streams: Sequence[str]) -> bool:
        """Return whether the process has locked all of these streams."""
        return all(self.holds(stream_lock(stream)) for stream in streams)

    def lock_streams(self, streams: Sequence[str], again: Step, then: Step) -> str:
        """Take the next lock of several streams, one a statement.

        Args:
            streams: in the order in which they are locked.
            again: the step that calls this.
            then: what follows the last lock.
        """
        missing = [stream for stream in streams if not self.holds(stream_lock(stream))]
        self.lock(stream_lock(missing[0]))
        self.then(again if len(missing) > 1 else then)
        return f"lock {missing[0]}"

    # --- the log ----------------------------------------------------------------------------------

    def read(self, stream: str) -> tuple[str, ...]:
        """Return the types of a stream's messages, its own among them."""
        return self.db.log[stream] + get(self.process.writes.log, stream, ())

    def append(self, stream: str, types: tuple[str, ...]) -> int:
        """Write messages to the end of a stream; return the seq of the first."""
        first = len(self.read(stream)) + 1
        writes = self.process.writes
        own = get(writes.log, stream, ()) + types
        self._write(writes._replace(log=put(writes.log, stream, own)))
        return first

    # --- deliveries -------------------------------------------------------------------------------

    def row(self, place: Place) -> Row | None:
        """Return a delivery, as this transaction sees it."""
        return get(self.process.writes.rows, place, self.db.rows.get(place))

    def lock_row(self, place: Place) -> Row | None:
        """Lock a delivery that others see, if it is there; return its newest version."""
        if place in self.db.rows:
            self.lock(row_lock(place))
        return self.row(place)

    def write_row(self, place: Place, row: Row | None) -> None:
        """Change or delete a delivery."""
        self.lock(row_lock(place))
        writes = self.process.writes
        self._write(writes._replace(rows=put(writes.rows, place, row)))

    def insert_row(self, place: Place, next_seq: int) -> bool:
        """Make a delivery unless there is one; wait for a transaction that has written it."""
        for number, process in enumerate(self.db.processes):
            if number != self.number and place in dict(process.writes.rows):
                raise Waits
        if self.row(place) is not None:
            return False
        self.write_row(place, self.new_row(next_seq))
        return True

    def lock_inserted(self, place: Place) -> None:
        """Lock a delivery that is to be made or changed (ON CONFLICT DO UPDATE)."""
        self.lock(row_lock(place))

    def new_row(self, next_seq: int) -> Row:
        """Return a delivery unlike all that were there before."""
        self.db.births += 1
        return Row(next_seq, born=self.db.births)

    def draw_epoch(self) -> int:
        """Draw the next number of the store's counter; nobody gives it back."""
        self.db.epochs += 1
        return self.db.epochs

    # --- groups -----------------------------------------------------------------------------------

    def write_group(self, key: str, group: Group) -> None:
        """Make or change a group."""
        writes = self.process.writes
        self._write(writes._replace(groups=put(writes.groups, key, group)))

    def subscriptions(self) -> Pairs[str, frozenset[str]]:
        """Return what each group subscribes to."""
        return tuple((key, group.types) for key, group in self.db.groups.items())

    def fan_out(self, stream: str, first: int, types: Sequence[str], skip: str = "") -> None:
        """Make the deliveries that messages cause, in order of groups.

        Args:
            stream: where they are.
            first: the seq of the first.
            types: theirs.
            skip: a group that has handled them.
        """
        seen = self.memory.subscriptions
        for group, handled in sorted(self.subscriptions() if seen is None else seen):
            wanted = [seq for seq, type in enumerate(types, first) if type in handled]
            if wanted and group != skip:
                self.insert_row((group, stream), wanted[0])

    # --- the end ----------------------------------------------------------------------------------

    def commit(self, *entries: Effects | Restarted | Skipped) -> None:
        """Let others see what was written, and compare it with the ledger.

        Args:
            entries: what the ledger is to know of it.
        """
        for entry in entries:
            if isinstance(entry, Effects):
                self._found(stale(self.db, entry))
        self._publish()
        for entry in entries:
            self._found(enter(self.db, entry))
        self.rollback()
        self.db.durable = None
        self._found(broken(self.db))

    def commit_lightly(self, epochs: int) -> None:
        """Commit without waiting for the disk: a crash may take it back.

        Args:
            epochs: the counter as it was before; what was drawn since may be drawn again.
        """
        if self.db.durable is None and self.process.writes != Writes():
            self.db.durable = (tuple(sorted(self.db.rows.items())), epochs)
        self._publish()
        self.rollback()

    def rollback(self) -> None:
        """Let go of all that the transaction wrote and locked."""
        self._become(self.process._replace(writes=Writes(), is_open=False))
        self.db.unlock(self.number)

    def violate(self, rule: str, how: str) -> None:
        """Say that a rule is broken."""
        self._found(Violation(rule, how))

    def _found(self, violation: Violation | None) -> None:
        self.db.violation = self.db.violation or violation

    def _publish(self) -> None:
        writes = self.process.writes
        for stream, types in writes.log:
            self.db.log[stream] += types
        for place, row in writes.rows:
            if row is None:
                self.db.rows.pop(place, None)
            else:
                self.db.rows[place] = row
        self.db.groups.update(writes.groups)

    def _write(self, writes: Writes) -> None:
        self._become(self.process._replace(writes=writes))

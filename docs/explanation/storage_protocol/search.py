"""The search: every interleaving of the statements, breadth first, so traces are the shortest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from storage_protocol.choices import BUILT, Choices
from storage_protocol.connection import Connection, Database, Waits
from storage_protocol.environment import end_deadlock, happenings
from storage_protocol.ledger import Violation, handled, owed
from storage_protocol.program import Program
from storage_protocol.world import NOTHING, Budget, Group, Place, Process, Row, World

__all__ = ["Bounds", "Found", "search"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Where a search begins, and how much may happen.

    Attributes:
        programs: what the processes do.
        log: the types of each stream's messages.
        groups: what each group handles.
        pending: the deliveries that are there; all else has been handled.
        budget: of what may happen to them.
    """

    programs: Sequence[Program]
    log: Mapping[str, str] = field(default_factory=lambda: {"A": ""})
    groups: Mapping[str, str] = field(default_factory=lambda: {"G": "c"})
    pending: Sequence[Place] = ()
    budget: Budget = NOTHING

    def world(self) -> World:
        """Return the first state."""
        log = tuple((stream, tuple(types)) for stream, types in self.log.items())
        groups = tuple(
            (name, Group(name, frozenset(types), reactor=name))
            for name, types in sorted(self.groups.items())
        )
        done = {
            (name, stream): handled(types, group.types)
            for name, group in groups
            for stream, types in log
            if (name, stream) not in self.pending
        }
        return World(
            log=log,
            rows=tuple((place, Row(1)) for place in sorted(self.pending)),
            groups=groups,
            epochs=0,
            births=0,
            locks=(),
            shared=(),
            processes=tuple(Process(program.start) for program in self.programs),
            durable=None,
            done=tuple(sorted((place, max(seqs)) for place, seqs in done.items() if seqs)),
            ever=tuple(sorted((place, frozenset(seqs)) for place, seqs in done.items() if seqs)),
            since=(),
            budget=self.budget,
        )


class Found(NamedTuple):
    """What a search found.

    Attributes:
        violation: the rule that is broken; None if all hold in all states.
        trace: the shortest way there.
        states: how many were looked at.
        is_complete: whether these are all.
    """

    violation: Violation | None
    trace: tuple[str, ...]
    states: int
    is_complete: bool


class _Next(NamedTuple):
    label: str
    world: World
    violation: Violation | None


def search(bounds: Bounds, choices: Choices = BUILT, *, limit: int = 1_000_000) -> Found:
    """Look at every state that can be reached, until a rule is broken or there are too many."""
    programs = bounds.programs
    first = bounds.world()
    came_from: dict[World, tuple[World, str] | None] = {first: None}
    queue = deque([first])
    while queue and len(came_from) <= limit:
        world = queue.popleft()
        following, violation = _expand(world, programs, choices)
        if violation:
            return Found(violation, _trace(came_from, world), len(came_from), is_complete=False)
        for label, after, broken in following:
            if broken:
                trace = (*_trace(came_from, world), label)
                return Found(broken, trace, len(came_from), is_complete=False)
            if after not in came_from:
                came_from[after] = (world, label)
                queue.append(after)
    return Found(None, (), len(came_from), is_complete=not queue)


def _expand(
    world: World, programs: Sequence[Program], choices: Choices
) -> tuple[list[_Next], Violation | None]:
    """Return what may follow, and the rule that is broken if nothing is sure to."""
    following = list(_steps(world, programs, choices))
    is_quiet = not following
    for label, db, is_sure in happenings(world, programs, choices):
        is_quiet = is_quiet and not is_sure
        following.append(_Next(label, db.world(), db.violation))
    if not is_quiet:
        return following, None
    waiting = _waiting(world, programs)
    if waiting and choices.ends_deadlocks:
        if world.budget.deadlocks:
            following += [
                _Next(label, db.world(), db.violation)
                for label, db in end_deadlock(world, programs, choices)
            ]
        return following, None
    if waiting:
        return following, Violation("dead", f"{' and '.join(waiting)} wait for one another")
    return following, _left_over(world, programs)


def _steps(world: World, programs: Sequence[Program], choices: Choices) -> Iterator[_Next]:
    for number, process in enumerate(world.processes):
        for step in process.steps:
            db = Database(world)
            try:
                label = step(Connection(db, number, choices))
            except Waits:
                continue
            yield _Next(f"{_name(programs, number)}: {label}", db.world(), db.violation)


def _name(programs: Sequence[Program], number: int) -> str:
    """Return what a trace calls a process: by its program, numbered where several do the same."""
    same = [
        other for other, program in enumerate(programs) if program.name == programs[number].name
    ]
    suffix = f" ({same.index(number) + 1})" if len(same) > 1 else ""
    return programs[number].name + suffix


def _waiting(world: World, programs: Sequence[Program]) -> list[str]:
    return [
        _name(programs, number)
        for number, process in enumerate(world.processes)
        if process.is_open or process.steps not in {(), programs[number].start}
    ]


def _left_over(world: World, programs: Sequence[Program]) -> Violation | None:
    """Return what is still to be handled by a group that has a worker, when all of them rest."""
    db = Database(world)
    names = {
        program.group
        for program, process in zip(programs, world.processes, strict=True)
        if program.worker and process.steps
    }
    for key, group in db.groups.items():
        if group.name not in names or group.is_filling:
            continue
        for stream in db.log:
            row = db.rows.get((key, stream))
            if (todo := owed(db, (key, stream))) and not (row and row.parked):
                rest = "the delivery is claimable" if row else "no delivery"
                if row and row.worker:
                    rest = f"{row.worker} holds the delivery at #{row.next_seq}"
                return Violation("stuck", f"{group.name}/{stream} has {todo} to handle, {rest}")
    return None


def _trace(came_from: Mapping[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    labels: list[str] = []
    while (before := came_from[world]) is not None:
        world, label = before
        labels.append(label)
    return tuple(reversed(labels))

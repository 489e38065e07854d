"""What happens to processes: leases end, processes die, the server dies, deadlocks are ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from storage_protocol.choices import Choices
from storage_protocol.connection import Connection, Database
from storage_protocol.program import Program
from storage_protocol.world import DEAD, World, row_lock

__all__ = ["Happening", "end_deadlock", "happenings"]

Happening = tuple[str, Database, bool]
"""What it is, what becomes of the world, and whether it is sure to happen some day."""


def happenings(world: World, programs: Sequence[Program], choices: Choices) -> Iterator[Happening]:
    """Give all that may happen now."""
    dead = {
        program.worker
        for program, process in zip(programs, world.processes, strict=True)
        if program.worker and process == DEAD
    }
    for worker in sorted({row.worker for _, row in world.rows if row.worker}):
        if worker in dead or world.budget.reaps:
            yield from _reap(world, worker, is_sure=worker in dead)
    if world.budget.kills:
        for worker in sorted({program.worker for program in programs if program.worker} - dead):
            yield f"kill -9 {worker}", _kill(world, programs, worker), False
    if world.budget.crashes and world.durable is not None:
        yield "server crash, last claims lost", _crash(world, programs, choices), False


def _reap(world: World, worker: str, *, is_sure: bool) -> Iterator[Happening]:
    """Free what a worker holds, but what is locked: that is left to the next reaper."""
    db = Database(world)
    for place, row in world.rows:
        if row.worker == worker and row_lock(place) not in db.locks:
            db.rows[place] = row._replace(worker="")
    if not is_sure:
        db.budget = db.budget._replace(reaps=db.budget.reaps - 1)
    if db.rows != dict(world.rows):
        yield f"reap: lease of {worker} is over", db, is_sure


def _kill(world: World, programs: Sequence[Program], worker: str) -> Database:
    db = Database(world)
    for number, program in enumerate(programs):
        if program.worker == worker:
            db.unlock(number)
            db.processes[number] = DEAD
    db.budget = db.budget._replace(kills=db.budget.kills - 1)
    return db


def _crash(world: World, programs: Sequence[Program], choices: Choices) -> Database:
    """Lose what did not wait for the disk; what processes have in memory they keep."""
    assert world.durable is not None
    db = Database(world)
    rows, db.epochs = world.durable
    db.rows = dict(rows)
    db.durable = None
    for number, program in enumerate(programs):
        if world.processes[number].is_open:
            _interrupt(db, number, program, choices)
    db.budget = db.budget._replace(crashes=db.budget.crashes - 1)
    return db


def end_deadlock(
    world: World, programs: Sequence[Program], choices: Choices
) -> Iterator[tuple[str, Database]]:
    """Give what the server may do about processes that wait in a circle: end one of them."""
    for number, program in enumerate(programs):
        if world.processes[number].is_open:
            db = Database(world)
            _interrupt(db, number, program, choices)
            db.budget = db.budget._replace(deadlocks=db.budget.deadlocks - 1)
            yield f"{program.name}: deadlock detected, rolled back", db


def _interrupt(db: Database, number: int, program: Program, choices: Choices) -> None:
    connection = Connection(db, number, choices)
    connection.rollback()
    program.interrupted(connection)

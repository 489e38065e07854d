"""The ledger: what was promised, kept beside the database, and compared with it at each commit.

It knows what no table says: of each (group, stream) the last seq whose effects were committed since
its last reset, and of each (reactor, stream) all seqs whose effects ever were. The rules:

* `order`   effects are committed in order of seq, none twice and none left out (I3, I4);
* `replay`  a handler was told that a message is replaying if and only if it had been handled (I6);
* `stale`   a decision rests on all events before its own (I7);
* `I2`      a delivery exists if and only if something is to be handled, and leads to it;
* `fence`   nobody gives back, sets aside or frees a claim that is not his (I3);
* `stuck`   when nothing more can happen, nothing is pending (I12);
* `dead`    nobody waits in a circle (I8).

The last two are found by the search, where nothing more happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from storage_protocol.world import Place

if TYPE_CHECKING:
    from storage_protocol.connection import Database

__all__ = ["Effects", "Restarted", "Skipped", "Violation", "broken", "enter", "handled", "owed"]


class Violation(NamedTuple):
    """A rule that was broken, and how."""

    rule: str
    how: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.how}"


class Effects(NamedTuple):
    """A commit's effects of messages of one stream: seqs, each with whether it was replaying.

    Attributes:
        decided_on: the head up to which all events were known to what decided, if anything did.
    """

    place: Place
    batch: tuple[tuple[int, bool], ...]
    decided_on: int | None = None


class Restarted(NamedTuple):
    """A reset of one stream."""

    place: Place


class Skipped(NamedTuple):
    """A message that an operator counts as handled."""

    place: Place
    seq: int


def handled(log: Iterable[str], types: frozenset[str], after: int = 0) -> list[int]:
    """Return the seqs of a stream's messages that a group with these types handles."""
    return [seq for seq, type in enumerate(log, 1) if seq > after and type in types]


def owed(db: Database, place: Place) -> list[int]:
    """Return the seqs that a group must still handle in a stream, going by the ledger."""
    group, stream = place
    log = db.log[stream]
    return [
        seq
        for seq in handled(log, db.groups[group].types, db.done.get(place, 0))
        if seq > db.since.get((group, log[seq - 1], stream), 0)
    ]


def enter(db: Database, entry: Effects | Restarted | Skipped) -> Violation | None:
    """Write down what a commit did; return the rule that it broke, if any."""
    place = entry.place
    if isinstance(entry, Restarted):
        db.done[place] = 0
        return None
    if isinstance(entry, Skipped):
        _count(db, place, entry.seq)
        return None
    for seq, replaying in entry.batch:
        if found := _misplaced(db, place, seq, replaying):
            return found
        _count(db, place, seq)
    return None


def stale(db: Database, entry: Effects) -> Violation | None:
    """Return the rule that a decision breaks; to be asked before its own events are in the log."""
    log = db.log[entry.place[1]]
    if entry.decided_on is None or "c" not in log[entry.decided_on :]:
        return None
    return Violation(
        "stale",
        f"decided on {_name(db, entry.place)} as of #{entry.decided_on}, head is {len(log)}",
    )


def broken(db: Database) -> Violation | None:
    """Return where deliveries and ledger disagree (I2)."""
    return next(_disagreements(db), None)


def _count(db: Database, place: Place, seq: int) -> None:
    db.done[place] = seq
    origin = (db.groups[place[0]].reactor, place[1])
    db.ever[origin] = db.ever.get(origin, frozenset()) | {seq}


def _misplaced(db: Database, place: Place, seq: int, replaying: bool) -> Violation | None:
    done, todo = db.done.get(place, 0), owed(db, place)
    if seq <= done or (todo and todo[0] < seq):
        following = f"#{todo[0]}" if todo else "nothing"
        return Violation(
            "order", f"effects of {_name(db, place)}#{seq} committed, next to handle is {following}"
        )
    before = seq in db.ever.get((db.groups[place[0]].reactor, place[1]), frozenset())
    if replaying != before:
        return Violation(
            "replay",
            f"{_name(db, place)}#{seq} handled with {replaying=}, handled before: {before}",
        )
    return None


def _disagreements(db: Database) -> Iterator[Violation]:
    for key, group in db.groups.items():
        if group.is_filling or group.is_moving:
            continue
        for stream, log in db.log.items():
            place = (key, stream)
            row, todo, done = db.rows.get(place), owed(db, place), db.done.get(place, 0)
            if row is None:
                if todo:
                    yield Violation("I2", f"{_name(db, place)} has {todo} to handle, no delivery")
            elif not handled(log, group.types, max(done, row.next_seq - 1)):
                yield Violation(
                    "I2", f"{_name(db, place)} has a delivery at #{row.next_seq}, nothing to handle"
                )
            elif todo and not done < row.next_seq <= todo[0]:
                yield Violation(
                    "I2", f"{_name(db, place)} has {todo} to handle, delivery at #{row.next_seq}"
                )


def _name(db: Database, place: Place) -> str:
    return f"{db.groups[place[0]].name}/{place[1]}"

"""Which processes there are to be, as values: who starts when, who is told to end, who stays down.

A slot is the place of one process. What happens to it:

```
            start               joined              told, or by itself
  empty ────────────▶ starting ────────▶ working ────────────────────────▶ empty
    ▲ │                  │ died             │ died
    │ └─ back-off ◀──────┴──────────────────┘
    │
    └── five deaths in a minute: down, until all are replaced
```

To be replaced, a slot gets a successor. The old process is told to end when the successor has
joined, and the next slot's turn comes when it has ended: so there are never fewer workers than
asked for, and never more than one too many. If a successor cannot start, nobody is replaced.

At the beginning one process starts alone, and the others when it has joined. An app that cannot
start says so once, and is not tried again: whoever started it is there to mend it. Later on, what
cannot start may be an edit half-way, and is tried again like any other death. A store that does
not answer is waited for: it is no fault of the process.

All functions here take the state and return the next one. Time is what the caller's clock says, in
seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

__all__ = [
    "FIRST_PAUSE",
    "LONGEST_PAUSE",
    "Action",
    "Child",
    "Children",
    "End",
    "Kill",
    "Slot",
    "Start",
    "Tell",
    "Word",
    "asked_to_replace",
    "asked_to_stop",
    "beginning",
    "ended",
    "has_ended",
    "joined",
    "plan",
    "slot_of",
    "wake_at",
]

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
CRASHES = 5
WITHIN = 60.0
"""So many deaths of one slot within so many seconds are a crash loop.

Who has lived for so long starts again with the first pause.
"""
PATIENCE = 7.0
"""How many seconds later than promised a process may end, before it is killed."""

Word = Literal["stop", "now"]
"""What a process is told: to finish what is in hand, or to give it back at once."""

End = Literal["orderly", "died", "refused", "waiting"]
"""How a process ended: as it was told, or its work was done; by a crash; it could not start, by its
own word; or not yet, because the store does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process.

    Attributes:
        id: its number; none is used twice.
        began: when it was started.
        is_joined: its row is in the store, so that it may claim.
        told: what it has been told.
        overdue: when it is to be killed, if it is still there.
    """

    id: int
    began: float
    is_joined: bool = False
    told: Word | None = None
    overdue: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The place of one process.

    Attributes:
        number: from 1.
        child: who has it, starting or at work.
        successor: who will have it, once joined.
        leaving: who had it, and has been told to end.
        start_at: when the next one may start, if nobody has it.
        deaths: when those died who had it, the last few.
        in_a_row: how many died since one has lived for long.
        is_down: nobody is started any more.
        is_done: its work has come to an end.
        is_outdated: its process is to be replaced.
    """

    number: int
    child: Child | None = None
    successor: Child | None = None
    leaving: Child | None = None
    start_at: float = 0.0
    deaths: tuple[float, ...] = ()
    in_a_row: int = 0
    is_down: bool = False
    is_done: bool = False
    is_outdated: bool = False

    @property
    def living(self) -> tuple[Child, ...]:
        """All processes that it has at the moment."""
        return tuple(c for c in (self.child, self.successor, self.leaving) if c is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """All of them.

    Attributes:
        slots: one for each process that there is to be.
        grace: how long a process may take to end, in seconds.
        drains: who ends has done its work.
        told: what all have been told.
        has_joined: one of them has been at work.
        cannot_start: the first one could not start.
        next_id: of the process that is started next.
    """

    slots: tuple[Slot, ...]
    grace: float
    drains: bool = False
    told: Word | None = None
    has_joined: bool = False
    cannot_start: bool = False
    next_id: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Start a process."""

    id: int
    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Tell a process to end."""

    id: int
    word: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Kill a process that has not ended in time."""

    id: int


Action = Start | Tell | Kill


def beginning(count: int, *, grace: float, drains: bool = False) -> Children:
    """Return what there is before the first process has been started."""
    slots = tuple(Slot(number=n) for n in range(1, count + 1))
    return Children(slots=slots, grace=grace, drains=drains)


def slot_of(children: Children, id: int) -> Slot:
    """Return the slot of a process."""
    return next(s for s in children.slots if any(c.id == id for c in s.living))


def has_ended(children: Children) -> bool:
    """Return whether no process is left, and none will be started."""
    if any(slot.living for slot in children.slots):
        return False
    over = children.told is not None or children.cannot_start
    return over or all(slot.is_down or slot.is_done for slot in children.slots)


# --- what happens ---------------------------------------------------------------------------------


def joined(children: Children, id: int) -> Children:
    """Note that a process is at work; a successor takes the slot over."""
    slot = slot_of(children, id)
    if slot.successor is not None and slot.successor.id == id:
        successor = replace(slot.successor, is_joined=True)
        slot = replace(slot, child=successor, successor=None, leaving=slot.child, is_outdated=False)
    elif slot.child is not None and slot.child.id == id:
        slot = replace(slot, child=replace(slot.child, is_joined=True))
    return replace(_with(children, slot), has_joined=True)


def ended(children: Children, id: int, how: End, now: float) -> Children:
    """Note that a process has ended."""
    slot = slot_of(children, id)
    if slot.leaving is not None and slot.leaving.id == id:
        return _with(children, replace(slot, leaving=None))
    if slot.successor is not None and slot.successor.id == id:
        kept = tuple(replace(s, is_outdated=False) for s in children.slots)
        return _with(
            replace(children, slots=kept), replace(slot, successor=None, is_outdated=False)
        )
    assert slot.child is not None
    former, slot = slot.child, replace(slot, child=None)
    if children.told is not None:
        return _with(children, slot)
    if how in {"refused", "waiting"} and not children.has_joined:
        return replace(_with(children, slot), cannot_start=True)
    slot = _emptied(slot, former, how, now, drains=children.drains)
    if slot.successor is not None:  # it was to be replaced anyway
        slot = replace(slot, child=slot.successor, successor=None, is_down=False)
    if slot.is_down and not children.has_joined:  # the others would fare no better
        return replace(
            children, slots=tuple(replace(s, is_down=True) for s in _with(children, slot).slots)
        )
    return _with(children, slot)


def asked_to_stop(children: Children) -> Children:
    """Note that all are to end; asked again, at once."""
    return replace(children, told="stop" if children.told is None else "now")


def asked_to_replace(children: Children, now: float) -> Children:
    """Note that all are to be replaced, and those that are down are to be tried again."""
    if children.told is not None or children.drains:
        return children
    return replace(children, slots=tuple(_renewed(slot, now) for slot in children.slots))


def _emptied(slot: Slot, former: Child, how: End, now: float, *, drains: bool) -> Slot:
    slot = replace(slot, is_outdated=False)
    if drains and how != "died":
        return replace(slot, is_done=True)
    if how == "orderly":  # somebody else told it, and it is missed
        return replace(slot, start_at=now + FIRST_PAUSE)
    in_a_row = 1 if now - former.began >= WITHIN else slot.in_a_row + 1
    start_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(in_a_row - 1, 10))
    slot = replace(slot, in_a_row=in_a_row, start_at=start_at)
    if how == "waiting":
        return slot
    deaths = (*slot.deaths, now)[-CRASHES:]
    return replace(slot, deaths=deaths, is_down=len(deaths) == CRASHES and now - deaths[0] < WITHIN)


def _renewed(slot: Slot, now: float) -> Slot:
    fresh = replace(slot, deaths=(), in_a_row=0)
    if slot.living:
        return replace(fresh, is_outdated=True)
    return replace(fresh, is_down=False, start_at=now)


# --- what to do -----------------------------------------------------------------------------------


def plan(children: Children, now: float) -> tuple[Children, list[Action]]:
    """Return what is to be done now, and the state in which that has been done."""
    actions: list[Action] = []
    for step in (_start, _succeed, _tell, _kill):
        children = step(children, now, actions)
    return children, actions


def wake_at(children: Children) -> float | None:
    """Return when something is to be done though nothing has happened."""
    moments = [
        child.overdue
        for slot in children.slots
        for child in slot.living
        if child.overdue is not None
    ]
    moments += [slot.start_at for slot in _startable(children)]
    return min(moments, default=None)


def _start(children: Children, now: float, actions: list[Action]) -> Children:
    for slot in list(_startable(children)):
        if slot.start_at <= now:
            child = Child(id=children.next_id, began=now)
            actions.append(Start(id=child.id, slot=slot.number))
            children = _with(replace(children, next_id=child.id + 1), replace(slot, child=child))
    return children


def _startable(children: Children) -> Iterator[Slot]:
    """Give the slots that want a process: only the first one, until one has joined."""
    if children.told is not None or children.cannot_start:
        return
    for slot in children.slots if children.has_joined else children.slots[:1]:
        if slot.child is None and not slot.is_down and not slot.is_done:
            yield slot


def _succeed(children: Children, now: float, actions: list[Action]) -> Children:
    """Start a successor for one slot, unless there is one somewhere, or somebody still leaves."""
    is_busy = any(slot.successor or slot.leaving for slot in children.slots)
    if children.told is not None or is_busy:
        return children
    for slot in children.slots:
        if slot.is_outdated and slot.child is not None and slot.child.is_joined:
            child = Child(id=children.next_id, began=now)
            actions.append(Start(id=child.id, slot=slot.number))
            return _with(replace(children, next_id=child.id + 1), replace(slot, successor=child))
    return children


def _tell(children: Children, now: float, actions: list[Action]) -> Children:
    def told(child: Child | None, word: Word | None) -> Child | None:
        if child is None or word is None or child.told == word:
            return child
        actions.append(Tell(id=child.id, word=word))
        patience = PATIENCE + (children.grace if word == "stop" else 0.0)
        return replace(child, told=word, overdue=now + patience)

    return _each(
        children,
        lambda slot: replace(
            slot,
            child=told(slot.child, children.told),
            successor=told(slot.successor, children.told),
            leaving=told(slot.leaving, children.told or "stop"),
        ),
    )


def _kill(children: Children, now: float, actions: list[Action]) -> Children:
    def killed(child: Child | None) -> Child | None:
        if child is None or child.overdue is None or child.overdue > now:
            return child
        actions.append(Kill(id=child.id))
        return replace(child, overdue=None)

    return _each(
        children,
        lambda slot: replace(
            slot,
            child=killed(slot.child),
            successor=killed(slot.successor),
            leaving=killed(slot.leaving),
        ),
    )


def _each(children: Children, change: Callable[[Slot], Slot]) -> Children:
    return replace(children, slots=tuple(change(slot) for slot in children.slots))


def _with(children: Children, changed: Slot) -> Children:
    return _each(children, lambda slot: changed if slot.number == changed.number else slot)

"""A state of the database and of the processes that use it, as values that can be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from storage_protocol.connection import Connection

__all__ = [
    "DEAD",
    "NOTHING",
    "SUBSCRIPTIONS",
    "Budget",
    "Claim",
    "Group",
    "Lock",
    "Memory",
    "Message",
    "Pairs",
    "Place",
    "Process",
    "Row",
    "Step",
    "World",
    "Writes",
    "get",
    "group_lock",
    "name_lock",
    "put",
    "row_lock",
    "stream_lock",
]

K = TypeVar("K", str, tuple[str, str], tuple[str, ...])
V = TypeVar("V")

Place: TypeAlias = tuple[str, str]
"""A group's key and a stream: where a delivery is, or is not."""

Message: TypeAlias = tuple[str, str]
"""A stream and a type."""

Lock: TypeAlias = tuple[str, ...]
Pairs: TypeAlias = tuple[tuple[K, V], ...]
"""A small mapping that can be compared and hashed, in order of its keys."""

Step: TypeAlias = "Callable[[Connection], str]"
"""One statement of a process: changes the world, or waits; returns what it did, in a few words."""

SUBSCRIPTIONS: Lock = ("subscriptions",)
"""The advisory lock that appends share and registrations have alone."""


def stream_lock(stream: str) -> Lock:
    """Return the lock of a stream's row."""
    return ("stream", stream)


def row_lock(place: Place) -> Lock:
    """Return the lock of a delivery's row."""
    return ("row", *place)


def group_lock(group: str) -> Lock:
    """Return the lock of a group's row."""
    return ("group", group)


def name_lock(name: str) -> Lock:
    """Return the lock that claims under a name share and a renaming has alone."""
    return ("name", name)


class Row(NamedTuple):
    """A delivery.

    Attributes:
        born: tells a row from one of the same key that was deleted before.
    """

    next_seq: int
    replay_until: int = 0
    worker: str = ""
    epoch: int = 0
    parked: bool = False
    born: int = 0


class Group(NamedTuple):
    """A consumer group.

    Attributes:
        is_filling: whether its past is still being announced; filled: in how many streams it is.
        is_moving: whether its deliveries may stand where they did before types were taken from it.
        former: names that it had.
        reactor: whose work it does; another group may do the same again.
        is_gone: whether it was removed; what else is known of it is for the rules.
    """

    name: str
    types: frozenset[str]
    is_filling: bool = False
    filled: int = 0
    is_moving: bool = False
    former: frozenset[str] = frozenset()
    reactor: str = ""
    is_gone: bool = False


class Claim(NamedTuple):
    """A claim in a worker's hand, with what it has read.

    Attributes:
        batch: seq, type, and whether it is replaying, of each message read.
        head: of the stream, as it was read.
        born: the row that was claimed.
    """

    stream: str
    next_seq: int
    epoch: int
    replay_until: int
    batch: tuple[tuple[int, str, bool], ...] = ()
    head: int = 0
    born: int = 0


class Memory(NamedTuple):
    """What a process remembers from one statement to the next.

    Attributes:
        place: how far it is: in its locks, its batches, its chunks.
        times: how often it has done what it does.
        claims: those in hand; of a commit, those that it commits.
        others: claims in hand that the commit leaves out.
        way: how the claims leave the hand.
        log: a snapshot of the log.
        rows: a snapshot of deliveries.
        subscriptions: a snapshot of what groups subscribe to; None for what there is.
        types: a snapshot of a group's types.
        group: a group's key.
    """

    place: int = 0
    times: int = 0
    claims: tuple[Claim, ...] = ()
    others: tuple[Claim, ...] = ()
    way: str = ""
    log: Pairs[str, tuple[str, ...]] = ()
    rows: Pairs[Place, Row | None] = ()
    subscriptions: Pairs[str, frozenset[str]] | None = None
    types: frozenset[str] = frozenset()
    group: str = ""


class Writes(NamedTuple):
    """What a transaction has written: nobody else sees it before the commit."""

    log: Pairs[str, tuple[str, ...]] = ()
    rows: Pairs[Place, Row | None] = ()
    groups: Pairs[str, Group] = ()


class Process(NamedTuple):
    """A process between two of its statements.

    Attributes:
        steps: which statements may come next; none when it has ended.
        is_open: whether a transaction is open.
    """

    steps: tuple[Step, ...]
    is_open: bool = False
    memory: Memory = Memory()
    writes: Writes = Writes()


DEAD = Process(steps=())


class Budget(NamedTuple):
    """How often what may happen still may."""

    reaps: int = 0
    kills: int = 0
    crashes: int = 0
    deadlocks: int = 1


NOTHING = Budget()


class World(NamedTuple):
    """Everything, committed or not, with the ledger of what was promised.

    Attributes:
        locks: exclusive, each with its holder; shared: the others, with all of theirs.
        durable: deliveries and counter as a crash of the server would leave them, if claims since
            then did not wait for the disk.
        done: the last seq of each place whose effects were committed since the last reset.
        ever: of each reactor and stream, all seqs whose effects were ever committed.
        since: of types that were added to a group, the heads at that moment.
    """

    log: Pairs[str, tuple[str, ...]]
    rows: Pairs[Place, Row]
    groups: Pairs[str, Group]
    epochs: int
    births: int
    locks: Pairs[Lock, int]
    shared: Pairs[Lock, frozenset[int]]
    processes: tuple[Process, ...]
    durable: tuple[Pairs[Place, Row], int] | None
    done: Pairs[Place, int]
    ever: Pairs[Place, frozenset[int]]
    since: Pairs[tuple[str, ...], int]
    budget: Budget


def get(pairs: Iterable[tuple[K, V]], key: K, default: V) -> V:
    """Return what a mapping has for a key."""
    return next((value for found, value in pairs if found == key), default)


def put(pairs: Pairs[K, V], key: K, value: V) -> Pairs[K, V]:
    """Return a mapping with one more, or another, entry."""
    changed = dict(pairs)
    changed[key] = value
    return tuple(sorted(changed.items(), key=lambda item: item[0]))

"""What a worker has in hand: claims, and whether they are still its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable

from storage_protocol.connection import Connection
from storage_protocol.program import Program
from storage_protocol.world import Claim, Memory, Message, Place, Row

__all__ = ["Hand", "listed", "outputs"]


def outputs(claims: Iterable[Claim]) -> list[Message]:
    """Return what handling makes: of `k` a `c` in its own stream, of others one in another."""
    elsewhere = {"o": "B", "O": "A"}
    return [
        (elsewhere.get(type, claim.stream), "c")
        for claim in claims
        for _, type, _ in claim.batch
        if type in {"k", *elsewhere}
    ]


def listed(claims: Iterable[Claim]) -> str:
    """Return claims with what was read of them, for a trace."""
    return ", ".join(_shown(claim) for claim in claims) or "nothing"


def _shown(claim: Claim) -> str:
    batch = [f"#{seq}{' replaying' if replaying else ''}" for seq, _, replaying in claim.batch]
    read = f" has {', '.join(batch)}" if batch else ""
    return f"{claim.stream} (epoch {claim.epoch}, next #{claim.next_seq}){read}"


class Hand(Program):
    """A worker's thread, with what all of its parts need.

    Args:
        worker: its id.
        group: the name of its group.
        ways: what may become of what it has in hand; see `Worker`.
        own_row: a row of the user's that its syncs change.
    """

    def __init__(self, worker: str, group: str, ways: Collection[str], own_row: str) -> None:
        self.name = self.worker = worker
        self.group = group
        self.ways = ways
        self.own_row = own_row

    @abstractmethod
    def go_on(self, connection: Connection, *, read: bool) -> None:
        """Go on with the claims in hand, if any: read again, or as they are."""

    def hold(self, connection: Connection, claims: Iterable[Claim]) -> None:
        """Have these in hand, and remember nothing else of the transaction."""
        memory = connection.memory
        connection.remember(Memory(claims=tuple(claims), group=memory.group, times=memory.times))

    def place(self, connection: Connection, claim: Claim) -> Place:
        """Return where a claim's delivery is."""
        return (connection.memory.group, claim.stream)

    def types(self, connection: Connection) -> frozenset[str]:
        """Return what the group subscribes to; nothing if there is none of this name."""
        key = connection.db.find(self.group)
        return frozenset() if key is None else connection.db.groups[key].types

    def lost(self, connection: Connection, claims: Iterable[Claim]) -> list[Claim]:
        """Return the claims that a commit finds to be somebody else's."""
        if connection.db.find(self.group) != connection.memory.group:
            return list(claims)
        return [claim for claim in claims if not self._is_committable(connection, claim)]

    def _is_committable(self, connection: Connection, claim: Claim) -> bool:
        row = connection.row(self.place(connection, claim))
        if row is None or (row.worker, row.epoch) != (self.worker, claim.epoch):
            return False
        return row.next_seq == claim.next_seq or not connection.choices.compares_next_seq

    def is_own(self, connection: Connection, row: Row | None, claim: Claim) -> bool:
        """Return whether giving a claim back would give this row back."""
        if row is None or row.worker != self.worker:
            return False
        if connection.choices.gives_back == "the worker's":
            return True
        return (row.epoch, row.next_seq) == (claim.epoch, claim.next_seq)

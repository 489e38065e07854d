"""A worker's thread: claim, read, handle; then commit, or give back.

A message of type `k` is a command: it is decided on all `c` before it, and makes a `c` in its own
stream. One of type `o` is an event whose reaction makes a `c` in stream `B`, and `O` in `A`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from storage_protocol.commit import Committing
from storage_protocol.connection import Connection, Waits
from storage_protocol.hand import listed
from storage_protocol.ledger import handled
from storage_protocol.world import Claim, Memory, Place, Row, Step, name_lock, row_lock

__all__ = ["Worker"]


class Worker(Committing):
    """One thread of a worker, for one group.

    A reaped worker claims again under its id here. The store never lets it, so this is the harder
    case.

    Args:
        worker: its id.
        group: the name of its group.
        streams: how many it claims at once.
        messages: how many it reads of each.
        ways: what may become of what it has in hand, beside a commit of all of it. `keep`: a commit
            of the first message, the claim held for the rest. `release`, `retry`, `park`: once,
            it is given back so. `locked`: its commits take the stream's lock first.
        own_row: a row of the user's that its syncs change.
    """

    def __init__(
        self,
        worker: str = "W1",
        group: str = "G",
        *,
        streams: int = 1,
        messages: int = 2,
        ways: Collection[str] = (),
        own_row: str = "",
    ) -> None:
        super().__init__(worker, group, ways, own_row)
        self._max_streams = streams
        self._max_messages = messages

    @property
    def start(self) -> tuple[Step, ...]:
        """See `Program`."""
        return (self._look,)

    def interrupted(self, connection: Connection) -> None:
        """Give back what is in hand: the error ends the round."""
        self.hold(connection, connection.memory.claims)
        connection.rest(*((self._give_back,) if connection.memory.claims else self.start))

    def go_on(self, connection: Connection, *, read: bool) -> None:
        """See `Hand`."""
        memory = connection.memory
        if not memory.claims:
            connection.remember(Memory(times=memory.times))
            connection.rest(*self.start)
        elif read:
            connection.rest(self._read)
        else:
            connection.rest(*self._ways_out(connection))

    def _ways_out(self, connection: Connection) -> Iterator[Step]:
        types = {type for claim in connection.memory.claims for _, type, _ in claim.batch}
        locked = "locked" in self.ways and (
            not types & {"o", "O"} or connection.choices.writes_elsewhere
        )
        yield self.lock_first if locked else self.commit_all
        if "keep" in self.ways:
            yield self.lock_first_and_keep if locked else self.commit_first
        if connection.memory.times:
            return
        if "release" in self.ways:
            yield self._release
        if "retry" in self.ways:
            yield self._retry
        if "park" in self.ways:
            yield self._park

    # --- claim ------------------------------------------------------------------------------------

    def _look(self, connection: Connection) -> str:
        key = connection.db.find(self.group)
        if key is None or connection.db.groups[key].is_filling:
            raise Waits
        found = list(self._ready(connection, key))
        if not found:
            raise Waits
        if connection.choices.rename_waits:
            connection.share(name_lock(self.group))
        memory = connection.memory._replace(group=key)
        if connection.choices.claims == "reads at once":
            memory = memory._replace(rows=tuple(found), log=tuple(connection.db.log.items()))
        connection.remember(memory)
        connection.then(self._take)
        return "claim: group is active"

    def _ready(self, connection: Connection, key: str) -> Iterator[tuple[Place, Row]]:
        """Give the rows that could be claimed; of a snapshot those that are still the same."""
        seen = {place: row.born for place, row in connection.memory.rows if row is not None}
        for place, row in list(connection.db.rows.items()):
            if place[0] != key or row.worker or row.parked:
                continue
            if not seen or seen.get(place) == row.born:
                yield place, row

    def _take(self, connection: Connection) -> str:
        memory = connection.memory
        claims: list[Claim] = []
        epochs = connection.db.epochs
        for place, row in self._ready(connection, memory.group):
            if len(claims) < self._max_streams and connection.is_free(row_lock(place)):
                epoch = connection.draw_epoch()
                if connection.choices.epochs == "row":
                    epoch = row.epoch + 1
                connection.write_row(place, row._replace(worker=self.worker, epoch=epoch))
                claims.append(Claim(place[1], row.next_seq, epoch, row.replay_until))
        connection.commit_lightly(epochs)
        at_once = connection.choices.claims == "reads at once"
        if at_once:
            read = (self._with_batch(connection, claim, dict(memory.log)) for claim in claims)
            claims = [claim for claim in read if claim.batch]
        self.hold(connection, claims)
        self.go_on(connection, read=not at_once)
        return f"claim {listed(claims)}"

    # --- read -------------------------------------------------------------------------------------

    def _read(self, connection: Connection) -> str:
        claims = [
            self._with_batch(connection, claim, connection.db.log)
            for claim in connection.memory.claims
        ]
        self.hold(connection, claims)
        self.go_on(connection, read=False)
        return f"read {listed(claims)}"

    def _with_batch(
        self, connection: Connection, claim: Claim, log: dict[str, tuple[str, ...]]
    ) -> Claim:
        messages = log[claim.stream]
        pending = handled(messages, self.types(connection), claim.next_seq - 1)
        batch = tuple(
            (seq, messages[seq - 1], seq <= claim.replay_until)
            for seq in pending[: self._max_messages]
        )
        return claim._replace(batch=batch, head=len(messages))

    # --- give back --------------------------------------------------------------------------------

    def _counted(self, connection: Connection) -> None:
        connection.remember(connection.memory._replace(times=connection.memory.times + 1))

    def _release(self, connection: Connection) -> str:
        self._counted(connection)
        return self._give_back(connection)

    def _give_back(self, connection: Connection) -> str:
        if connection.choices.releases == "passes over":
            free = [
                claim
                for claim in connection.memory.claims
                if connection.is_free(row_lock(self.place(connection, claim)))
            ]
            self._free(connection, free)
            return f"release: {listed(free)}"
        connection.then(self._lock_given)
        return "release: begin"

    def _lock_given(self, connection: Connection) -> str:
        memory = connection.memory
        claims = sorted(memory.claims)
        claim = claims[memory.place]
        place = self.place(connection, claim)
        if self.is_own(connection, connection.row(place), claim):
            connection.lock_row(place)
        connection.remember(memory._replace(place=memory.place + 1))
        connection.then(self._lock_given if memory.place + 1 < len(claims) else self._give)
        return f"release: lock the delivery of {claim.stream}"

    def _give(self, connection: Connection) -> str:
        self._free(connection, connection.memory.claims)
        return "release: COMMIT"

    def _retry(self, connection: Connection) -> str:
        self._counted(connection)
        self._free(connection, connection.memory.claims[:1])
        return "retry"

    def _park(self, connection: Connection) -> str:
        self._counted(connection)
        self._free(connection, connection.memory.claims[:1], parked=True)
        return "park"

    def _free(
        self, connection: Connection, claims: Sequence[Claim], *, parked: bool = False
    ) -> None:
        """Change the deliveries that the claims name, and let go of all that is in hand."""
        for claim in claims:
            place = self.place(connection, claim)
            row = connection.row(place)
            if row is None or not self.is_own(connection, row, claim):
                continue
            if (row.epoch, row.next_seq) != (claim.epoch, claim.next_seq):
                connection.violate("fence", f"{self.name} gives back a claim that is not its own")
            connection.write_row(place, row._replace(worker="", parked=parked))
        connection.commit()
        self.hold(connection, ())
        self.go_on(connection, read=False)

"""Commit: syncs, locks, checks, outputs, acks; or the same with the stream's lock first.

commit         sync · lock streams · lock deliveries · check, write, ack · COMMIT
commit_locked  lock stream · check, decide · sync · lock delivery · check, write, ack · COMMIT

Both share the appends' lock on subscriptions before they lock a stream.
"""

from __future__ import annotations

from storage_protocol.append import in_order
from storage_protocol.connection import Connection, Waits
from storage_protocol.hand import Hand, listed, outputs
from storage_protocol.ledger import Effects, handled
from storage_protocol.world import SUBSCRIPTIONS, Claim

__all__ = ["Committing"]


class Committing(Hand):
    """The part of a worker's thread that commits."""

    # --- the ways in ------------------------------------------------------------------------------

    def commit_all(self, connection: Connection) -> str:
        """Commit what is in hand."""
        return self._begin(connection, "done")

    def commit_first(self, connection: Connection) -> str:
        """Commit the first message, and hold the claim for the rest."""
        self._shorten(connection)
        return self._begin(connection, "keep")

    def lock_first(self, connection: Connection) -> str:
        """Take the stream's lock before deciding; commit all that is in hand."""
        return self._begin_locked(connection, "done")

    def lock_first_and_keep(self, connection: Connection) -> str:
        """The same for the first message, and hold the claim for the rest."""
        self._shorten(connection)
        return self._begin_locked(connection, "keep")

    def _shorten(self, connection: Connection) -> None:
        claims = connection.memory.claims
        if not all(claim.batch for claim in claims):
            raise Waits
        self.hold(connection, [claim._replace(batch=claim.batch[:1]) for claim in claims])

    # --- streams last -----------------------------------------------------------------------------

    def _begin(self, connection: Connection, way: str) -> str:
        memory, choices = connection.memory._replace(way=way), connection.choices
        if choices.acks == "before the lock" or choices.expects == "before the lock":
            memory = memory._replace(log=tuple(connection.db.log.items()))
        connection.remember(memory)
        lost = self.lost(connection, memory.claims)
        if choices.checks_claims == "before locks" and lost:
            return self._refused(connection, lost)
        if self.own_row:
            connection.lock(("own", self.own_row))
        connection.then(self._share)
        return f"commit ({way}) {listed(memory.claims)}"

    def _share(self, connection: Connection) -> str:
        connection.share(SUBSCRIPTIONS)
        connection.then(self._lock)
        return "commit: share subscriptions"

    def _written(self, connection: Connection) -> list[str]:
        claims = connection.memory.claims
        named = [claim.stream for claim in claims] + [stream for stream, _ in outputs(claims)]
        return in_order(named, connection.choices)

    def _lock(self, connection: Connection) -> str:
        streams = self._written(connection)
        return "commit: " + connection.lock_streams(streams, self._lock, self._lock_rows)

    # --- the stream first -------------------------------------------------------------------------

    def _begin_locked(self, connection: Connection, way: str) -> str:
        connection.share(SUBSCRIPTIONS)
        connection.remember(connection.memory._replace(way=way))
        connection.then(self._lock_claimed)
        return f"commit_locked ({way}): share subscriptions"

    def _lock_claimed(self, connection: Connection) -> str:
        streams = [claim.stream for claim in connection.memory.claims]
        return "commit_locked: " + connection.lock_streams(
            streams, self._lock_claimed, self._decide
        )

    def _decide(self, connection: Connection) -> str:
        memory, choices = connection.memory, connection.choices
        lost = self.lost(connection, memory.claims)
        if lost and choices.checks_claims in {"under locks", "under the stream's"}:
            return self._refused(connection, lost)
        if choices.decides == "under the lock":
            read = [
                claim._replace(head=len(connection.read(claim.stream))) for claim in memory.claims
            ]
            connection.remember(memory._replace(claims=tuple(read)))
        connection.then(self._sync if self.own_row else self._lock_others)
        return f"commit_locked: decide {listed(connection.memory.claims)}"

    def _sync(self, connection: Connection) -> str:
        connection.lock(("own", self.own_row))
        connection.then(self._lock_others)
        return "commit_locked: sync writes own row"

    def _lock_others(self, connection: Connection) -> str:
        """Lock streams that are only written to; there is none unless `writes_elsewhere`."""
        streams = self._written(connection)
        if connection.holds_streams(streams):
            return self._lock_rows(connection)
        return "commit_locked: " + connection.lock_streams(
            streams, self._lock_others, self._lock_rows
        )

    # --- what both have in common -----------------------------------------------------------------

    def _lock_rows(self, connection: Connection) -> str:
        memory = connection.memory
        claims = sorted(memory.claims)
        claim = claims[memory.place]
        connection.lock_row(self.place(connection, claim))
        connection.remember(memory._replace(place=memory.place + 1))
        connection.then(self._lock_rows if memory.place + 1 < len(claims) else self._write)
        return f"commit: lock the delivery of {claim.stream}"

    def _write(self, connection: Connection) -> str:
        claims, choices = connection.memory.claims, connection.choices
        lost = self.lost(connection, claims)
        if lost and choices.checks_claims == "under locks":
            return self._refused(connection, lost)
        if any(self._is_outdated(connection, claim) for claim in claims):
            connection.rollback()
            self.hold(connection, claims)
            self.go_on(connection, read=True)
            return "commit: somebody else has appended, rolled back"
        for stream, type in outputs(claims):
            connection.fan_out(stream, connection.append(stream, (type,)), (type,))
        for claim in claims:
            self._ack(connection, claim)
        connection.then(self._commit)
        return "commit: check, write, ack"

    def _refused(self, connection: Connection, lost: list[Claim]) -> str:
        """Drop what is lost; what is left of the batch is committed without it."""
        left = [claim for claim in connection.memory.claims if claim not in lost]
        connection.rollback()
        self.hold(connection, left)
        self.go_on(connection, read=False)
        return "commit: claim lost, rolled back"

    def _is_outdated(self, connection: Connection, claim: Claim) -> bool:
        """Return whether a decision's expectation, no `c` since it was made, fails."""
        memory, choices = connection.memory, connection.choices
        decides = any(type == "k" for _, type, _ in claim.batch)
        if not decides or choices.expects == "nothing":
            return False
        log = dict(memory.log) if choices.expects == "before the lock" else connection.db.log
        return "c" in log[claim.stream][claim.head :]

    def _ack(self, connection: Connection, claim: Claim) -> None:
        memory, choices = connection.memory, connection.choices
        place = self.place(connection, claim)
        row = connection.row(place)
        if row is None:
            return
        log = connection.read(claim.stream)
        if choices.acks == "before the lock":
            log = dict(memory.log)[claim.stream]
        ack_seq = claim.batch[-1][0] if claim.batch else claim.head
        later = handled(log, self.types(connection), ack_seq)
        if memory.way == "keep" and not choices.keep_looks:
            later = [ack_seq + 1]
        worker = row.worker if memory.way == "keep" else ""
        moved = row._replace(next_seq=later[0], worker=worker) if later else None
        connection.write_row(place, moved)

    def _commit(self, connection: Connection) -> str:
        memory = connection.memory
        rows = [(claim, connection.row(self.place(connection, claim))) for claim in memory.claims]
        connection.commit(*(self._effects(connection, claim) for claim in memory.claims))
        kept = [
            claim._replace(next_seq=row.next_seq, batch=())
            for claim, row in rows
            if row is not None and memory.way == "keep"
        ]
        self.hold(connection, kept)
        self.go_on(connection, read=True)
        return "commit: COMMIT"

    def _effects(self, connection: Connection, claim: Claim) -> Effects:
        decides = any(type == "k" for _, type, _ in claim.batch)
        return Effects(
            place=self.place(connection, claim),
            batch=tuple((seq, replaying) for seq, _, replaying in claim.batch),
            decided_on=claim.head if decides else None,
        )

"""Crashes: a process dies at any one place of the store, and every promise holds afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from uuid import UUID

import pytest

from sourced._faults import FAULT_POINTS, injected
from sourced._records import NewMessage, ScheduledMessage
from sourced._store import Claim, Pending, ReadLimits, Store, StreamCommit, Transaction, UnitOfWork
from sourced.errors import DuplicateMessageError
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import LEASE, Given, Suite, message
from sourced_testing.conformance._race import Crash

__all__ = ["FaultsConformance"]

_ENGINE_POINTS = {"read.after", "handle.before", "handle.after_before_commit", "ack.after"}
"""What the engine reaches, never a store."""

_STORE_POINTS = sorted(FAULT_POINTS.keys() - _ENGINE_POINTS)

_STREAMS = ["a", "b", "c"]
_MANY_STREAMS = [*_STREAMS, *(f"s{n:03}" for n in range(500))]
"""Enough for two chunks of a fill."""


class _Story:
    """What processes do to one store, step by step; a step that died is done again by the next one.

    Every command `add` in a stream has one effect: a message `added` in the stream `out-…`.
    """

    def __init__(self, store: Store, clock: FakeClock, streams: list[str]) -> None:
        self.store, self.clock, self.given = store, clock, Given(store, clock)
        self.streams = streams
        self.commands = [message(stream_id, "add") for stream_id in streams]
        self.scheduled = [message(stream_id, "add") for stream_id in _STREAMS]
        self.units = [message(stream_id, "add") for stream_id in _STREAMS]

    def steps(self) -> Iterator[Callable[[], object]]:
        """Tell the story."""
        yield self.append
        yield lambda: self.store.register("G", ["add"])
        yield self.die
        yield self.reap
        yield self.work
        yield self.schedule
        yield self.store.promote_due
        yield self.work
        yield lambda: list(self.store.reset("G", chunk=1))
        yield self.work
        yield from (lambda each=each: self.handle_now(each) for each in self.units)
        yield self.work

    def tell(self) -> None:
        """Do all steps; after a crash, let the lease pass and do the step again."""
        for step in self.steps():
            try:
                step()
            except Crash:
                self.reap()
                step()

    def append(self) -> None:
        """Append the commands, one repeat of which is a known one."""
        with suppress(DuplicateMessageError):
            self.store.append(self.commands)

    def schedule(self) -> None:
        """Schedule more of them."""
        now = self.store.now()
        with suppress(DuplicateMessageError):
            self.store.schedule([ScheduledMessage(message=m, due_at=now) for m in self.scheduled])

    def handle_now(self, command: NewMessage) -> None:
        """Handle a command in the caller."""
        work = UnitOfWork(
            messages=(command, _effect_of(command)),
            handled={("G", command.stream_id): frozenset({command.id})},
        )
        with suppress(DuplicateMessageError):
            self.store.handle_now(work)

    def die(self) -> None:
        """Claim and end without a word."""
        self.store.claim("G", self.given.worker())

    def reap(self) -> None:
        """Let the lease of all workers pass."""
        self.clock.advance(60)
        self.store.reap(LEASE)

    def work(self) -> None:
        """Handle all that is pending."""
        worker = self.given.worker()
        self.store.heartbeat(worker)
        while claims := self.store.claim("G", worker, max_streams=1000):
            self.handle(worker, claims)
        self.store.leave(worker)

    def handle(self, worker: str, claims: list[Claim]) -> None:
        """Handle what is pending for some claims; what is replaying has no effects.

        What has none is committed under its stream's lock, since it writes to no other stream.
        """
        found = self.store.read_pending(claims, known_types=["add"], limits=ReadLimits())
        parts = [_committed(one) for one in found]
        for part in [part for part in parts if not part.append]:
            self.store.commit_locked(part.claim, partial(_decided, part))
        self.store.commit(worker, [part for part in parts if part.append])

    def outcome(self) -> tuple[dict[str, list[UUID]], dict[str, list[UUID]]]:
        """Return the causes of the effects and the commands, both by stream in order.

        The log is read once; the seqs of each stream are checked on the way.
        """
        effects: dict[str, list[UUID]] = {stream_id: [] for stream_id in self.streams}
        commands: dict[str, list[UUID]] = {stream_id: [] for stream_id in self.streams}
        heads: Counter[str] = Counter()
        for one in self.given.log():
            heads[one.stream_id] += 1
            assert one.seq == heads[one.stream_id]
            if one.stream_id.startswith("out-"):
                effects[one.stream_id.removeprefix("out-")].append(one.causation_id)
        for command in (*self.commands, *self.scheduled, *self.units):
            commands[command.stream_id].append(command.id)
        return effects, commands


def _effect_of(command: NewMessage) -> NewMessage:
    """Return a new effect of a command."""
    return message(f"out-{command.stream_id}", "added", causation_id=command.id)


def _committed(pending: Pending) -> StreamCommit:
    """Return the ack of all that was read, with the effects of what is not replaying."""
    claim = pending.claim
    effects = tuple(
        message(f"out-{one.stream_id}", "added", causation_id=one.id)
        for one in pending.messages
        if one.seq > claim.replay_until
    )
    return StreamCommit(claim=claim, ack_seq=pending.looked_to, append=effects)


def _decided(part: StreamCommit, _transaction: Transaction) -> StreamCommit:
    """Decide what was decided before."""
    return part


class FaultsConformance(Suite):
    """Whatever dies wherever: each effect once, in order, nothing held, nothing pending."""

    def test_the_story_passes_every_fault_point_of_a_store(
        self, store: Store, clock: FakeClock
    ) -> None:
        """I12: no point is forgotten, so the next test can fail at each of them."""
        story = _Story(store, clock, _MANY_STREAMS)
        passed: set[str] = set()
        store.subscribe(lambda _groups: None)

        with injected(passed.add):
            story.tell()

        assert sorted(passed) == _STORE_POINTS

    @pytest.mark.parametrize("point", _STORE_POINTS)
    def test_a_crash_anywhere_loses_doubles_and_reorders_nothing(
        self, store: Store, clock: FakeClock, point: str
    ) -> None:
        """I2, I5, I12, T25: the first time that the point is reached."""
        story = _Story(store, clock, _MANY_STREAMS if point == "register.mid" else _STREAMS)
        store.subscribe(lambda _groups: None)
        crashed: list[str] = []

        def crash_once(reached: str) -> None:
            if reached == point and not crashed:
                crashed.append(point)
                raise Crash(point)

        with injected(crash_once):
            story.tell()

        assert crashed == [point]
        effects, commands = story.outcome()
        assert effects == commands
        assert store.inspect.deliveries() == ()
        assert story.given.group_status("G").pending == 0

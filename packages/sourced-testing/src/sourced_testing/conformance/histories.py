"""Random histories agree with a model: nothing is lost, doubled or reordered per group and stream.

The model says in thirty lines what a store promises of every group and stream: one counter of what
is done, one of what was done before a reset, and at most one claim. It knows no rows, no epochs and
no locks. A history is a list of steps; each is done to the store and to the model, and after each
the two must agree about everything that can be seen. Claims are never forgotten, so that a step may
come back with one that was lost long ago.

This module needs Hypothesis. An adapter's test module defines the fixture `new_store`, which opens
an empty store with the clock it is given:

    @pytest.fixture
    def new_store() -> NewStore: ...

    class TestHistories(HistoriesConformance): ...
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sourced._ids import new_worker_id
from sourced._records import ScheduledMessage, StoredMessage
from sourced._store import (
    BEGINNING,
    NOW,
    Claim,
    Done,
    Keep,
    Park,
    ReadLimits,
    Release,
    Retry,
    Store,
    StreamCommit,
    Then,
    WorkerInfo,
)
from sourced.errors import ClaimLostError, CommitRefusedError
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import error_text, message

__all__ = ["HISTORIES", "HistoriesConformance", "NewStore"]

NewStore: TypeAlias = Callable[[FakeClock], AbstractContextManager[Store]]
"""Opens an empty store with this clock; drops it at the end."""

HISTORIES = 300
"""How many histories are run; the same ones each time."""

_Key: TypeAlias = tuple[str, str]  # group and stream
_Step: TypeAlias = tuple[Any, ...]  # the name of a method of `_History`, and its arguments

_FOREVER = datetime.max.replace(tzinfo=UTC)
_LEASE = timedelta(seconds=15)
_LATER = timedelta(seconds=60)
_TYPES = "xy"
_THEN: dict[str, Then] = {
    "done": Done(),
    "keep": Keep(),
    "release": Release(),
    "retry": Retry(after=_LATER, error=error_text("broken")),
    "park": Park(error=error_text("broken")),
}


class _Model:
    """What is promised of every group and stream, without a thought of how it is kept."""

    def __init__(self) -> None:
        self.log: dict[str, list[str]] = defaultdict(list)  # stream → types, in order
        self.types: dict[str, set[str]] = {}  # group → types that it handles
        self.done: dict[_Key, int] = defaultdict(int)  # acked or passed over up to here
        self.known: dict[_Key, int] = defaultdict(int)  # done before a reset up to here
        self.held: dict[_Key, int] = {}  # by which claim
        self.asleep: dict[_Key, datetime] = {}  # until when; parked: forever

    def pending(self, key: _Key) -> list[int]:
        types, done = self.types.get(key[0], ()), self.done[key]
        seqs = enumerate(self.log[key[1]], 1)
        return [seq for seq, type in seqs if seq > done and type in types]

    def progress(self, key: _Key) -> int:
        return min(self.pending(key), default=len(self.log[key[1]]) + 1) - 1

    def ready(self, group: str, now: datetime) -> set[str]:
        keys = {(group, stream) for stream in self.log if self.pending((group, stream))}
        return {s for g, s in keys - self.held.keys() if self.asleep.get((g, s), now) <= now}

    def register(self, group: str, types: set[str], from_now: bool) -> None:
        for stream in self.log if from_now or group in self.types else ():
            self.done[group, stream] = self.progress((group, stream))
        self.types[group] = self.types.get(group, set()) | types

    def finish(self, key: _Key, upto: int, until: datetime | None, kept: int | None) -> None:
        del self.held[key]
        self.done[key] = max(upto, self.done[key])
        if until is not None and self.pending(key):
            self.asleep[key] = until
        if kept is not None and self.pending(key):
            self.held[key] = kept

    def reset(self, group: str) -> None:
        for key in [(group, stream) for stream in self.log]:
            self.known[key] = max(self.known[key], self.progress(key))
            self.done[key] = 0
            self.held.pop(key, None)
            self.asleep.pop(key, None)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A claim that was once made, and what its worker read under it."""

    number: int
    claim: Claim
    messages: tuple[StoredMessage, ...]

    @property
    def key(self) -> _Key:
        """The group and the stream."""
        return self.claim.group, self.claim.stream_id


class _History:
    """A store and the model side by side: every step is done to both.

    Attributes:
        live: what was acked outside replay; of each group and stream, in the order of the acks.
    """

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.model: _Model = _Model()
        self.taken: list[_Taken] = []
        self.waiting: list[tuple[datetime, _Key]] = []
        self.live: dict[_Key, list[int]] = defaultdict(list)
        self.worker: str = self.hired()

    def run(self, steps: Sequence[_Step]) -> None:
        """Do all steps, then everything that is left to do, and look at what came of it."""
        for name, *arguments in [("register", "G", {"x"}, False), *steps]:
            getattr(self, name)(*arguments)
            self.agree()
        self.come_to_rest()
        self.agree()
        assert not any(self.model.pending((g, s)) for g in self.model.types for s in self.model.log)
        for key, seqs in self.live.items():
            assert seqs == sorted(set(seqs)), f"{key}: doubled or reordered"

    # steps

    def append(self, messages: list[_Key]) -> None:
        """Append messages, given by stream and type."""
        self.store.append([message(stream, type) for stream, type in messages])
        for stream, type in messages:
            self.model.log[stream].append(type)

    def register(self, group: str, types: set[str], from_now: bool) -> None:
        """Register a group, or add types to it."""
        is_new = group not in self.model.types
        done = self.store.register(group, types, start=NOW if from_now else BEGINNING)
        assert done.created == is_new
        self.model.register(group, types, from_now)

    def claim(self, group: str, max_streams: int) -> None:
        """Claim streams and read what is pending in them."""
        ready = self.model.ready(group, self.clock.now())
        claims = self.store.claim(group, self.worker, max_streams=max_streams)
        assert {claim.stream_id for claim in claims} <= ready
        assert bool(claims) == bool(ready)
        assert len(claims) <= max_streams
        for claim in claims:
            self.take(claim)

    def ack(self, pick: int, count: int, then: str, outputs: list[_Key]) -> None:
        """Commit the first messages that were read under a claim, with outputs."""
        if not self.taken:
            return
        taken = self.picked(pick)
        acked = taken.messages[: count % len(taken.messages) + 1]
        part = StreamCommit(
            claim=taken.claim,
            ack_seq=acked[-1].seq,
            then=_THEN[then],
            append=tuple(message(stream, type) for stream, type in outputs),
        )
        try:
            kept = self.store.commit(taken.claim.worker, [part]).kept
        except CommitRefusedError as refused:
            self.lost(taken, refused.failures[taken.claim.stream_id])
            return
        for stream, type in outputs:
            self.model.log[stream].append(type)
        self.finish(taken, then, acked)
        assert bool(kept) == (taken.key in self.model.held)
        for claim in kept.values():
            self.take(claim)

    def fail(self, pick: int, then: str) -> None:
        """Give a claim back without an ack, by the verb for it."""
        if not self.taken:
            return
        taken = self.picked(pick)
        try:
            self.give_back(taken.claim, _THEN[then])
        except ClaimLostError as error:
            self.lost(taken, error)
            return
        self.finish(taken, then, ())

    def unpark(self, group: str) -> None:
        """Retry what is parked or waits for a retry."""
        if group in self.model.types:
            self.store.unpark(group)
            self.model.asleep = {k: at for k, at in self.model.asleep.items() if k[0] != group}

    def reset(self, group: str) -> None:
        """Let a group begin again."""
        if group in self.model.types:
            list(self.store.reset(group, chunk=2))
            self.model.reset(group)

    def schedule(self, stream: str, type: str, seconds: int) -> None:
        """Schedule a message."""
        due = self.clock.now() + timedelta(seconds=seconds)
        self.store.schedule([ScheduledMessage(message=message(stream, type), due_at=due)])
        self.waiting.append((due, (stream, type)))

    def wait(self, seconds: int) -> None:
        """Let time pass; what is due enters the log, in the order of its time."""
        now = self.clock.advance(seconds)
        due = sorted((each for each in self.waiting if each[0] <= now), key=lambda each: each[0])
        self.waiting = [each for each in self.waiting if each[0] > now]
        assert self.store.promote_due().moved == len(due)
        for _, (stream, type) in due:
            self.model.log[stream].append(type)

    def die(self) -> None:
        """Let the worker die and another take its place."""
        self.clock.advance((_LEASE * 2).total_seconds())
        assert self.store.reap(_LEASE) == len(self.model.held)
        self.model.held.clear()
        self.worker = self.hired()

    # what steps are made of

    def hired(self) -> str:
        """Let a new worker join."""
        worker_id = new_worker_id()
        self.store.join(WorkerInfo(id=worker_id))
        return worker_id

    def picked(self, pick: int) -> _Taken:
        """Return a claim, the latest first."""
        return self.taken[-1 - pick % len(self.taken)]

    def take(self, claim: Claim) -> None:
        """Read under a claim, and keep it for ever."""
        key = claim.group, claim.stream_id
        (found,) = self.store.read_pending([claim], known_types=_TYPES, limits=ReadLimits())
        assert [each.seq for each in found.messages] == self.model.pending(key)
        for each in found.messages:
            assert (each.seq <= claim.replay_until) == (each.seq <= self.model.known[key])
        taken = _Taken(len(self.taken), claim, found.messages)
        self.taken.append(taken)
        self.model.held[key] = taken.number

    def give_back(self, claim: Claim, then: Then) -> None:
        """Call the verb that gives a claim back in this way."""
        match then:
            case Retry():
                self.store.retry(claim, then)
            case Park():
                self.store.park(claim, then)
            case _:
                if self.store.release([claim]) == 0:
                    raise ClaimLostError(claim.group, claim.stream_id)

    def finish(self, taken: _Taken, then: str, acked: Sequence[StoredMessage]) -> None:
        """Tell the model what the store did."""
        key = taken.key
        assert self.model.held.get(key) == taken.number, f"a lost claim was used: {taken.claim}"
        until = {"retry": self.clock.now() + _LATER, "park": _FOREVER}.get(then)
        kept = len(self.taken) if then == "keep" else None
        self.model.finish(key, acked[-1].seq if acked else 0, until, kept)
        self.live[key] += [each.seq for each in acked if each.seq > taken.claim.replay_until]

    def lost(self, taken: _Taken, error: Exception) -> None:
        """Check that what was refused is a claim that was lost."""
        assert isinstance(error, ClaimLostError)
        assert self.model.held.get(taken.key) != taken.number, f"refused its holder: {taken.claim}"

    def agree(self) -> None:
        """Compare all that can be seen: the log, deliveries and lag."""
        stored: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for each in self.store.read_all(limit=10_000).messages:
            stored[each.stream_id].append((each.seq, each.type))
        assert stored == {s: list(enumerate(t, 1)) for s, t in self.model.log.items() if t}
        keys = [(group, s) for group in sorted(self.model.types) for s in sorted(self.model.log)]
        pending = {key: seqs for key in keys if (seqs := self.model.pending(key))}
        rows = self.store.inspect.deliveries()
        assert [(row.group, row.stream_id, row.next_seq, row.state) for row in rows] == [
            (*key, seqs[0], self.state(key)) for key, seqs in pending.items()
        ]
        for status in self.store.inspect.groups():
            running = [key for key in pending if key[0] == status.name]
            running = [key for key in running if self.state(key) != "parked"]
            assert status.pending == sum(len(pending[key]) for key in running)

    def state(self, key: _Key) -> str:
        """Return what a stream with something pending waits for."""
        if key in self.model.held:
            return "claimed"
        until = self.model.asleep.get(key, self.clock.now())
        if until == _FOREVER:
            return "parked"
        return "retrying" if until > self.clock.now() else "ready"

    def come_to_rest(self) -> None:
        """Handle all that is left: parked, waiting, held by the dead, or scheduled."""
        self.die()
        self.wait(3600)
        for group in self.model.types:
            self.unpark(group)
            while self.model.ready(group, self.clock.now()):
                self.claim(group, 3)
                self.ack(0, -1, "done", [])
                for key in [key for key in self.model.held if key[0] == group]:
                    self.fail(len(self.taken) - 1 - self.model.held[key], "release")


def _histories() -> st.SearchStrategy[list[_Step]]:
    """Return the strategy of histories; their beginning is the simplest step, an append."""
    group, stream, type = st.sampled_from("GH"), st.sampled_from("abc"), st.sampled_from(_TYPES)
    messages = st.lists(st.tuples(stream, type), min_size=1, max_size=4)
    outputs = st.lists(st.tuples(stream, type), max_size=1)
    pick, count, seconds = st.integers(0, 4), st.integers(-1, 2), st.integers(0, 70)
    then, given_back = st.sampled_from(sorted(_THEN)), st.sampled_from(["park", "release", "retry"])
    arguments: dict[str, tuple[st.SearchStrategy[Any], ...]] = {
        "append": (messages,),
        "claim": (group, st.integers(1, 3)),
        "ack": (pick, count, then, outputs),
        "fail": (pick, given_back),
        "register": (group, st.sets(type, min_size=1), st.booleans()),
        "unpark": (group,),
        "reset": (group,),
        "schedule": (stream, type, seconds),
        "wait": (seconds,),
        "die": (),
    }
    names = [*arguments, *["append", "claim", "ack"] * 4, *["fail"] * 3]
    step = st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), *arguments[name]))
    # Several short lists are on average as long as wanted, and shrink to nothing all the same.
    parts = st.tuples(*[st.lists(step, max_size=16)] * 8)
    return parts.map(lambda lists: [each for part in lists for each in part])


class HistoriesConformance:
    """What a store promises of any history at all."""

    def test_random_histories_agree_with_a_model_of_thirty_lines(self, new_store: NewStore) -> None:
        """T4, I2, I3, I4, I6: nothing is lost, doubled or reordered per group and stream."""

        @settings(
            max_examples=HISTORIES,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(steps=_histories())
        def agrees(steps: list[_Step]) -> None:
            clock = FakeClock()
            with new_store(clock) as store:
                _History(store, clock).run(steps)

        agrees()

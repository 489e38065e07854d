"""Decides a chain of messages in memory: no locks, nothing written, until the whole is known.

Streams are read as of the head they had when first touched, and what the chain adds is laid over
them with provisional seqs. Whoever handles a message later in the chain sees what came earlier.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sourced._batch import Batch, Page, Remembered
from sourced._engine import UNREMEMBERED, Engine
from sourced._measuring import note_appended, note_handled
from sourced._messages import Message, decode, encode, stored_types
from sourced._outcomes import Evolved
from sourced._plan import Plan, sync_together
from sourced._reader import StoreReader
from sourced._records import NewMessage, StoredMessage
from sourced._registry import Registered
from sourced._store import Expectation, Snapshot, UnitOfWork, UnlessSince
from sourced.errors import LoopError

__all__ = ["Chain", "Step"]

CYCLE = 12


@dataclass(frozen=True, slots=True)
class Step:
    """A message of the chain with its provisional place."""

    new: NewMessage
    message: Message
    seq: int


@dataclass(slots=True)
class _Stream:
    """A stream as the chain sees it: stored up to `head`, then `added`."""

    head: int
    added: list[Step] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.head + len(self.added)


class Chain:
    """One run of a unit; thrown away and made anew when a check fails.

    Args:
        engine: the app's parts.
        entries: those that take part.
        follow: handle what handlers add as well; otherwise only the first messages.
        admit: called before a group first handles a stream; raises or waits until it may.
        max_steps: how many messages may be handled.
    """

    def __init__(
        self,
        engine: Engine,
        entries: Collection[Registered],
        *,
        follow: bool,
        admit: Callable[[Registered, str], None],
        max_steps: int = 100,
    ) -> None:
        self._engine = engine
        self._entries = entries
        self._follow = follow
        self._admit = admit
        self._max_steps = max_steps
        self._streams: dict[str, _Stream] = {}
        self._states: dict[tuple[str, str, str], Remembered] = {}
        self._final: dict[tuple[str, str, str], Evolved] = {}
        self._admitted: set[tuple[str, str]] = set()
        self._handled: dict[tuple[str, str], set[UUID]] = {}
        self._plans: list[Plan] = []
        self._expect: dict[str, UnlessSince] = {}
        self._queue: deque[Step] = deque()
        self.steps: list[Step] = []
        self.by_group: dict[str, list[Step]] = {}

    def run(self, messages: Iterable[tuple[Message, str]]) -> None:
        """Handle messages, each addressed to a stream, breadth first.

        Raises:
            Exception: what a handler raised, unwrapped.
            LoopError: the chain did not come to rest within `max_steps`.
        """
        for message, stream_id in messages:
            for entry in self._entries:
                if entry.takes(type(message)):
                    self._admit_once(entry, stream_id)
            self._queue.append(self._add(encode(message, stream_id)))
        taken = 0
        while self._queue:
            step = self._queue.popleft()
            taken += 1
            if taken > self._max_steps:
                raise LoopError(self._max_steps, [s.new.type for s in self.steps[-CYCLE:]])
            for entry in self._entries:
                if entry.takes(type(step.message)):
                    self._handle(entry, step)

    def work(self) -> UnitOfWork:
        """Return what is to be written."""
        return UnitOfWork(
            messages=tuple(step.new for step in self.steps),
            handled={key: frozenset(ids) for key, ids in self._handled.items()},
            expect=dict[str, Expectation](self._expect),
            schedule=tuple(later for plan in self._plans for later in plan.schedule),
            sync=self._sync if self._has_syncs() else None,
            snapshots=tuple(self._snapshots()),
        )

    def committed(self, stored: Sequence[StoredMessage]) -> None:
        """Remember states, where the streams came out as foreseen, and run what follows."""
        note_appended(self._engine.metrics, stored)
        for plan in self._plans:
            note_handled(self._engine.metrics, plan.batch.group, [plan], self._engine.clock.now())
            self._engine.after_commit(plan.batch.group, plan.after)
        places = {message.id: message.seq for message in stored}
        moved = {s.new.stream_id for s in self.steps if places.get(s.new.id) != s.seq}
        for (group, stream_id, role), state in self._final.items():
            if stream_id not in moved and role != UNREMEMBERED:
                entry = Remembered(state.state, self._seq_of(stream_id, state), state.snapshot_seq)
                self._engine.cache.put(group, stream_id, role, entry)

    # --- one step ---------------------------------------------------------------------------------

    def _handle(self, entry: Registered, step: Step) -> None:
        stream_id = step.new.stream_id
        self._admit_once(entry, stream_id)
        if entry.evolved_types:
            self._expect_of(stream_id, entry.evolved_types)
        batch = Batch(
            group=entry.group,
            stream_id=stream_id,
            messages=(step.message,),
            reader=_OverlayReader(self, entry.group, stream_id),
            head=self._stream(stream_id).end,
        )
        plan = self._engine.plan(batch, self._engine.handle(entry, [batch])[0])
        if plan.failure is not None:
            raise plan.failure[1]
        self._handled.setdefault((entry.group, stream_id), set()).add(step.new.id)
        self._take(entry, plan)

    def _admit_once(self, entry: Registered, stream_id: str) -> None:
        if (entry.group, stream_id) not in self._admitted:
            self._admit(entry, stream_id)
            self._admitted.add((entry.group, stream_id))

    def _take(self, entry: Registered, plan: Plan) -> None:
        stream_id = plan.batch.stream_id
        self._plans.append(plan)
        for new in plan.append:
            step = self._add(new)
            self.by_group.setdefault(entry.group, []).append(step)
            if self._follow:
                self._queue.append(step)
        for state in plan.evolved:
            seq = self._seq_of(stream_id, state)
            key = (entry.group, stream_id, state.role)
            self._states[key] = Remembered(state.state, seq, state.snapshot_seq)
            self._final[key] = Evolved(state.role, state.state, seq, False, state.snapshot_seq)

    def _add(self, new: NewMessage) -> Step:
        stream = self._stream(new.stream_id)
        seq = stream.end + 1
        step = Step(new, decode(new.placed(seq=seq, position=0)), seq)
        stream.added.append(step)
        self.steps.append(step)
        return step

    def _expect_of(self, stream_id: str, types: frozenset[str]) -> None:
        """What the chain does rests on what was stored when it first touched the stream."""
        known = self._expect.get(stream_id)
        head = self._stream(stream_id).head
        self._expect[stream_id] = UnlessSince(head, types | (known.types if known else types))

    def _seq_of(self, stream_id: str, state: Evolved) -> int:
        return self._stream(stream_id).end if state.includes_appended else state.seq

    def _stream(self, stream_id: str) -> _Stream:
        known = self._streams.get(stream_id)
        if known is None:
            head = self._engine.store.read_stream(stream_id, limit=1).head
            known = self._streams[stream_id] = _Stream(head)
        return known

    # --- what is written --------------------------------------------------------------------------

    def _has_syncs(self) -> bool:
        """Whether there are rows to write: a store may write what has none in one round trip."""
        return any(plan.syncs or plan.together for plan in self._plans)

    def _sync(self, connection: Any) -> None:
        settle = self._engine.runner.settle
        for plan in self._plans:
            for run in plan.syncs:
                settle(run(connection))
        for run in sync_together(self._plans):
            settle(run(connection))

    def _snapshots(self) -> Iterator[Snapshot]:
        """Give the snapshots of what was stored before; the chain's own seqs are provisional."""
        for plan in self._plans:
            taken = plan.snapshot_to_store
            if taken is not None and taken.seq <= self._stream(taken.stream_id).head:
                yield taken


class _OverlayReader:
    """Reads a stream as the chain sees it, on behalf of one group."""

    def __init__(self, chain: Chain, group: str, stream_id: str) -> None:
        engine = chain._engine
        self._chain = chain
        self._group = group
        self._stream_id = stream_id
        self._base = StoreReader(engine.store, group, stream_id, cache=engine.cache)

    @property
    def stream_id(self) -> str:
        return self._stream_id

    def pages(
        self, *, after: int, upto: int | None, types: Collection[type[Message]] | None
    ) -> Iterator[Page]:
        stream = self._chain._stream(self._stream_id)
        end = stream.end if upto is None else min(upto, stream.end)
        stored_end = min(end, stream.head)
        if after < stored_end or end <= stream.head:
            yield from self._base.pages(after=after, upto=stored_end, types=types)
        if end > stream.head:
            names = None if types is None else stored_types(types)
            added = tuple(
                step.message
                for step in stream.added
                if after < step.seq <= end and (names is None or step.new.type in names)
            )
            yield Page(added, end)

    def recall(self, role: str, *, below: int | None) -> Remembered | None:
        known = self._chain._states.get((self._group, self._stream_id, role))
        if known is not None:
            return _own(known) if below is None or known.seq < below else None
        stored = self._chain._stream(self._stream_id).head + 1
        return self._base.recall(role, below=stored if below is None else min(below, stored))

    def snapshot(self, version: int, *, below: int | None) -> Snapshot | None:
        stored = self._chain._stream(self._stream_id).head + 1
        return self._base.snapshot(version, below=stored if below is None else min(below, stored))

    def connection(self) -> AbstractContextManager[Any]:
        return self._base.connection()


def _own(known: Remembered) -> Remembered:
    """Return a state to go on with; the earlier one is still to be synced as it was then."""
    return replace(known, state=deepcopy(known.state))

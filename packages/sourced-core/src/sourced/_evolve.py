"""Brings states up to date: remembered, from a snapshot, or from scratch; then event by event."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sourced._batch import StreamReader
from sourced._consumer import Stateful
from sourced._failures import kind_of
from sourced._messages import Message
from sourced._running import Running
from sourced.errors import UsageError

__all__ = ["Evolution", "evolve", "own_copy"]

_IMMUTABLE = (str, int, float, bytes, type(None), Decimal, UUID, date, timedelta, Enum)


def evolve(consumer: Stateful[Any], state: Any, event: Message) -> Any:
    """Apply an event to a state; return the state, changed or new.

    The event is handed to the user's code, which may keep and change what it holds: it must be
    nobody else's.

    Raises:
        UsageError: a handler returned something that is no state.
    """
    handler = consumer.handler_table.find("event", event)
    if handler is None:
        return state
    if consumer.has_before_evolve:
        place = f"{type(consumer).__qualname__}.before_evolve"
        with Running(place):
            state = _accepted(consumer, state, consumer.before_evolve(state, event), place)
    with Running(handler.place):
        return _accepted(consumer, state, handler.call(consumer, state, event), handler.place)


def _accepted(consumer: Stateful[Any], state: Any, returned: Any, place: str) -> Any:
    if returned is None or returned is state:
        return state
    expected = consumer.state_type
    if expected is None:
        expected = object if state is None else type(state)
    if isinstance(returned, expected):
        return returned
    raise UsageError(
        f"{place} returned {kind_of(returned)}; an event handler changes the state and returns "
        f"nothing, or returns a new state: {getattr(expected, '__name__', expected)}"
    )


def own_copy(event: Message) -> Message:
    """Return the event, or a copy if it holds something that can be changed."""
    mutable = {
        name: value for name, value in event.payload.items() if not isinstance(value, _IMMUTABLE)
    }
    if not mutable:
        return event
    twin = copy.copy(event)
    twin.__dict__.update(copy.deepcopy(mutable))
    return twin


@dataclass(slots=True)
class Evolution:
    """A state on its way through a stream.

    Attributes:
        state: the state as of `seq`.
        seq: how far the stream has been applied.
        snapshot_seq: the seq of the last snapshot known, 0 if none.
    """

    consumer: Stateful[Any]
    reader: StreamReader
    state: Any
    seq: int = 0
    snapshot_seq: int = 0
    _ahead: Iterator[Message] | None = None
    _next: Message | None = None

    @classmethod
    def begin(
        cls, consumer: Stateful[Any], reader: StreamReader, role: str | None, *, below: int | None
    ) -> Evolution:
        """Begin with what is remembered, else with a snapshot, else from scratch.

        Args:
            consumer: whose state it is.
            reader: reads the stream.
            role: which remembered state to take; None for none.
            below: use nothing of this seq or later.
        """
        remembered = None if role is None else reader.recall(role, below=below)
        if remembered is not None:
            kept = remembered
            return cls(consumer, reader, kept.state, kept.seq, kept.snapshot_seq)
        if consumer.snapshots is not None:
            snapshot = reader.snapshot(consumer.snapshot_version, below=below)
            if snapshot is not None:
                decoded = consumer.snapshots.try_decode(consumer, snapshot.state)
                if decoded is not None:
                    return cls(consumer, reader, decoded.state, snapshot.seq, snapshot.seq)
        return cls.first(consumer, reader)

    @classmethod
    def first(cls, consumer: Stateful[Any], reader: StreamReader) -> Evolution:
        """Begin from scratch."""
        return cls(consumer, reader, consumer.initial_state(reader.stream_id))

    def to_head(self, upto: int | None = None) -> None:
        """Apply everything up to the head, or up to a seq."""
        types = self.consumer.evolves
        for page in self.reader.pages(after=self.seq, upto=upto, types=types):
            for event in page.messages:
                self.state = evolve(self.consumer, self.state, event)
            self.seq = max(self.seq, page.to)

    def reach(self, seq: int, *, upto: int) -> None:
        """Apply everything up to a seq; what is read ahead, up to `upto`, waits its turn."""
        if self._ahead is None:
            self._ahead = self._read_ahead(upto)
            self._next = next(self._ahead, None)
        while self._next is not None and (self._next.meta.seq or 0) <= seq:
            self.state = evolve(self.consumer, self.state, self._next)
            self._next = next(self._ahead, None)
        self.seq = max(self.seq, seq)

    def _read_ahead(self, upto: int) -> Iterator[Message]:
        types = self.consumer.evolves
        for page in self.reader.pages(after=self.seq, upto=upto, types=types):
            yield from page.messages

    def take_snapshot(self) -> Any:
        """Return `SnapshotTaken` if the seq has crossed a multiple of `snapshot_every`, or None."""
        every = self.consumer.snapshot_every
        if self.consumer.snapshots is None or not every:
            return None
        if self.seq // every <= self.snapshot_seq // every:
            return None
        taken = self.consumer.snapshots.take(self.consumer, self.state, self.seq)
        self.snapshot_seq = self.seq
        return taken

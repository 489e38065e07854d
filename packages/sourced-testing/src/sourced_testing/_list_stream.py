"""One stream in a list: hands out batches and takes outcomes, without a store or an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from sourced._batch import Batch, Page, Remembered
from sourced._messages import (
    Message,
    decode,
    encode,
    stored_types,
)
from sourced._outcomes import Ack, Append, Evolved, Fail, Outcome, SnapshotTaken
from sourced._records import NewMessage, StoredMessage
from sourced._store import Snapshot

__all__ = ["ListStream", "appended", "handled", "only"]

PAGE = 3

T = TypeVar("T")


def handled(reactor: Any, batch: Batch) -> list[Outcome]:
    """Return the outcomes of a batch; those of an async reactor, by an event loop of their own."""
    outcomes = reactor.handle_batch(batch)
    if not isinstance(outcomes, list):
        outcomes = asyncio.run(outcomes)
    return list(outcomes)


def appended(outcomes: Sequence[Outcome]) -> list[Message]:
    """Return the messages that outcomes append, in order."""
    return [outcome.message for outcome in outcomes if isinstance(outcome, Append)]


def only(kind: type[T], outcomes: Sequence[Outcome]) -> T:
    """Return the one outcome of a kind."""
    (found,) = [outcome for outcome in outcomes if isinstance(outcome, kind)]
    return found


class ListStream:
    """A `StreamReader` over a list; what is committed to it can be read on.

    Attributes:
        records: the stream.
        elsewhere: what was appended to other streams.
        reads: the (after, upto) of every read, for tests of what is not read.
        remembered: states by role, as the cache of a process would keep them.
        stored_snapshot: the last snapshot.
        connected: what `connection` gives.
    """

    def __init__(self, stream_id: str = "stream-1", *messages: Message) -> None:
        self.records: list[StoredMessage] = []
        self.elsewhere: list[NewMessage] = []
        self.reads: list[tuple[int, int | None]] = []
        self.remembered: dict[str, Remembered] = {}
        self.stored_snapshot: Snapshot | None = None
        self.connected: Any = "connection"
        self._stream_id = stream_id
        self.add(*messages)

    # --- the stream -------------------------------------------------------------------------------

    @property
    def stream_id(self) -> str:
        """The stream."""
        return self._stream_id

    @property
    def head(self) -> int:
        """The last message's seq."""
        return len(self.records)

    @property
    def messages(self) -> list[Message]:
        """All messages, decoded anew."""
        return [decode(record) for record in self.records]

    def add(self, *messages: Message) -> None:
        """Append messages, as anybody might."""
        for message in messages:
            self._place(encode(message, self._stream_id))

    def batch(self, *, after: int = 0, upto: int | None = None, **changes: Any) -> Batch:
        """Return the messages with after < seq ≤ upto as a batch."""
        last = self.head if upto is None else upto
        messages = tuple(decode(record) for record in self.records if after < record.seq <= last)
        given = {"group": "group", "stream_id": self._stream_id, "head": self.head, **changes}
        return Batch(messages=messages, reader=self, **given)

    def commit(self, outcomes: Sequence[Outcome]) -> int | None:
        """Take in what holds of a list of outcomes: all up to the last ack; return its seq."""
        acks = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, Ack)]
        failed = any(isinstance(outcome, Fail) for outcome in outcomes)
        if not acks:
            assert failed or not outcomes, "outcomes without an ack are for plain reactors"
            return None
        kept = outcomes[: acks[-1] + 1]
        self._append([outcome for outcome in kept if isinstance(outcome, Append)])
        for outcome in kept:
            self._keep(outcome)
        last = kept[-1]
        assert isinstance(last, Ack)
        return last.seq

    def _append(self, outcomes: Sequence[Append]) -> None:
        for outcome in outcomes:
            new = outcome.encoded or encode(outcome.message, outcome.to)
            if outcome.to == self._stream_id:
                self._place(new)
            else:
                self.elsewhere.append(new)

    def _keep(self, outcome: Outcome) -> None:
        if isinstance(outcome, Evolved):
            seq = self.head if outcome.includes_appended else outcome.seq
            self.remembered[outcome.role] = Remembered(outcome.state, seq, outcome.snapshot_seq)
        elif isinstance(outcome, SnapshotTaken):
            self.stored_snapshot = Snapshot(
                group="group",
                stream_id=self._stream_id,
                seq=outcome.seq,
                version=outcome.version,
                state=outcome.state,
            )

    def _place(self, new: NewMessage) -> None:
        fields = {name: getattr(new, name) for name in NewMessage.__slots__}
        seq = self.head + 1
        self.records.append(StoredMessage(**fields, seq=seq, position=seq))

    # --- reading, as a reactor does ---------------------------------------------------------------

    def pages(
        self, *, after: int, upto: int | None, types: Collection[type[Message]] | None
    ) -> Iterator[Page]:
        """Give the messages with after < seq ≤ upto, in small pages."""
        self.reads.append((after, upto))
        names = None if types is None else stored_types(types)
        last = self.head if upto is None else upto
        found = [
            record
            for record in self.records
            if after < record.seq <= last and (names is None or record.type in names)
        ]
        while len(found) > PAGE:
            page, found = found[:PAGE], found[PAGE:]
            yield Page(tuple(decode(record) for record in page), page[-1].seq)
        yield Page(tuple(decode(record) for record in found), last)

    def recall(self, role: str, *, below: int | None) -> Remembered | None:
        """Take the remembered state of a role out."""
        known = self.remembered.get(role)
        if known is None or (below is not None and known.seq >= below):
            return None
        return self.remembered.pop(role)

    def snapshot(self, version: int, *, below: int | None) -> Snapshot | None:
        """Return the snapshot, if it is of this version and old enough."""
        kept = self.stored_snapshot
        if kept is None or kept.version != version or (below is not None and kept.seq >= below):
            return None
        return kept

    def connection(self) -> AbstractContextManager[Any]:
        """Give `connected`."""
        return nullcontext(self.connected)

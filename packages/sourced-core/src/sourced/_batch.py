"""What a reactor is given: pending messages of one stream, and a way to read what was before."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from sourced._messages import Event, Message
from sourced._store import Snapshot

__all__ = ["Batch", "History", "Page", "Remembered", "StreamReader"]


@dataclass(frozen=True, slots=True)
class Page:
    """Decoded messages of one stream; all those asked for up to seq `to` have been given by now."""

    messages: tuple[Message, ...]
    to: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """A state from the process's cache, as of a seq; now the caller's alone."""

    state: Any
    seq: int
    snapshot_seq: int = 0


class StreamReader(Protocol):
    """Reads one stream for one group; made anew for every batch."""

    @property
    def stream_id(self) -> str:
        """The stream."""
        ...

    def pages(
        self, *, after: int, upto: int | None, types: Collection[type[Message]] | None
    ) -> Iterator[Page]:
        """Give the messages with after < seq ≤ upto (the head when None), at least one page.

        The last page's `to` is `upto`, or the head as of the snapshot that page was read by.
        """
        ...

    def recall(self, role: str, *, below: int | None) -> Remembered | None:
        """Take the remembered state of a role out of the cache, if its seq is less than `below`."""
        ...

    def snapshot(self, version: int, *, below: int | None) -> Snapshot | None:
        """Return the stored snapshot of this version, if its seq is less than `below`."""
        ...

    def connection(self) -> AbstractContextManager[Any]:
        """Give the store's own connection, for reads before the commit."""
        ...


class History:
    """The messages of a stream up to the one in hand, read when iterated, page by page."""

    def __init__(self, reader: StreamReader, upto: int) -> None:
        self._reader = reader
        self._upto = upto

    def __iter__(self) -> Iterator[Message]:
        for page in self._reader.pages(after=0, upto=self._upto, types=None):
            yield from page.messages

    @property
    def events(self) -> Iterator[Event]:
        """The events among them."""
        return (message for message in self if isinstance(message, Event))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Pending messages of one stream for one group, in order.

    Attributes:
        messages: what is to be handled; never empty when given to a reactor.
        head: the stream's head when they were read.
        replay_until: messages up to this seq have been handled before.
        restarted: the group was reset and this is the stream's first batch since.
        attempt: how often the first message is being tried, this time included.
        events: in `sync` and `after_commit`: what the state was evolved with in this batch.
        connection: in `sync`: the store's own connection, inside the commit's transaction.
    """

    group: str
    stream_id: str
    messages: tuple[Message, ...]
    reader: StreamReader
    head: int
    replay_until: int = 0
    restarted: bool = False
    attempt: int = 1
    events: tuple[Message, ...] = ()
    connection: Any = None

    @property
    def replaying(self) -> bool:
        """Whether every message of the batch has been handled before."""
        return all(self.is_replaying(message) for message in self.messages)

    def is_replaying(self, message: Message) -> bool:
        """Return whether this message has been handled before."""
        return message.meta.seq is not None and message.meta.seq <= self.replay_until

    def history(self, message: Message) -> History:
        """Return the stream's messages up to and including this one."""
        return History(self.reader, message.meta.seq or self.head)

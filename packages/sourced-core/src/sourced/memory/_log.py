"""The log in memory: messages by position, by stream, by type, by id and by correlation."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator
from heapq import merge
from uuid import UUID

from sourced._records import NewMessage, StoredMessage
from sourced.memory._journal import Journal

__all__ = ["Log", "Stream"]


class Stream:
    """One stream: its messages in order, and for every type the seqs that have it.

    The seqs by type are what keeps "the next message this group handles" a look-up however long
    the stream is (I10).

    Attributes:
        id: the stream's id.
        number: its place in the order of creation, from 1.
        messages: message of seq n at index n - 1.
    """

    __slots__ = ("_seqs", "id", "messages", "number")

    def __init__(self, id: str, number: int) -> None:
        self.id = id
        self.number = number
        self.messages: list[StoredMessage] = []
        self._seqs: dict[str, list[int]] = {}

    @property
    def head(self) -> int:
        """The seq of the last message."""
        return len(self.messages)

    def add(self, message: StoredMessage) -> None:
        """Put a message at the end."""
        self.messages.append(message)
        self._seqs.setdefault(message.type, []).append(message.seq)

    def drop_last(self) -> None:
        """Take the last message back."""
        self._seqs[self.messages.pop().type].pop()

    def first(self, types: Collection[str], since: int = 1) -> int | None:
        """Return the first seq at or after `since` of these types."""
        found = None
        for seqs in self._of(types):
            place = bisect_left(seqs, since)
            if place < len(seqs) and (found is None or seqs[place] < found):
                found = seqs[place]
        return found

    def last(self, types: Collection[str]) -> int:
        """Return the last seq of these types, 0 if there is none."""
        return max((seqs[-1] for seqs in self._of(types)), default=0)

    def count(self, types: Collection[str], since: int) -> int:
        """Return how many messages of these types there are at or after `since`."""
        return sum(len(seqs) - bisect_left(seqs, since) for seqs in self._of(types))

    def walk(self, types: Collection[str] | None, since: int) -> Iterator[StoredMessage]:
        """Yield messages of these types, or all, at or after `since`, in order."""
        if types is None:
            return (self.messages[index] for index in range(max(since, 1) - 1, self.head))
        runs = (_from(seqs, bisect_left(seqs, since)) for seqs in self._of(types))
        return (self.messages[seq - 1] for seq in merge(*runs))

    def _of(self, types: Collection[str]) -> list[list[int]]:
        return [seqs for type in types if (seqs := self._seqs.get(type))]


class Log:
    """All messages. Position n is the n-th message: a transaction taken back frees its positions.

    Attributes:
        messages: message of position n at index n - 1.
        streams: by number; number n at index n - 1.
        stream_ids: in alphabetical order.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.messages: list[StoredMessage] = []
        self.streams: list[Stream] = []
        self.stream_ids: list[str] = []
        self._by_name: dict[str, Stream] = {}
        self._by_id: dict[UUID, StoredMessage] = {}
        self._positions: dict[str, list[int]] = {}
        self._correlations: dict[UUID, list[int]] = {}

    def stream(self, stream_id: str) -> Stream | None:
        """Return a stream that holds messages."""
        return self._by_name.get(stream_id)

    def head(self, stream_id: str) -> int:
        """Return the seq of a stream's last message, 0 if there is no such stream."""
        stream = self._by_name.get(stream_id)
        return stream.head if stream is not None else 0

    def message(self, message_id: UUID) -> StoredMessage | None:
        """Return the message of this id."""
        return self._by_id.get(message_id)

    def add(self, new: NewMessage) -> StoredMessage:
        """Write a message to the end of its stream."""
        stream = self._by_name.get(new.stream_id) or self._open(new.stream_id)
        message = new.placed(seq=stream.head + 1, position=len(self.messages) + 1)
        stream.add(message)
        self.messages.append(message)
        self._by_id[message.id] = message
        self._positions.setdefault(message.type, []).append(message.position)
        self._correlations.setdefault(message.correlation_id, []).append(message.position)
        self._journal.note(self._take_back)
        return message

    def by_position(
        self, after: int, types: Collection[str] | None, *, backwards: bool = False
    ) -> Iterator[StoredMessage]:
        """Yield messages beyond a position (exclusive), forwards or backwards."""
        if types is None:
            places: Iterator[int] = iter(
                range(min(after - 1, len(self.messages)), 0, -1)
                if backwards
                else range(max(after, 0) + 1, len(self.messages) + 1)
            )
        else:
            runs = [self._positions[type] for type in set(types) if type in self._positions]
            places = (
                merge(*(_down(run, bisect_left(run, after)) for run in runs), reverse=True)
                if backwards
                else merge(*(_from(run, bisect_right(run, after)) for run in runs))
            )
        return (self.messages[place - 1] for place in places)

    def by_correlation(self, correlation_id: UUID, since: int = 0) -> Iterator[StoredMessage]:
        """Yield messages of a correlation at or after a position, in order."""
        run = self._correlations.get(correlation_id, [])
        return (self.messages[place - 1] for place in _from(run, bisect_left(run, since)))

    def _open(self, stream_id: str) -> Stream:
        stream = Stream(stream_id, len(self.streams) + 1)
        self.streams.append(stream)
        self._by_name[stream_id] = stream
        insort(self.stream_ids, stream_id)
        return stream

    def _take_back(self) -> None:
        message = self.messages.pop()
        del self._by_id[message.id]
        self._positions[message.type].pop()
        self._correlations[message.correlation_id].pop()
        stream = self._by_name[message.stream_id]
        stream.drop_last()
        if not stream.messages:
            self.streams.pop()
            del self._by_name[stream.id]
            del self.stream_ids[bisect_left(self.stream_ids, stream.id)]


def _from(run: list[int], start: int) -> Iterator[int]:
    return (run[index] for index in range(start, len(run)))


def _down(run: list[int], end: int) -> Iterator[int]:
    return (run[index] for index in range(end - 1, -1, -1))

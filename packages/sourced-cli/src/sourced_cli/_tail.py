"""Follows the log, or one stream, and skips nothing.

The log goes by position, and positions become visible out of order where several writers commit at
once. `Store.read_all` never passes a hole that may still be filled: it says how far it has looked
(`next_after`) and who holds up the rest (`waiting_for`). A tail reads on from there and from
nowhere else, so from the first message that it shows it shows every one, in order.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sourced import Store
    from sourced._records import StoredMessage

__all__ = ["LogTail", "Page", "StreamTail", "Tail", "follow", "read_to_end"]

PAGE = 500
PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in order, whether more are there, and who holds them up if somebody does."""

    messages: tuple[StoredMessage, ...]
    has_more: bool
    waiting_for: tuple[str, ...] = ()


class Tail(Protocol):
    """Reads on from where it is."""

    def read(self) -> Page:
        """Return what has come since the last read, a page at most."""
        ...


class LogTail:
    """The whole log, from after a position or from the last few messages on."""

    def __init__(
        self,
        store: Store,
        *,
        types: Collection[str] | None = None,
        after: int | None = None,
        last: int = 0,
    ) -> None:
        self._store = store
        self._types = types
        self._after = self._before_last(last) if after is None else after

    def read(self) -> Page:
        """See `Tail`."""
        page = self._store.read_all(after=self._after, types=self._types, limit=PAGE)
        has_more = len(page.messages) == PAGE
        self._after = page.next_after
        return Page(page.messages, has_more, page.waiting_for)

    def _before_last(self, count: int) -> int:
        """Return the position from which the last `count` messages are read forwards."""
        page = self._store.read_all(types=self._types, limit=max(count, 1), backwards=True)
        if not page.messages:
            return 0
        if count == 0:
            return page.messages[0].position
        return page.messages[-1].position - 1


class StreamTail:
    """One stream, from after a seq or from the last few messages on."""

    def __init__(
        self,
        store: Store,
        stream_id: str,
        *,
        types: Collection[str] | None = None,
        after: int | None = None,
        last: int = 0,
    ) -> None:
        self._store = store
        self._stream_id = stream_id
        self._types = types
        self._after = self._before_last(last) if after is None else after

    @property
    def head(self) -> int:
        """The seq of the stream's last message, 0 if there is no such stream."""
        return self._store.read_stream(self._stream_id, types=(), limit=1).head

    def read(self) -> Page:
        """See `Tail`."""
        page = self._store.read_stream(
            self._stream_id, after=self._after, types=self._types, limit=PAGE
        )
        self._after = max(page.to, self._after)
        return Page(page.messages, page.to < page.head)

    def _before_last(self, count: int) -> int:
        """Look back in windows that double until enough messages of the types are found."""
        head, window = self.head, max(count, 1)
        while count and window < head:
            found = self._store.read_stream(
                self._stream_id, after=head - window, upto=head, types=self._types, limit=window
            ).messages
            if len(found) >= count:
                return found[-count].seq - 1
            window *= 2
        if not count:
            return head
        found = self._store.read_stream(
            self._stream_id, upto=head, types=self._types, limit=max(head, 1)
        ).messages
        return found[-count].seq - 1 if len(found) >= count else 0


def read_to_end(tail: Tail) -> Iterator[Page]:
    """Give pages until there is nothing more, or somebody holds it up."""
    while True:
        page = tail.read()
        yield page
        if not page.has_more:
            return


def follow(store: Store, tail: Tail) -> Iterator[Page]:
    """Give pages for ever, woken by the store's hints and otherwise several times a second."""
    stirred = threading.Event()
    unsubscribe = store.subscribe(lambda _groups: stirred.set())
    try:
        while True:
            page = tail.read()
            yield page
            if not page.has_more:
                stirred.wait(PAUSE)
                stirred.clear()
    finally:
        unsubscribe()

"""Reads one stream from the store for one reactor, through the process's cache of states."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from sourced._batch import Page, Remembered
from sourced._messages import Message, decode, stored_types
from sourced._records import StoredMessage
from sourced._state_cache import StateCache
from sourced._store import Snapshot, Store, Transaction, Verbs

__all__ = ["Prefetched", "StoreReader", "TransactionReader"]

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefetched:
    """History that came along with pending messages: all of `types` in (after, to]."""

    messages: tuple[StoredMessage, ...]
    types: frozenset[str]
    after: int
    to: int
    head: int


class _Reader:
    """Reads by verbs that may be those of an open transaction."""

    def __init__(
        self,
        verbs: Verbs,
        group: str,
        stream_id: str,
        cache: StateCache | None,
        prefetched: Prefetched | None = None,
    ) -> None:
        self._verbs = verbs
        self._group = group
        self._stream_id = stream_id
        self._cache = cache
        self._prefetched = prefetched

    @property
    def stream_id(self) -> str:
        """The stream."""
        return self._stream_id

    def pages(
        self, *, after: int, upto: int | None, types: Collection[type[Message]] | None
    ) -> Iterator[Page]:
        """Give the messages with after < seq ≤ upto, first those that came along."""
        names = None if types is None else stored_types(types)
        ready = self._prefetched
        if ready is not None and names == ready.types and after >= ready.after:
            page = _within(ready, after, upto)
            yield page
            if page.to >= (ready.head if upto is None else min(upto, ready.head)):
                return
            after = page.to
        yield from self._read(after, upto, names)

    def recall(self, role: str, *, below: int | None) -> Remembered | None:
        """Take the remembered state of a role."""
        if self._cache is None:
            return None
        return self._cache.take(self._group, self._stream_id, role, below=below)

    def snapshot(self, version: int, *, below: int | None) -> Snapshot | None:
        """Return the stored snapshot, if it is old enough."""
        found = self._verbs.read_snapshots(self._group, [self._stream_id], version=version)
        snapshot = found.get(self._stream_id)
        if snapshot is None or (below is not None and snapshot.seq >= below):
            return None
        return snapshot

    def _read(self, after: int, upto: int | None, names: frozenset[str] | None) -> Iterator[Page]:
        while True:
            page = self._verbs.read_stream(
                self._stream_id, after=after, upto=upto, types=names, limit=PAGE
            )
            yield Page(tuple(decode(record) for record in page.messages), page.to)
            if page.to >= (page.head if upto is None else min(upto, page.head)):
                return
            after = page.to


class StoreReader(_Reader):
    """A `StreamReader` over a store; `cache` None reads without remembering."""

    def __init__(
        self,
        store: Store,
        group: str,
        stream_id: str,
        *,
        cache: StateCache | None = None,
        prefetched: Prefetched | None = None,
    ) -> None:
        super().__init__(store, group, stream_id, cache, prefetched)
        self._store = store

    def connection(self) -> AbstractContextManager[Any]:
        """Give the store's own connection."""
        return self._store.connection()


class TransactionReader(_Reader):
    """A `StreamReader` inside an open transaction, on its connection."""

    def __init__(
        self, transaction: Transaction, group: str, stream_id: str, *, cache: StateCache
    ) -> None:
        super().__init__(transaction, group, stream_id, cache)
        self._transaction = transaction

    def connection(self) -> AbstractContextManager[Any]:
        """Give the transaction's connection."""
        return nullcontext(self._transaction.connection)


def _within(ready: Prefetched, after: int, upto: int | None) -> Page:
    to = ready.to if upto is None else min(ready.to, upto)
    wanted = tuple(decode(r) for r in ready.messages if after < r.seq <= to)
    return Page(wanted, max(to, after))

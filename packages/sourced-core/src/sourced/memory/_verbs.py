"""The verbs that may be done on their own and in a caller's transaction, written once for both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from sourced._arguments import checked_bound, checked_limit, checked_place
from sourced._faults import reach
from sourced._limits import check_sizes
from sourced._records import NewMessage, ScheduledMessage, StoredMessage
from sourced._store import Appended, Connection, Expectation, Snapshot, StreamPage, UnitOfWork
from sourced.errors import UsageError
from sourced.memory import _append, _commit, _read, _schedule
from sourced.memory._lock import StoreLock
from sourced.memory._tables import Tables

__all__ = ["MemoryTransaction", "MemoryVerbs"]


class MemoryVerbs:
    """The verbs that a store and a transaction have in common."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def _reading(self) -> AbstractContextManager[Tables]:
        raise NotImplementedError

    def _writing(self, then: str = "") -> AbstractContextManager[Tables]:
        raise NotImplementedError

    def append(
        self, messages: Sequence[NewMessage], *, expect: Mapping[str, Expectation] | None = None
    ) -> Appended:
        """See `sourced._store.Verbs`."""
        check_sizes(messages, self._limit)
        with self._writing(then="append.after") as tables:
            appended = _append.append(tables, messages, expect or {})
            reach("append.before_commit")
        return appended

    def schedule(self, messages: Sequence[ScheduledMessage]) -> None:
        """See `sourced._store.Verbs`."""
        check_sizes((item.message for item in messages), self._limit)
        with self._writing() as tables:
            _schedule.schedule(tables, messages)

    def handle_now(self, work: UnitOfWork) -> Appended:
        """See `sourced._store.Verbs`."""
        check_sizes(work.messages, self._limit)
        check_sizes((item.message for item in work.schedule), self._limit)
        with self._writing() as tables:
            return _commit.handle_now(tables, work)

    def read_stream(
        self,
        stream_id: str,
        *,
        after: int = 0,
        upto: int | None = None,
        types: Collection[str] | None = None,
        limit: int = 500,
    ) -> StreamPage:
        """See `sourced._store.Verbs`."""
        after, upto = checked_place(after, "after"), checked_bound(upto, "upto")
        limit = checked_limit(limit)
        with self._reading() as tables:
            return _read.read_stream(tables, stream_id, after, upto, types, limit)

    def read_one(self, message_id: UUID) -> StoredMessage | None:
        """See `sourced._store.Verbs`."""
        with self._reading() as tables:
            return tables.log.message(message_id)

    def read_snapshots(
        self, group: str, stream_ids: Collection[str], *, version: int
    ) -> Mapping[str, Snapshot]:
        """See `sourced._store.Verbs`."""
        with self._reading() as tables:
            return _read.read_snapshots(tables, group, stream_ids, version)


class MemoryTransaction(MemoryVerbs):
    """The verbs inside `MemoryStore.transaction()`, each in a savepoint."""

    def __init__(self, limit: int, tables: Tables, lock: StoreLock) -> None:
        super().__init__(limit)
        self._tables = tables
        self._lock = lock
        self._ended = False

    @property
    def connection(self) -> Connection:
        """None: there is no connection in memory."""
        return None

    def end(self) -> None:
        """Let no more be done."""
        self._ended = True

    @contextmanager
    def _reading(self) -> Iterator[Tables]:
        with self._lock.held():
            if self._ended:
                raise UsageError("this transaction has ended; open another one")
            yield self._tables

    @contextmanager
    def _writing(self, then: str = "") -> Iterator[Tables]:  # noqa: ARG002 - nothing is committed yet
        with self._reading() as tables:
            mark = tables.journal.mark()
            try:
                yield tables
            except BaseException:
                tables.journal.undo(mark)
                raise

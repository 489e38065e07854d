"""The memory store: the port's verbs over tables in memory, under one lock.

Every verb that writes is one transaction: it takes the lock, notes how to take back what it writes,
and takes it back if anything is raised before its end: by a refusal, by a user's sync, by a fault
point. After it has let go of the lock it passes the fault point that lies behind the commit, and
gives hints. So what other stores get from row locks and snapshots, this one gets from there being
one transaction at a time; a sync must therefore not wait for another thread that uses the store.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timedelta
from typing import NoReturn
from uuid import UUID

from sourced._arguments import (
    check_group,
    checked_bound,
    checked_decision,
    checked_limit,
    checked_start,
)
from sourced._clock import Clock, SystemClock
from sourced._faults import reach
from sourced._limits import MAX_MESSAGE_BYTES
from sourced._records import StoredMessage
from sourced._store import (
    BEGINNING,
    Claim,
    Committed,
    Connection,
    LogPage,
    Operator,
    Park,
    Pending,
    Poll,
    Promoted,
    ReadLimits,
    Registration,
    ResetProgress,
    Retry,
    Start,
    StreamCommit,
    Tails,
    Transaction,
    WorkerInfo,
)
from sourced.errors import SchemaError, UsageError
from sourced.memory import (
    _commit,
    _deliveries,
    _groups,
    _read,
    _reset,
    _schedule,
    _workers,
)
from sourced.memory._inspect import MemoryInspect
from sourced.memory._lock import StoreLock
from sourced.memory._tables import Tables
from sourced.memory._verbs import MemoryTransaction, MemoryVerbs

__all__ = ["MemoryStore"]

_log = logging.getLogger("sourced.memory")

Hint = Callable[[frozenset[str]], None]


class MemoryStore(MemoryVerbs):
    """A store that lives and dies with its process; for consoles, tests and trying things out.

    It keeps all that the port promises, for any number of threads, but survives nothing.

    Args:
        clock: the store's clock; the machine's by default.
        max_message_bytes: how large payload and meta of a message may be together.
    """

    def __init__(
        self, *, clock: Clock | None = None, max_message_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        super().__init__(max_message_bytes)
        self._clock = clock if clock is not None else SystemClock()
        self._lock = StoreLock()
        self._is_writing = False
        self._tables: Tables | None = Tables()
        self._hints: list[Hint] = []
        self._inspect = MemoryInspect(self._reading, self.now)

    @property
    def inspect(self) -> MemoryInspect:
        """The read API for people and tools."""
        return self._inspect

    # schema and life

    def install(self) -> bool:
        """See `sourced._store.Store`. A memory store is born installed."""
        with self._lock.held():
            if self._tables is not None:
                return False
            self._tables = Tables()
            return True

    def installed(self) -> bool:
        """See `sourced._store.Store`."""
        return self._tables is not None

    def uninstall(self) -> None:
        """See `sourced._store.Store`."""
        with self._lock.held():
            self._refuse_nesting()
            self._tables = None

    def close(self) -> None:
        """See `sourced._store.Store`. There is nothing to let go of."""

    @property
    def clock(self) -> Clock:
        """What the store takes its time from."""
        return self._clock

    def now(self) -> datetime:
        """See `sourced._store.Store`."""
        return self._clock.now()

    # groups

    def register(
        self,
        group: str,
        types: Collection[str],
        *,
        start: Start = BEGINNING,
        was: Sequence[str] = (),
    ) -> Registration:
        """See `sourced._store.Store`."""
        check_group(group, was)
        start = checked_start(start)
        with self._reading() as tables:
            if _groups.is_registered(tables, group, types, was):
                return Registration(created=False)
        with self._writing() as tables:
            registration = _groups.subscribe(tables, group, types, start, was)
        return self._fill(group, registration)

    def _fill(self, group: str, registration: Registration) -> Registration:
        if registration.created:
            reach("register.after_subscribe")
        past_streams, more = 0, True
        while more:
            with self._writing() as tables:
                found, more = _groups.fill_chunk(tables, group)
            past_streams += found
            if more:
                reach("register.mid")
        if not registration.created:
            return registration
        return Registration(created=True, past_streams=past_streams)

    def unsubscribe(
        self, group: str, types: Collection[str], *, by: Operator | None = None
    ) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            _groups.unsubscribe(tables, group, types, by)

    def remove(self, group: str, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            _groups.remove(tables, group, by)

    def stop(self, group: str, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            _groups.stop(tables, group, by)

    def start(self, group: str, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            _groups.start(tables, group, by)

    def trip_breaker(self, group: str, *, more_than: int, within: timedelta) -> bool:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            return _groups.trip_breaker(tables, group, more_than, within)

    def reset(
        self,
        group: str,
        stream_ids: Collection[str] | None = None,
        *,
        by: Operator | None = None,
        chunk: int = 500,
    ) -> Iterator[ResetProgress]:
        """See `sourced._store.Store`."""
        chunk = checked_limit(chunk, "chunk")
        with self._writing() as tables:
            streams = _reset.begin_reset(tables, group, stream_ids, by)
        for begin in range(0, len(streams), chunk):
            if begin:
                reach("reset.mid")
            part = streams[begin : begin + chunk]
            with self._writing() as tables:
                _reset.reset_chunk(tables, group, part)
            yield ResetProgress(done=begin + len(part), total=len(streams))

    # workers

    def join(self, worker: WorkerInfo) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            _workers.join(tables, worker)

    def heartbeat(self, worker_id: str) -> bool:
        """See `sourced._store.Store`."""
        reach("heartbeat.lost")
        with self._writing() as tables:
            return _workers.heartbeat(tables, worker_id)

    def leave(self, worker_id: str) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            _workers.leave(tables, worker_id)

    def reap(self, lease: timedelta) -> int:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            return _workers.reap(tables, lease)

    def poll(self, lease: timedelta) -> Poll:
        """See `sourced._store.Store`."""
        with self._reading() as tables:
            return _workers.poll(tables, lease, self.now())

    # claim, read, commit

    def claim(
        self,
        group: str,
        worker_id: str,
        *,
        max_streams: int = 50,
        stream_ids: Collection[str] | None = None,
        suspects: bool = True,
    ) -> list[Claim]:
        """See `sourced._store.Store`."""
        max_streams = checked_limit(max_streams, "max_streams")
        with self._writing() as tables:
            claims = _deliveries.claim(
                tables, group, worker_id, max_streams, stream_ids, suspects=suspects
            )
        if claims:
            reach("claim.after")
        return claims

    def read_pending(
        self,
        claims: Sequence[Claim],
        *,
        known_types: Collection[str],
        limits: ReadLimits = ReadLimits(),  # noqa: B008 - a frozen value
        tails: Tails | None = None,
    ) -> list[Pending]:
        """See `sourced._store.Store`."""
        with self._reading() as tables:
            return _read.read_pending(tables, claims, known_types, limits, tails)

    def commit(
        self,
        worker_id: str,
        streams: Sequence[StreamCommit],
        *,
        sync: Callable[[Connection], None] | None = None,
    ) -> Committed:
        """See `sourced._store.Store`."""
        with self._writing(then="commit.connection_lost") as tables:
            return _commit.commit(tables, worker_id, streams, sync, self._limit)

    def commit_locked(
        self, claim: Claim, decide: Callable[[Transaction], StreamCommit | None]
    ) -> Committed | None:
        """See `sourced._store.Store`. Holds the store's one lock while `decide` runs."""
        with self._writing(then="commit.connection_lost") as tables:
            _commit.check_held(tables, claim)
            reach("commit.locked")
            with self._transaction(tables) as transaction:
                part = checked_decision(claim, decide(transaction))
            if part is None:
                return None
            return _commit.commit(tables, claim.worker, [part], None, self._limit)

    def release(self, claims: Sequence[Claim]) -> int:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            return _deliveries.release(tables, claims)

    def retry(self, claim: Claim, retry: Retry) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            _deliveries.retry(tables, _deliveries.held(tables, claim), retry)

    def park(self, claim: Claim, park: Park) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            _deliveries.park(tables, _deliveries.held(tables, claim), park)

    def unpark(
        self,
        group: str,
        stream_ids: Collection[str] | None = None,
        *,
        by: Operator | None = None,
    ) -> int:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            return _deliveries.unpark(tables, group, stream_ids, by)

    def skip(self, group: str, stream_id: str, seq: int, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            _deliveries.skip(tables, group, stream_id, seq, by)

    # time

    def cancel(self, message_id: UUID, *, by: Operator | None = None) -> bool:
        """See `sourced._store.Store`."""
        with self._writing() as tables:
            return _schedule.cancel(tables, message_id, by)

    def promote_due(self, limit: int = 1000) -> Promoted:
        """See `sourced._store.Store`."""
        limit = checked_limit(limit)
        with self._writing() as tables:
            return _schedule.promote_due(tables, limit, self._limit)

    # reading

    def read_all(
        self,
        *,
        after: int | None = None,
        types: Collection[str] | None = None,
        limit: int = 500,
        backwards: bool = False,
    ) -> LogPage:
        """See `sourced._store.Store`."""
        after, limit = checked_bound(after, "after"), checked_limit(limit)
        with self._reading() as tables:
            return _read.read_all(tables, after, types, limit, backwards)

    def trace(self, message_id: UUID, *, limit: int = 1000) -> tuple[StoredMessage, ...]:
        """See `sourced._store.Store`."""
        limit = checked_limit(limit)
        with self._reading() as tables:
            return _read.trace(tables, message_id, limit)

    # the caller's transaction, the reader's connection, hints

    def connection(self) -> AbstractContextManager[Connection]:
        """Give None: there is no connection in memory."""
        return nullcontext()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction that holds the store's lock until it ends."""
        with self._writing() as tables, self._transaction(tables) as transaction:
            yield transaction

    def bind(self, connection: Connection) -> NoReturn:
        """Refuse: there is no connection in memory to bind to.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"the memory store has no connections, so it cannot join {connection!r}; "
            "use store.transaction()"
        )

    def subscribe(self, callback: Hint) -> Callable[[], None]:
        """See `sourced._store.Store`. Calls back in the thread that wrote, after it did."""
        # A wrapper of its own lets one function subscribe twice and each end on its own.
        hint = _Subscription(callback)
        with self._lock.held():
            self._hints.append(hint)

        def unsubscribe() -> None:
            with self._lock.held():
                if hint in self._hints:
                    self._hints.remove(hint)

        return unsubscribe

    # transactions

    @contextmanager
    def _reading(self) -> Iterator[Tables]:
        with self._lock.held():
            yield self._open_tables()

    @contextmanager
    def _writing(self, then: str = "") -> Iterator[Tables]:
        """Write all or nothing; then, without the lock, reach a fault point and give hints."""
        with self._lock.held():
            self._refuse_nesting()
            tables = self._open_tables()
            self._is_writing = True
            tables.now = self.now()
            try:
                yield tables
            except BaseException:
                tables.journal.undo()
                raise
            else:
                tables.journal.forget()
                groups = frozenset(tables.deliveries.stirred)
            finally:
                tables.deliveries.stirred.clear()
                self._is_writing = False
        if then:
            reach(then)
        if groups:
            self._give_hints(groups)

    @contextmanager
    def _transaction(self, tables: Tables) -> Iterator[MemoryTransaction]:
        transaction = MemoryTransaction(self._limit, tables, self._lock)
        try:
            yield transaction
        finally:
            transaction.end()

    def _open_tables(self) -> Tables:
        if self._tables is None:
            raise SchemaError("the memory store was uninstalled; call install() first")
        return self._tables

    def _refuse_nesting(self) -> None:
        # The lock is held here, so that a transaction which is open was opened further up.
        if self._is_writing:
            raise UsageError(
                "the store was asked to write inside an open transaction: in a sync, leave "
                "messages to the handler's outcomes; in store.transaction(), use its own verbs"
            )

    def _give_hints(self, groups: frozenset[str]) -> None:
        with self._lock.held():
            hints = tuple(self._hints)
        try:
            reach("notify.lost")
        except Exception:  # noqa: BLE001 - whatever loses a hint loses nothing else
            _log.debug("a hint was lost", exc_info=True)
            return
        for hint in hints:
            try:
                hint(groups)
            except Exception:  # noqa: BLE001 - a callback never breaks the verb
                _log.exception("a subscriber to hints raised; the next one is called all the same")


class _Subscription:
    """A callback that is told from another subscription of the same one."""

    def __init__(self, callback: Hint) -> None:
        self._callback = callback

    def __call__(self, groups: frozenset[str]) -> None:
        self._callback(groups)

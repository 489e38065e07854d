"""The store port on SQLite: `open_store` and `SQLAlchemyStore`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from sourced._arguments import (
    check_commit,
    check_group,
    checked_bound,
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
from sourced_sqlalchemy import (
    _claim,
    _commit,
    _deliveries,
    _groups,
    _log,
    _operate,
    _read_pending,
    _register,
    _schedule,
    _schema,
    _workers,
)
from sourced_sqlalchemy._bind import CallersTransaction, connection_of
from sourced_sqlalchemy._database import Database
from sourced_sqlalchemy._hints import Hints
from sourced_sqlalchemy._inspect import SQLAlchemyInspect
from sourced_sqlalchemy._options import BUSY_TIMEOUT, Options, options_of
from sourced_sqlalchemy._scope import Scope
from sourced_sqlalchemy._tables import DEFAULT_PREFIX, Tables, tables_of
from sourced_sqlalchemy._translate import callers_code, translated
from sourced_sqlalchemy._verbs import Verbs

__all__ = ["SQLAlchemyStore", "open_store"]


def open_store(
    url: str,
    *,
    clock: Clock | None = None,
    prefix: str = DEFAULT_PREFIX,
    synchronous: str = "FULL",
    busy_timeout: timedelta = BUSY_TIMEOUT,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
) -> SQLAlchemyStore:
    """Open the store of a SQLite URL, such as `sqlite:///shop.db`; nothing is read or made yet.

    Every option may also stand in the URL's query, where it wins over what is given here:
    `sqlite:///shop.db?synchronous=normal&busy_timeout=5`.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `sqlite://` for a database in
            the memory of this process.
        clock: the store's clock; the machine's by default.
        prefix: of every table's name.
        synchronous: SQLite's level. FULL, the default, loses nothing when the power fails.
        busy_timeout: how long to wait for other processes' transactions.
        max_message_bytes: how large payload and meta of a message may be together.

    Raises:
        StoreUrlError: the URL or an option is not understood.
    """
    given = Options(
        file=None,
        prefix=prefix,
        synchronous=synchronous.upper(),
        busy_timeout=busy_timeout,
        max_message_bytes=max_message_bytes,
    )
    return SQLAlchemyStore(options_of(url, given), clock=clock)


class SQLAlchemyStore(Verbs):
    """The store port on SQLite through SQLAlchemy; made by `open_store`.

    Any number of threads share one; any number of processes on one machine open the same file.
    """

    def __init__(self, options: Options, *, clock: Clock | None = None) -> None:
        super().__init__(options.max_message_bytes)
        self._options = options
        self._tables = tables_of(options.prefix)
        self._clock = clock if clock is not None else SystemClock()
        self._database = Database(options)
        self._hints = Hints()
        self._inspect = SQLAlchemyInspect(self._reading)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._options.name}>"

    @property
    def inspect(self) -> SQLAlchemyInspect:
        """The read API for people and tools."""
        return self._inspect

    @property
    def options(self) -> Options:
        """What the store was opened with."""
        return self._options

    @property
    def tables(self) -> Tables:
        """The tables as SQLAlchemy Core sees them, under this store's prefix."""
        return self._tables

    # schema and life

    def install(self) -> bool:
        """See `sourced._store.Store`. Makes the file too, if there is none."""
        with translated(self._options):
            self._database.create()
        with self._writing() as scope:
            return _schema.install(scope)

    def installed(self) -> bool:
        """See `sourced._store.Store`."""
        if not self._database.exists:
            return False
        with self._reading() as scope:
            return _schema.is_installed(scope)

    def uninstall(self) -> None:
        """See `sourced._store.Store`. Leaves the file, where your own tables may be."""
        if self._database.exists:
            with self._writing() as scope:
                _schema.uninstall(scope)

    def close(self) -> None:
        """See `sourced._store.Store`."""
        self._database.close()

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
        with self._reading() as scope:
            if _register.is_registered(scope, group, types, was):
                return Registration(created=False)
        with self._writing() as scope:
            registration = _register.subscribe(scope, group, types, start, was)
        if registration.created:
            reach("register.after_subscribe")
        past_streams = self._fill(group)
        if not registration.created:
            return registration
        return Registration(created=True, past_streams=past_streams)

    def _fill(self, group: str) -> int:
        past_streams, more = 0, True
        while more:
            with self._writing() as scope:
                found, more = _register.fill_chunk(scope, group)
            past_streams += found
            if more:
                reach("register.mid")
        return past_streams

    def unsubscribe(
        self, group: str, types: Collection[str], *, by: Operator | None = None
    ) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            _groups.unsubscribe(scope, group, types, by)

    def remove(self, group: str, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            _groups.remove(scope, group, by)

    def stop(self, group: str, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            _groups.stop(scope, group, by)

    def start(self, group: str, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            _groups.start(scope, group, by)

    def trip_breaker(self, group: str, *, more_than: int, within: timedelta) -> bool:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            return _groups.trip_breaker(scope, group, more_than, within)

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
        with self._reading() as scope:
            streams = _operate.streams_to_reset(scope, group, stream_ids)
        with self._writing() as scope:
            _operate.begin_reset(scope, group, stream_ids, len(streams), by)
        for begin in range(0, len(streams), chunk):
            if begin:
                reach("reset.mid")
            part = streams[begin : begin + chunk]
            with self._writing() as scope:
                _operate.reset_chunk(scope, group, part)
            yield ResetProgress(done=begin + len(part), total=len(streams))

    # workers

    def join(self, worker: WorkerInfo) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            _workers.join(scope, worker)

    def heartbeat(self, worker_id: str) -> bool:
        """See `sourced._store.Store`."""
        reach("heartbeat.lost")
        with self._writing(durable=False) as scope:
            return _workers.heartbeat(scope, worker_id)

    def leave(self, worker_id: str) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            _workers.leave(scope, worker_id)

    def reap(self, lease: timedelta) -> int:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            return _workers.reap(scope, lease)

    def poll(self, lease: timedelta) -> Poll:
        """See `sourced._store.Store`."""
        with self._reading() as scope:
            return _workers.poll(scope, lease)

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
        """See `sourced._store.Store`.

        A claim need not wait for the disk: one that a power failure takes back was held by a
        process that is gone as well, and every commit compares `next_seq` (I3).
        """
        max_streams = checked_limit(max_streams, "max_streams")
        with self._writing(durable=False) as scope:
            claims = _claim.claim(
                scope,
                group,
                worker_id,
                max_streams=max_streams,
                stream_ids=stream_ids,
                suspects=suspects,
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
        with self._reading() as scope:
            return _read_pending.read_pending(
                scope, claims, known_types=known_types, limits=limits, tails=tails
            )

    def commit(
        self,
        worker_id: str,
        streams: Sequence[StreamCommit],
        *,
        sync: Callable[[Connection], None] | None = None,
    ) -> Committed:
        """See `sourced._store.Store`."""
        check_commit(streams)
        with self._writing(then="commit.connection_lost") as scope:
            committed = _commit.commit(scope, worker_id, streams, sync)
            reach("commit.before_commit")
        return committed

    def commit_locked(
        self, claim: Claim, decide: Callable[[Transaction], StreamCommit | None]
    ) -> Committed | None:
        """See `sourced._store.Store`. All writers of the file wait while `decide` runs."""
        with self._writing(then="commit.connection_lost") as scope:
            _commit.check_held(scope, claim)
            reach("commit.locked")
            with self._transaction(scope.connection) as transaction:
                decided = _commit.decided(scope, claim, lambda: decide(transaction))
            if decided is None:
                return None
            committed = _commit.commit(scope, claim.worker, [decided], None)
            reach("commit.before_commit")
        return committed

    def release(self, claims: Sequence[Claim]) -> int:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            return _deliveries.release(scope, claims)

    def retry(self, claim: Claim, retry: Retry) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            _deliveries.settle_claim(scope, claim, retry)

    def park(self, claim: Claim, park: Park) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            _deliveries.settle_claim(scope, claim, park)

    def unpark(
        self,
        group: str,
        stream_ids: Collection[str] | None = None,
        *,
        by: Operator | None = None,
    ) -> int:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            return _operate.unpark(scope, group, stream_ids, by)

    def skip(self, group: str, stream_id: str, seq: int, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            _operate.skip(scope, group, stream_id, seq, by)

    # time

    def cancel(self, message_id: UUID, *, by: Operator | None = None) -> bool:
        """See `sourced._store.Store`."""
        with self._writing() as scope:
            return _schedule.cancel(scope, message_id, by)

    def promote_due(self, limit: int = 1000) -> Promoted:
        """See `sourced._store.Store`."""
        limit = checked_limit(limit)
        with self._writing() as scope:
            return _schedule.promote_due(scope, limit)

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
        with self._reading() as scope:
            return _log.read_all(scope, after=after, types=types, limit=limit, backwards=backwards)

    def trace(self, message_id: UUID, *, limit: int = 1000) -> tuple[StoredMessage, ...]:
        """See `sourced._store.Store`."""
        limit = checked_limit(limit)
        with self._reading() as scope:
            return _log.trace(scope, message_id, limit)

    # the caller's transaction, the reader's connection, hints

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give a SQLAlchemy connection that sees one snapshot and cannot write.

        Raises:
            StatementTimeoutError: a statement in the block found a database locked for too long.
        """
        with self._entered(self._database.reading()) as connection, callers_code():
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[CallersTransaction]:
        """See `sourced._store.Store`. Holds the write lock until it ends: keep it short."""
        with (
            self._entered(self._database.writing()) as connection,
            self._transaction(connection) as transaction,
        ):
            yield transaction
        self._hint(transaction.stirred)

    def bind(self, connection: Any) -> CallersTransaction:
        """See `sourced._store.Store`.

        Args:
            connection: SQLAlchemy's Connection or Session on the same file. If its transaction
                has not begun on the driver's side, the first verb begins it, with the write lock.
        """
        return CallersTransaction(
            self._scope, connection_of(connection, self._database), self._database
        )

    def subscribe(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """See `sourced._store.Store`. Hints stay in this process; other processes poll."""
        return self._hints.subscribe(callback)

    # transactions

    @contextmanager
    def _reading(self) -> Iterator[Scope]:
        with translated(self._options), self._database.reading() as connection:
            yield self._scope(connection)

    @contextmanager
    def _writing(self, *, durable: bool = True, then: str = "") -> Iterator[Scope]:
        with (
            translated(self._options),
            self._database.writing(durable=durable) as connection,
        ):
            scope = self._scope(connection)
            yield scope
        if then:
            reach(then)
        self._hint(scope.stirred)

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[CallersTransaction]:
        transaction = CallersTransaction(self._scope, lambda: connection, self._database)
        try:
            yield transaction
        finally:
            transaction.end()

    @contextmanager
    def _entered(self, opening: AbstractContextManager[Connection]) -> Iterator[Connection]:
        """Translate what beginning and committing raise, but nothing of the caller's block."""
        with translated(self._options):
            connection = opening.__enter__()
        try:
            yield connection
        except BaseException:
            opening.__exit__(*sys.exc_info())
            raise
        with translated(self._options):
            opening.__exit__(None, None, None)

    def _scope(self, connection: Connection) -> Scope:
        return Scope(
            connection=connection,
            tables=self._tables,
            now=self.now(),
            max_message_bytes=self._options.max_message_bytes,
        )

    def _hint(self, groups: set[str]) -> None:
        if groups:
            self._hints.give(frozenset(groups))

"""The store port on PostgreSQL: `open_store` and `PostgresStore`."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg

from sourced._arguments import (
    check_commit,
    check_group,
    checked_bound,
    checked_decision,
    checked_limit,
    checked_place,
    checked_start,
)
from sourced._clock import Clock, SystemClock
from sourced._faults import is_armed, reach
from sourced._records import StoredMessage
from sourced._store import (
    BEGINNING,
    NOW,
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
    Release,
    ResetProgress,
    Retry,
    Start,
    StreamCommit,
    Tails,
    Transaction,
    WorkerInfo,
)
from sourced.errors import (
    ClaimLostError,
    CommitRefusedError,
    StoreUnavailableError,
    StoreUrlError,
    StreamLockedError,
)
from sourced_postgres import _log, _schema
from sourced_postgres._bind import CallersTransaction, joined
from sourced_postgres._commit import (
    claim_arguments,
    commit_arguments,
    committed_of,
    failures_in,
    local_failures,
    outputs_of,
    retry_arguments,
    run_syncs,
)
from sourced_postgres._connections import Connection, Connections, TurnedClock
from sourced_postgres._hints import Hints, Notifier
from sourced_postgres._identity import Identity
from sourced_postgres._inspect import PostgresInspect
from sourced_postgres._listener import Listener
from sourced_postgres._liveness import limited
from sourced_postgres._low_water import LowWater
from sourced_postgres._names import findable, known, listed
from sourced_postgres._nesting import OpenTransactions
from sourced_postgres._options import Options, options_of
from sourced_postgres._pending import read_group
from sourced_postgres._rows import Row, moment, most, plain_array, readable, text_array
from sourced_postgres._schema import Migration
from sourced_postgres._statements import bound, call
from sourced_postgres._sync import callers_code, run_sync
from sourced_postgres._transact import Statement, begin, finish, repeated, undone
from sourced_postgres._translate import CallersError, Refusal, may_be_callers, translated
from sourced_postgres._verbs import Verbs, repeats_among

__all__ = ["PostgresStore", "open_store"]

T = TypeVar("T")

FILL_CHUNK: Final = 500
"""Streams per transaction of a fill."""

_REGISTER_PATIENCE: Final = 60.0
"""Seconds for which a registration tries to get between the appends."""

_KEPT: Final = "seqs positions groups kept kept_next_seqs"


def open_store(url: str, *, clock: Clock | None = None, **options: Any) -> PostgresStore:
    """Open the store of a PostgreSQL URL, such as `postgresql://localhost/shop`.

    Nothing is read or made yet. Every option may also stand in the URL's query, where it wins over
    what is given here: `postgresql://localhost/shop?schema=events&pool_size=4`. What is no option
    of the store is libpq's, such as `sslmode`.

    Args:
        url: of the database.
        clock: a clock turned by tests; by default the store goes by the database's.
        options: fields of `Options`.

    Raises:
        StoreUrlError: the URL or an option is not understood.
    """
    known = {field.name for field in fields(Options)}
    if unknown := sorted(options.keys() - known):
        raise StoreUrlError(f"unknown option {unknown[0]!r}; there are {', '.join(sorted(known))}")
    parameters, chosen = options_of(url, Options(**options))
    return PostgresStore(Connections(parameters, chosen), clock=clock)


class PostgresStore(Verbs):
    """The store port on PostgreSQL through psycopg; made by `open_store`.

    Any number of threads share one; any number of processes and hosts share the database.
    """

    def __init__(self, connections: Connections, *, clock: Clock | None = None) -> None:
        super().__init__(connections.options, connections.name)
        self._connections = connections
        self._schema = connections.options.schema
        self._limit = connections.options.transaction_limit
        self._clock = clock if clock is not None else SystemClock()
        self._open = OpenTransactions(connections.name)
        self._turned = TurnedClock(self._clock, self._using, bound(self._schema, _TELL))
        self._identity = Identity(connections.name, self._using)
        self._low_water = LowWater()
        self._hints = Hints()
        self._token = secrets.token_hex(4)
        self._notifier = Notifier(self._notify)
        self._listener = Listener(
            connections.open_one, self._schema, self._token, self._hints.pass_on
        )
        self._inspect = PostgresInspect(self._reading, self._name, self._schema)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    @property
    def inspect(self) -> PostgresInspect:
        """The read API for people and tools."""
        return self._inspect

    # schema and life

    def install(self, *, role: str | None = None) -> bool:
        """See `sourced._store.Store`; brings an older schema to this version too.

        Args:
            role: a role that exists and is granted the least that workers need.

        Raises:
            UsageError: `role` cannot be the name of one.
            StoreError: there is no such role, or this one may not make what is missing.
            SchemaError: the schema is of a newer version.
        """
        if role is not None:
            _schema.check_role(role)
        turned = self._turned.is_turned
        made = self._changing(
            lambda connection: _schema.install(
                connection, self._schema, role=role, turned_clock=turned
            )
        )
        self._turned.forget()
        return made

    def _changing(self, change: Callable[[Connection], T]) -> T:
        """Change the schema in one transaction, as patiently as registrations."""
        self._open.check_outside()

        def once() -> T:
            with translated(self._name), self._connections.begun() as connection:
                return change(connection)

        return self._patiently(once)

    def installed(self) -> bool:
        """See `sourced._store.Store`."""
        with translated(self._name), self._connections.use() as connection:
            return _schema.installed_version(connection, self._schema)[0] == _schema.VERSION

    def uninstall(self) -> None:
        """See `sourced._store.Store`. Leaves the schema if something of yours is in it."""
        self._open.check_outside()
        with translated(self._name), self._connections.begun() as connection:
            _schema.uninstall(connection, self._schema)
        self._turned.forget()

    def migrations(self) -> tuple[Migration, ...]:
        """Return every step from version to version of the tables, oldest first.

        Raises:
            SchemaError: the schema is of a newer version.
        """
        with translated(self._name), self._connections.use() as connection:
            return _schema.migrations(connection, self._schema)

    def migrate(self) -> tuple[Migration, ...]:
        """Bring an installed schema to this version; safe when several processes do it at once.

        Returns:
            The steps that this call took.

        Raises:
            SchemaError: nothing is installed, or it is of a newer version.
        """
        turned = self._turned.is_turned
        taken = self._changing(
            lambda connection: _schema.migrate(connection, self._schema, turned_clock=turned)
        )
        self._turned.forget()
        return taken

    def migration_sql(self, *, after: int | None = None, role: str | None = None) -> str:
        """Return a script, for somebody else to run, that does what `install` would do.

        Args:
            after: the version that the schema has, 0 for none; by default the database is asked.
            role: a role that is granted the least that workers need; those that had it keep it.

        Raises:
            UsageError: there is no such version, or `role` cannot be the name of one.
            SchemaError: the schema is of a newer version.
        """
        if after is None:
            with translated(self._name), self._connections.use() as connection:
                after = _schema.installed_version(connection, self._schema)[0]
        return _schema.script(self._schema, after, role)

    def close(self) -> None:
        """See `sourced._store.Store`."""
        self._listener.stop()
        self._notifier.close()
        self._connections.close()

    @property
    def reconnects(self) -> int:
        """How often the listener for other processes' hints has connected again."""
        return self._listener.reconnects

    @property
    def clock(self) -> Clock:
        """What an app over this store waits by, and stamps messages with."""
        return self._clock

    def now(self) -> datetime:
        """See `sourced._store.Store`."""
        with translated(self._name), self._reading() as connection:
            (found,) = connection.execute(call(self._schema, "now", 0)).fetchone() or (None,)
        assert isinstance(found, datetime)
        return found.astimezone(UTC)

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
        wanted = text_array(sorted(set(types)))
        if self._call("registered", [group, wanted, text_array(was)])[0]:
            return Registration(created=False)
        begin = moment(start) if isinstance(start, datetime) else None
        arguments = [group, wanted, "t" if start == NOW else "f", begin, text_array(was)]
        created, added, filling = self._patiently(partial(self._call, "subscribe", arguments))
        if created:
            reach("register.after_subscribe")
        past_streams = self._fill(group) if filling else 0
        if not created:
            return Registration(created=False, added_types=frozenset(added or ()))
        return Registration(created=True, past_streams=past_streams)

    def _fill(self, group: str) -> int:
        past_streams, more = 0, True
        while more:
            found, more = self._call("fill", [group, str(FILL_CHUNK)])
            past_streams += found
            if more:
                reach("register.mid")
        self._hint([group])
        return past_streams

    def _patiently(self, do: Callable[[], T]) -> T:
        """Do what waits for all appends: a tenth of a second at a time, with pauses for them."""
        deadline = time.monotonic() + _REGISTER_PATIENCE
        while True:
            try:
                return do()
            except StoreUnavailableError as error:
                cause = error.__cause__
                if not isinstance(cause, psycopg.errors.LockNotAvailable):
                    raise
                if time.monotonic() >= deadline:
                    raise StoreUnavailableError(
                        f"some transaction on {self._name} has been appending for "
                        f"{_REGISTER_PATIENCE:g} s ({', '.join(self._appending())}): end it, then "
                        "try again"
                    ) from error
            time.sleep(random.uniform(0.02, 0.1))

    def unsubscribe(
        self, group: str, types: Collection[str], *, by: Operator | None = None
    ) -> None:
        """See `sourced._store.Store`."""
        (key,) = self._patiently(
            partial(self._call, "unsubscribe", [known(group), listed(types), *_operator(by)])
        )
        if self._move_on(key):
            self._hint([group])

    def _move_on(self, key: int) -> bool:
        after: int | None = 0
        moved = False
        while after is not None:
            after, some = self._call("move_on", [str(key), str(after), str(FILL_CHUNK)])
            moved = moved or some
        return moved

    def remove(self, group: str, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`. If it dies half-way the group is stopped: repeat it."""
        is_gone = False
        while not is_gone:  # and again if it was registered meanwhile
            (key,) = self._patiently(
                partial(self._call, "unsubscribe", [known(group), None, *_operator(by)])
            )
            self._move_on(key)
            while self._call("shed_snapshots", [str(key), "10000"])[0]:
                pass
            (is_gone,) = self._patiently(partial(self._call, "remove", [group, *_operator(by)]))

    def stop(self, group: str, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        self._call("stop", [known(group), *_operator(by)])

    def start(self, group: str, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        self._call("start", [known(group), *_operator(by)])
        self._low_water.forget([group])
        self._hint([group])

    def trip_breaker(self, group: str, *, more_than: int, within: timedelta) -> bool:
        """See `sourced._store.Store`."""
        arguments = [findable(group), str(more_than), str(within.total_seconds())]
        return bool(self._call("trip_breaker", arguments)[0])

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
        named = None if stream_ids is None else listed(stream_ids)
        (keys,) = self._call("begin_reset", [known(group), named, *_operator(by)])
        for first in range(0, len(keys), chunk):
            if first:
                reach("reset.mid")
            part = keys[first : first + chunk]
            self._call("reset", [group, plain_array(part)])
            self._hint([group])
            yield ResetProgress(done=first + len(part), total=len(keys))

    # workers

    def join(self, worker: WorkerInfo) -> None:
        """See `sourced._store.Store`."""
        import json

        handles = {group: sorted(types) for group, types in worker.handles.items()}
        names = [worker.id, readable(worker.name), readable(worker.host), str(worker.pid)]
        self._call("join", [*names, readable(worker.code_version), json.dumps(handles)])
        self._low_water.forget()

    def heartbeat(self, worker_id: str) -> bool:
        """See `sourced._store.Store`.

        On a connection of its own: it must not wait until a long sync leaves one. A beat that is
        not answered in time is of no use, so its connection is given up.
        """
        reach("heartbeat.lost")
        statement = call(self._schema, "heartbeat", 1)
        with translated(self._name):
            self._turned.tell()
            with (
                self._connections.reserved.use() as connection,
                limited(connection, self._options.connect_timeout.total_seconds()),
            ):
                row = connection.execute(statement, [worker_id]).fetchone()
        return row is not None and bool(row[0])

    def leave(self, worker_id: str) -> None:
        """See `sourced._store.Store`."""
        groups = self._call("leave", [worker_id])[0] or ()
        self._low_water.forget(groups)
        self._hint(groups)

    def reap(self, lease: timedelta) -> int:
        """See `sourced._store.Store`."""
        seconds = str(lease.total_seconds())
        freed, groups = self._call("reap", [seconds], "freed groups", "reap.before_commit")
        self._hint(groups or ())
        return int(freed)

    def poll(self, lease: timedelta) -> Poll:
        """See `sourced._store.Store`."""
        statement = bound(self._schema, _POLL)

        def look() -> list[Row]:
            with translated(self._name), self._reading() as connection:
                return connection.execute(statement, [str(lease.total_seconds())]).fetchall()

        rows = self._low_water.poll(look)
        *groups, last = sorted(rows, key=lambda row: row[0] is None)
        moments = [row[2].replace(tzinfo=UTC) for row in rows if row[2] is not None]
        return Poll(
            ready=frozenset(row[0] for row in groups if row[1] is not None),
            due=last[3],
            overdue=last[4],
            next_at=min(moments, default=None),
        )

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

        A claim need not wait for the disk: one that a crash of the server takes back is caught by
        every commit, which compares `next_seq` too (I3).
        """
        max_streams = checked_limit(max_streams, "max_streams")
        named = None if stream_ids is None else listed(stream_ids)
        statement = bound(self._schema, _CLAIM)
        wanted = [findable(group), worker_id, most(max_streams), named]

        def look(since: datetime | None) -> list[Row]:
            arguments = [*wanted, since and moment(since), "t" if suspects else "f"]
            with translated(self._name), self._writing(is_open=False) as connection:
                return connection.execute(statement, arguments).fetchall()

        rows = self._low_water.claim(group, look) if named is None else look(None)
        if rows:
            reach("claim.after")
        return [_claimed(row, group, worker_id) for row in rows]

    def read_pending(
        self,
        claims: Sequence[Claim],
        *,
        known_types: Collection[str],
        limits: ReadLimits = ReadLimits(),  # noqa: B008 - a frozen value
        tails: Tails | None = None,
    ) -> list[Pending]:
        """See `sourced._store.Store`. Claims of one group are read in one statement."""
        found: dict[int, Pending] = {}
        left = limits.bytes
        for group in dict.fromkeys(claim.group for claim in claims):
            mine = [place for place, claim in enumerate(claims) if claim.group == group]
            with translated(self._name), self._reading() as connection:
                some, spent = read_group(
                    connection,
                    self._schema,
                    [claims[place] for place in mine],
                    known_types,
                    replace(limits, bytes=max(left, 0)),
                    tails,
                )
            left -= spent
            found.update(zip(mine, some, strict=True))
        return [found[place] for place in range(len(claims))]

    def commit(
        self,
        worker_id: str,
        streams: Sequence[StreamCommit],
        *,
        sync: Callable[[Connection], None] | None = None,
    ) -> Committed:
        """See `sourced._store.Store`."""
        check_commit(streams)
        self._refuse_locally(worker_id, streams)
        has_sync = sync is not None or any(one.sync is not None for one in streams)
        try:
            with self._naming_holders(StreamLockedError), translated(self._name):
                if has_sync or is_armed():
                    row = self._commit_with_syncs(worker_id, streams, sync)
                else:
                    row = self._commit_at_once(worker_id, streams)
        except Refusal as refusal:
            raise self._refused(refusal, streams) from refusal
        return self._committed_of(streams, row)

    def commit_locked(
        self, claim: Claim, decide: Callable[[Transaction], StreamCommit | None]
    ) -> Committed | None:
        """See `sourced._store.Store`.

        The one commit that holds a lock of ours across round trips, for at most the transaction
        limit if its process is frozen meanwhile (T66). If a sync falls victim to a deadlock, it is
        decided again.
        """
        streams = [StreamCommit(claim=claim)]

        try:
            with self._naming_holders(StreamLockedError), translated(self._name):
                row = repeated(lambda: self._commit_locked(claim, decide, streams))
        except Refusal as refusal:
            raise self._refused(refusal, streams) from refusal
        return None if row is None else self._committed_of(streams, row)

    def _commit_locked(
        self,
        claim: Claim,
        decide: Callable[[Transaction], StreamCommit | None],
        streams: list[StreamCommit],
    ) -> Row | None:
        """Lock, decide, commit; what was decided takes the place of what is in `streams`."""
        lock = call(self._schema, "lock_claimed", 1), [claim.stream_id]
        with self._writing(is_open=False) as connection, undone(connection):
            begin(connection, self._limit, lock, self._check(claim.worker, streams))
            reach("commit.locked")
            decided = self._decided(connection, claim, decide)
            if decided is None:
                connection.rollback()
                return None
            streams[:] = [decided]
            return self._finished(connection, claim.worker, streams, None, is_checked=True)

    def _decided(
        self,
        connection: Connection,
        claim: Claim,
        decide: Callable[[Transaction], StreamCommit | None],
    ) -> StreamCommit | None:
        found: list[StreamCommit | None] = []
        with self._transaction(connection) as transaction:
            run_sync(connection, lambda _connection: found.append(decide(transaction)))
        decided = checked_decision(claim, found[0])
        if decided is not None:
            self._refuse_locally(claim.worker, [decided])
        return decided

    def _refuse_locally(self, worker_id: str, streams: Sequence[StreamCommit]) -> None:
        failures = local_failures(worker_id, streams, self._options.max_message_bytes)
        if failures:
            raise CommitRefusedError(failures)

    def _committed_of(self, streams: Sequence[StreamCommit], row: Row) -> Committed:
        reach("commit.connection_lost")
        if any(_may_be_ready(one) for one in streams):
            self._low_water.forget([streams[0].claim.group])
        committed = committed_of(streams, row)
        if committed.groups:
            self._hint(committed.groups)
        return committed

    def _commit_at_once(self, worker_id: str, streams: Sequence[StreamCommit]) -> Row:
        arguments = commit_arguments(worker_id, streams)
        statement = call(self._schema, "commit", len(arguments), _KEPT)
        with self._writing(is_open=False) as connection:
            row = connection.execute(statement, arguments).fetchone()
        assert row is not None
        return row

    def _commit_with_syncs(
        self,
        worker_id: str,
        streams: Sequence[StreamCommit],
        sync: Callable[[Connection], None] | None,
    ) -> Row:
        def once(*, is_checked: bool = False) -> Row:
            with self._writing(is_open=False) as connection, undone(connection):
                begin(connection, self._limit, self._check(worker_id, streams))
                return self._finished(connection, worker_id, streams, sync, is_checked=is_checked)

        try:
            return repeated(once)
        except psycopg.Error as error:
            if not may_be_callers(error):
                raise
        return repeated(partial(once, is_checked=True))  # which names whose it was

    def _check(self, worker_id: str, streams: Sequence[StreamCommit]) -> Statement:
        """Return the statement that looks at the claims, before anything is done for them."""
        return call(self._schema, "check_claims", 5), claim_arguments(worker_id, streams)

    def _finished(
        self,
        connection: Connection,
        worker_id: str,
        streams: Sequence[StreamCommit],
        sync: Callable[[Connection], None] | None,
        *,
        is_checked: bool,
    ) -> Row:
        """Run syncs, then send the verb and its COMMIT."""
        with self._open.entered():
            run_syncs(connection, streams, sync, is_checked=is_checked)
        reach("commit.after_sync")
        arguments = commit_arguments(worker_id, streams)
        statement = call(self._schema, "commit", len(arguments), _KEPT)
        return finish(connection, (statement, arguments), halt="commit.before_commit")

    def _refused(self, refusal: Refusal, streams: Sequence[StreamCommit]) -> Exception:
        """Name every stream of a batch that was refused."""
        failures = failures_in(refusal.detail, streams)
        owned = [
            (place, message)
            for place, one in enumerate(streams)
            if one.claim.stream_id not in failures
            for message in outputs_of(one)
        ]
        known = self._known_ids({message.id for _, message in owned}) if owned else {}
        for place, error in repeats_among(owned, known):
            failures.setdefault(streams[place].claim.stream_id, error)
        if not failures:
            return StoreUnavailableError(
                f"somebody else was writing a message of the same id to {self._name}; try again"
            )
        return CommitRefusedError(failures)

    def release(self, claims: Sequence[Claim]) -> int:
        """See `sourced._store.Store`."""
        arguments = [
            text_array([claim.group for claim in claims]),
            text_array([claim.worker for claim in claims]),
            text_array([claim.stream_id for claim in claims]),
            plain_array([claim.epoch for claim in claims]),
            plain_array([claim.next_seq for claim in claims]),
        ]
        (groups,) = self._call("release", arguments)
        self._low_water.forget(groups)
        self._hint(set(groups))
        return len(groups)

    def retry(self, claim: Claim, retry: Retry) -> None:
        """See `sourced._store.Store`."""
        at, after = retry_arguments(retry)
        seconds = None if after is None else str(after)
        uncounted = "f" if retry.counts else "t"
        arguments = [*_claim(claim), at, seconds, retry.error, uncounted]
        (is_ready,) = self._call("retry", arguments)
        if is_ready is None:
            raise ClaimLostError(claim.group, claim.stream_id)
        if is_ready:
            self._low_water.forget([claim.group])
            self._hint([claim.group])

    def park(self, claim: Claim, park: Park) -> None:
        """See `sourced._store.Store`."""
        (was_held,) = self._call("park", [*_claim(claim), park.error])
        if not was_held:
            raise ClaimLostError(claim.group, claim.stream_id)

    def unpark(
        self,
        group: str,
        stream_ids: Collection[str] | None = None,
        *,
        by: Operator | None = None,
    ) -> int:
        """See `sourced._store.Store`."""
        named = None if stream_ids is None else listed(stream_ids)
        (woken,) = self._call("unpark", [known(group), named, *_operator(by)])
        if woken:
            self._hint([group])
        return int(woken)

    def skip(self, group: str, stream_id: str, seq: int, *, by: Operator | None = None) -> None:
        """See `sourced._store.Store`."""
        arguments = [known(group), findable(stream_id), str(checked_place(seq, "seq"))]
        if self._call("skip", [*arguments, *_operator(by)])[0]:
            self._hint([group])

    # time

    def cancel(self, message_id: UUID, *, by: Operator | None = None) -> bool:
        """See `sourced._store.Store`."""
        return bool(self._call("cancel", [message_id.hex, *_operator(by)])[0])

    def promote_due(self, limit: int = 1000) -> Promoted:
        """See `sourced._store.Store`."""
        arguments = [most(checked_limit(limit)), str(self._options.max_message_bytes)]
        columns = "moved dropped failed groups"
        try:
            row = self._call("promote_due", arguments, columns, "schedule.after_move")
        except Refusal:
            return Promoted()  # somebody is writing a message of the same id: the next call sees it
        self._hint(row[3] or ())
        return Promoted(moved=row[0], dropped=row[1], failed=row[2], groups=frozenset(row[3] or ()))

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
        with translated(self._name), self._reading() as connection:
            return _log.read_all(
                connection,
                self._schema,
                after=after,
                types=types,
                limit=limit,
                backwards=backwards,
            )

    def trace(self, message_id: UUID, *, limit: int = 1000) -> tuple[StoredMessage, ...]:
        """See `sourced._store.Store`."""
        limit = checked_limit(limit)
        with translated(self._name), self._reading() as connection:
            return _log.trace(connection, self._schema, message_id, limit)

    # the caller's transaction, the reader's connection, hints

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give psycopg's connection, in autocommit mode.

        Raises:
            StoreUnavailableError: the connection was lost, or a statement fell victim to a
                deadlock, whatever the block makes of it. All else is raised as it is.
        """
        with (
            translated(self._name),
            self._using() as connection,
            callers_code(connection),
        ):
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[CallersTransaction]:
        """See `sourced._store.Store`."""
        self._open.check_outside()
        with (
            translated(self._name),
            self._connections.begun() as connection,
            self._transaction(connection) as transaction,
        ):
            try:
                yield transaction
            except psycopg.Rollback:  # the driver's way to end a transaction without an error
                transaction.stirred.clear()
                raise
            except Exception as error:
                raise CallersError(error) from error
        self._low_water.forget(transaction.stirred)
        self._hint(transaction.stirred)

    def bind(self, connection: Any) -> CallersTransaction:
        """See `sourced._store.Store`.

        Args:
            connection: psycopg's Connection to the same database, in a READ COMMITTED transaction
                or about to begin one; it is asked once what it is one to. No hint follows its
                commit: workers find the work by polling.

        Raises:
            UsageError: it is none of psycopg's, or known to be one to another database or server.
            IsolationError: it is in autocommit mode and in no transaction.
        """
        own = joined(connection, self._name, self._identity)
        return CallersTransaction(own, self._options, self._name, self._turned.tell)

    def subscribe(self, callback: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """See `sourced._store.Store`."""
        end = self._hints.subscribe(callback)
        if self._options.hints:
            self._listener.start()

        def unsubscribe() -> None:
            if end():
                self._listener.stop()

        return unsubscribe

    # connections and hints, for the verbs

    def _using(self) -> AbstractContextManager[Connection]:
        return self._connections.use(is_nested=self._open.is_here)

    def _write_unit(
        self, sync: Callable[[Connection], None] | None, statement: bytes, arguments: Sequence[Any]
    ) -> Row:
        if sync is None and not is_armed():
            return super()._write_unit(sync, statement, arguments)

        def once() -> Row:
            with self._writing(is_open=False) as connection, undone(connection):
                begin(connection, self._limit)
                if sync is not None:
                    with self._syncing():
                        run_sync(connection, sync, is_checked=True)
                verb = (statement, arguments)
                return finish(connection, verb, halt="handle_now.before_commit")

        return repeated(once)

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[CallersTransaction]:
        transaction = CallersTransaction(connection, self._options, self._name, self._turned.tell)
        try:
            with self._open.entered():
                yield transaction
        finally:
            transaction.end()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._turned.tell()
        with self._using() as connection:
            yield connection

    @contextmanager
    def _writing(self, *, is_open: bool) -> Iterator[Connection]:
        self._open.check_outside()
        self._turned.tell()
        opening = self._connections.begun if is_open else self._connections.use
        with opening() as connection:
            yield connection

    def _syncing(self) -> AbstractContextManager[None]:
        return self._open.entered()

    def _hint(self, groups: Iterable[str]) -> None:
        named = frozenset(groups)
        if named and self._hints.give(named) and self._options.hints:
            self._notifier.notify(named)

    def _notify(self, groups: frozenset[str]) -> None:
        statement = call(self._schema, "notify", 2)
        with self._connections.use() as connection:
            connection.execute(statement, [self._token, text_array(groups)])


_TELL: Final = """
INSERT INTO {s}.clock (shows) VALUES (%s) ON CONFLICT (is_only) DO UPDATE SET shows = excluded.shows
"""

# Moments without their zone are in UTC, as everywhere: in the session's zone the first and the last
# ones are of years that Python does not have.
_POLL: Final = """
SELECT p."group", p.since AT TIME ZONE 'UTC', p.next_at AT TIME ZONE 'UTC', p.is_due, p.is_overdue
FROM {s}.poll(%s) AS p
"""

_CLAIM: Final = """
SELECT c.stream_id, c.epoch, c.next_seq, c.attempts, c.replay_until, c.restarted, c.suspect,
    c.ready_at AT TIME ZONE 'UTC'
FROM {s}.claim(%s, %s, %s, %s, %s, %s) AS c
"""


def _may_be_ready(one: StreamCommit) -> bool:
    """Return whether what becomes of the rest may be ready with an older `ready_at` than now."""
    if isinstance(one.then, Retry):
        return one.then.after is None or one.then.after <= timedelta(0)
    return isinstance(one.then, Release)


def _claimed(row: Row, group: str, worker_id: str) -> Claim:
    return Claim(
        group=group,
        stream_id=row[0],
        worker=worker_id,
        epoch=row[1],
        next_seq=row[2],
        attempts=row[3],
        replay_until=row[4],
        restarted=row[5],
        suspect=row[6],
    )


def _claim(claim: Claim) -> list[str]:
    places = [str(claim.epoch), str(claim.next_seq)]
    return [claim.group, claim.worker, claim.stream_id, *places]


def _operator(by: Operator | None) -> list[str]:
    operator = by or Operator()
    return [readable(operator.actor), readable(operator.host), readable(operator.reason)]

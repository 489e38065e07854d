"""The verbs that a store and a caller's transaction have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus

from sourced._arguments import checked_bound, checked_limit, checked_place
from sourced._faults import is_armed, reach
from sourced._limits import check_sizes
from sourced._records import NewMessage, ScheduledMessage, StoredMessage
from sourced._store import Appended, Expectation, Snapshot, StreamPage, UnitOfWork
from sourced.errors import (
    DuplicateMessageError,
    StatementTimeoutError,
    StoreError,
    StoreUnavailableError,
)
from sourced_postgres import _log
from sourced_postgres._connections import Connection
from sourced_postgres._handle_now import unit_arguments
from sourced_postgres._options import Options
from sourced_postgres._rows import (
    Row,
    expectations,
    message_arrays,
    message_fields,
    plain_array,
    scheduled_json,
    stored_at,
)
from sourced_postgres._statements import call
from sourced_postgres._sync import run_sync
from sourced_postgres._translate import Refusal, is_replaced, stood_in_the_way, translated

__all__ = ["Verbs", "appended_of", "repeats_among"]

WRITTEN = "seqs positions groups"

HOLDERS = 3
"""How many of those who may hold a stream an error names: those who began first."""


class Verbs:
    """The verbs of `sourced._store.Verbs`, on connections that a subclass gives."""

    def __init__(self, options: Options, name: str) -> None:
        self._options = options
        self._name = name

    def _reading(self) -> AbstractContextManager[Connection]:
        """Give a connection for one statement."""
        raise NotImplementedError

    def _writing(self, *, is_open: bool) -> AbstractContextManager[Connection]:
        """Give a connection for a verb, in a transaction if it must be open between statements."""
        raise NotImplementedError

    def _syncing(self) -> AbstractContextManager[None]:
        """Note that the caller's own code runs inside the transaction of a verb."""
        raise NotImplementedError

    def _hint(self, groups: Iterable[str]) -> None:
        """Tell that groups may have work, when what was written is committed."""
        raise NotImplementedError

    def append(
        self, messages: Sequence[NewMessage], *, expect: Mapping[str, Expectation] | None = None
    ) -> Appended:
        """See `sourced._store.Verbs`."""
        check_sizes(messages, self._options.max_message_bytes)
        verb, arguments = _append_call(messages, expect or {})
        try:
            with self._naming_holders():
                row = self._call(verb, arguments, WRITTEN, halt="append.before_commit")
        except Refusal as refusal:
            raise self._repeat_among(messages) from refusal
        self._committed("append.after")
        return self._appended(messages, row)

    def schedule(self, messages: Sequence[ScheduledMessage]) -> None:
        """See `sourced._store.Verbs`."""
        waiting = [scheduled.message for scheduled in messages]
        check_sizes(waiting, self._options.max_message_bytes)
        try:
            self._call("schedule", [scheduled_json(messages) or "[]"])
        except Refusal as refusal:
            raise self._repeat_among(waiting) from refusal

    def handle_now(self, work: UnitOfWork) -> Appended:
        """See `sourced._store.Verbs`."""
        outputs = [*work.messages, *(one.message for one in work.schedule)]
        check_sizes(outputs, self._options.max_message_bytes)
        arguments = unit_arguments(work)
        statement = call(self._options.schema, "handle_now", len(arguments), WRITTEN)
        try:
            with self._naming_holders(), translated(self._name):
                row = self._write_unit(work.sync, statement, arguments)
        except Refusal as refusal:
            raise self._repeat_among(outputs) from refusal
        return self._appended(work.messages, row)

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
        with translated(self._name), self._reading() as connection:
            return _log.read_stream(
                connection,
                self._options.schema,
                stream_id,
                after=after,
                upto=upto,
                types=types,
                limit=limit,
            )

    def read_one(self, message_id: UUID) -> StoredMessage | None:
        """See `sourced._store.Verbs`."""
        with translated(self._name), self._reading() as connection:
            return _log.read_one(connection, self._options.schema, message_id)

    def read_snapshots(
        self, group: str, stream_ids: Collection[str], *, version: int
    ) -> Mapping[str, Snapshot]:
        """See `sourced._store.Verbs`."""
        with translated(self._name), self._reading() as connection:
            return _log.read_snapshots(connection, self._options.schema, group, stream_ids, version)

    # calls

    def _call(self, verb: str, arguments: Sequence[Any], columns: str = "*", halt: str = "") -> Row:
        """Call a function: one statement, one transaction, one round trip.

        Only where a test halts between the verb and its commit are there more.
        """
        statement = call(self._options.schema, verb, len(arguments), columns)
        is_open = bool(halt) and is_armed()
        with translated(self._name), self._writing(is_open=is_open) as connection:
            row = _answered(connection, statement, arguments)
            if is_open:
                reach(halt)
        assert row is not None
        return row

    def _write_unit(
        self, sync: Callable[[Connection], None] | None, statement: bytes, arguments: Sequence[Any]
    ) -> Row:
        """Run a unit's sync and write it, in one transaction."""
        with self._writing(is_open=sync is not None) as connection:
            if sync is not None:
                with self._syncing():
                    run_sync(connection, sync)
            row = _answered(connection, statement, arguments)
        assert row is not None
        return row

    def _committed(self, point: str) -> None:
        """Reach a point behind the commit of a verb."""
        reach(point)

    def _appended(self, messages: Sequence[NewMessage], row: Row) -> Appended:
        appended = appended_of(messages, row)
        if appended.groups:
            self._hint(appended.groups)
        return appended

    @contextmanager
    def _naming_holders(
        self, kind: type[StoreUnavailableError] = StoreUnavailableError
    ) -> Iterator[None]:
        """Say for whom a verb has waited too long: one statement more, when it has failed.

        The server does not tell. Whoever has written messages and not ended is most probably it,
        and may be the caller itself, by another connection.
        """
        try:
            yield
        except StatementTimeoutError:  # of the caller's own statement, on rows of its own
            raise
        except StoreUnavailableError as error:
            cause = error.__cause__
            if not isinstance(cause, psycopg.errors.LockNotAvailable):
                raise
            holders = self._appending()[:HOLDERS]
            raise stood_in_the_way(cause, self._name, holders, kind=kind) from cause

    def _appending(self) -> list[str]:
        """Return whose transactions have appended and not ended; none if that cannot be read."""
        with suppress(StoreError), translated(self._name), self._reading() as connection:
            return _log.appending(connection, self._options.schema)
        return []

    def _known_ids(self, ids: Collection[UUID]) -> dict[UUID, DuplicateMessageError]:
        statement = call(self._options.schema, "find_ids", 1)
        with translated(self._name), self._reading() as connection:
            rows = connection.execute(statement, [plain_array(ids)]).fetchall()
        return {row[0]: DuplicateMessageError(*row) for row in rows}

    def _repeat_among(self, messages: Sequence[NewMessage]) -> Exception:
        known = self._known_ids({message.id for message in messages})
        for _, error in repeats_among([(0, message) for message in messages], known):
            return error
        return StoreUnavailableError(
            f"somebody else was writing a message of the same id to {self._name}; try again"
        )


def _answered(connection: Connection, statement: bytes, arguments: Sequence[Any]) -> Row | None:
    """Call a function; once more if an upgrade replaced it in the very moment."""
    try:
        return connection.execute(statement, arguments).fetchone()
    except psycopg.errors.InternalError_ as error:
        is_idle = connection.info.transaction_status == TransactionStatus.IDLE
        if not (is_idle and is_replaced(error)):
            raise
    return connection.execute(statement, arguments).fetchone()


def _append_call(
    messages: Sequence[NewMessage], expect: Mapping[str, Expectation]
) -> tuple[str, Sequence[str | None]]:
    """Return the function that appends, and what it takes: most appends are of one message."""
    if len(messages) == 1 and not expect:
        return "append_one", message_fields(messages[0])
    return "append", [*message_arrays(messages), expectations([(1, expect)])]


def appended_of(messages: Sequence[NewMessage], row: Row) -> Appended:
    """Return what was appended, from the seqs, positions and groups that a function answered."""
    seqs, positions, groups = row[:3]
    return Appended(
        messages=tuple(
            [
                stored_at(message, seq=seq, position=position)
                for message, seq, position in zip(
                    messages, seqs or (), positions or (), strict=True
                )
            ]
        ),
        groups=frozenset(groups or ()),
    )


def repeats_among(
    owned: Iterable[tuple[int, NewMessage]], known: Mapping[UUID, DuplicateMessageError]
) -> Iterable[tuple[int, DuplicateMessageError]]:
    """Yield (owner, error) for each message whose id is known or came before."""
    seen: set[UUID] = set()
    for owner, message in owned:
        if message.id in known:
            yield owner, known[message.id]
        elif message.id in seen:
            yield owner, DuplicateMessageError(message.id, "", 0, message.type)
        seen.add(message.id)

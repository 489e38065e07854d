"""The verbs that a store and a caller's transaction have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from uuid import UUID

from sourced._arguments import checked_bound, checked_limit, checked_place
from sourced._faults import reach
from sourced._limits import check_sizes
from sourced._records import NewMessage, ScheduledMessage, StoredMessage
from sourced._store import Appended, Expectation, Snapshot, StreamPage, UnitOfWork
from sourced_sqlalchemy._append import Repeats, append
from sourced_sqlalchemy._handle_now import handle_now
from sourced_sqlalchemy._log import read_one, read_snapshots, read_stream
from sourced_sqlalchemy._schedule import insert_scheduled
from sourced_sqlalchemy._scope import Scope

__all__ = ["Verbs"]


class Verbs:
    """The verbs of `sourced._store.Verbs`, over scopes that a subclass opens."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes

    def _reading(self) -> AbstractContextManager[Scope]:
        raise NotImplementedError

    def _writing(self, *, durable: bool = True, then: str = "") -> AbstractContextManager[Scope]:
        raise NotImplementedError

    def append(
        self, messages: Sequence[NewMessage], *, expect: Mapping[str, Expectation] | None = None
    ) -> Appended:
        """See `sourced._store.Verbs`."""
        check_sizes(messages, self._max_message_bytes)
        with self._writing(then="append.after") as scope:
            appended = append(scope, messages, expect or {})
            reach("append.before_commit")
        return appended

    def schedule(self, messages: Sequence[ScheduledMessage]) -> None:
        """See `sourced._store.Verbs`."""
        waiting = [scheduled.message for scheduled in messages]
        check_sizes(waiting, self._max_message_bytes)
        with self._writing() as scope:
            if repeat := Repeats(scope, waiting).refusal(waiting):
                raise repeat
            insert_scheduled(scope, messages)

    def handle_now(self, work: UnitOfWork) -> Appended:
        """See `sourced._store.Verbs`."""
        check_sizes(work.messages, self._max_message_bytes)
        check_sizes((one.message for one in work.schedule), self._max_message_bytes)
        with self._writing() as scope:
            return handle_now(scope, work)

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
        with self._reading() as scope:
            return read_stream(scope, stream_id, after=after, upto=upto, types=types, limit=limit)

    def read_one(self, message_id: UUID) -> StoredMessage | None:
        """See `sourced._store.Verbs`."""
        with self._reading() as scope:
            return read_one(scope, message_id)

    def read_snapshots(
        self, group: str, stream_ids: Collection[str], *, version: int
    ) -> Mapping[str, Snapshot]:
        """See `sourced._store.Verbs`."""
        with self._reading() as scope:
            return read_snapshots(scope, group, stream_ids, version)

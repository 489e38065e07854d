"""The caller's transaction: messages and the caller's own rows commit and roll back together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

import pytest

from sourced._records import ScheduledMessage
from sourced._store import ExpectedSeq, Store, StreamCommit, UnitOfWork
from sourced.errors import BusyError, CommitRefusedError, ConcurrencyError, UsageError
from sourced_testing.conformance._given import Given, Suite, message
from sourced_testing.conformance._race import crashing

__all__ = ["SharedConnectionConformance", "TransactionConformance", "UserTable"]


class _ChangedMindError(Exception):
    """What a caller raises to roll its transaction back."""


class TransactionConformance(Suite):
    """What `transaction` promises of messages."""

    def test_what_is_appended_in_a_transaction_is_there_when_it_commits(
        self, store: Store, given: Given
    ) -> None:
        """I2: several verbs, one commit; reads inside see what was written."""
        given.group()

        with store.transaction() as transaction:
            (first,) = transaction.append([message("a")]).messages
            transaction.append([message("a")], expect={"a": ExpectedSeq(1)})
            transaction.schedule([ScheduledMessage(message=message("b"), due_at=store.now())])
            seen = [one.seq for one in transaction.read_stream("a").messages]
            found = transaction.read_one(first.id)

        assert (seen, found) == ([1, 2], first)
        assert len(store.inspect.schedule()) == 1
        assert given.drained() == [("a", 1), ("a", 2)]

    def test_a_transaction_that_fails_leaves_nothing(self, store: Store, given: Given) -> None:
        """I5: neither messages nor deliveries, schedule or heads."""
        given.group("G", "added", "add")
        given.appended("a", "removed")

        with suppress(_ChangedMindError), store.transaction() as transaction:
            transaction.append([message("a"), message("b")])
            transaction.schedule([ScheduledMessage(message=message("c"), due_at=store.now())])
            transaction.handle_now(
                UnitOfWork(messages=(message("d", "add"),), handled={("G", "d"): frozenset()})
            )
            raise _ChangedMindError

        assert [one.stream_id for one in given.log()] == ["a"]
        assert store.inspect.deliveries() == ()
        assert store.inspect.schedule() == ()
        assert given.appended("a")[0].seq == 2
        assert given.appended("b")[0].seq == 1

    def test_a_refusal_leaves_the_transaction_usable(self, store: Store, given: Given) -> None:
        """I7: each verb is all or nothing by itself."""
        given.appended("a")

        with store.transaction() as transaction:
            transaction.append([message("b")])
            with pytest.raises(ConcurrencyError):
                transaction.append([message("b"), message("a")], expect={"a": ExpectedSeq(0)})
            transaction.append([message("b")])

        assert [one.seq for one in given.stream("b")] == [1, 2]
        assert len(given.stream("a")) == 1

    def test_a_crash_inside_a_verb_fails_the_transaction_alone(
        self, store: Store, given: Given
    ) -> None:
        """T25: the store can be used on."""
        with crashing("append.before_commit"), store.transaction() as transaction:
            transaction.append([message("a")])

        assert given.log() == []
        assert given.appended("a")[0].seq == 1

    def test_handling_now_in_a_transaction_never_waits(self, store: Store, given: Given) -> None:
        """T27: pending work is in the way at once, and the transaction goes on."""
        given.group("G", "add")
        given.appended("a", "add")
        busy, free = message("a", "add"), message("b", "add")

        with store.transaction() as transaction:
            with pytest.raises(BusyError):
                transaction.handle_now(
                    UnitOfWork(messages=(busy,), handled={("G", "a"): frozenset({busy.id})})
                )
            transaction.handle_now(
                UnitOfWork(messages=(free,), handled={("G", "b"): frozenset({free.id})})
            )

        assert [one.id for one in given.stream("b")] == [free.id]
        assert given.drained() == [("a", 1)]

    @pytest.mark.parametrize(
        "verb", ["claim", "commit", "reap", "promote_due", "reset", "register"]
    )
    def test_a_transaction_has_no_verbs_that_need_one_of_their_own(
        self, store: Store, verb: str
    ) -> None:
        """I8: they would hold the store's locks for as long as the caller likes."""
        with store.transaction() as transaction:
            assert not hasattr(transaction, verb)


class UserTable(Protocol):
    """A table of the user's own beside the store, given by the adapter's fixture `user_table`."""

    def begin(self) -> AbstractContextManager[Any]:
        """Begin a transaction as a caller does, on a connection of the store's kind; then end it.

        It commits when the body ends, and rolls back when the body raises.
        """
        ...

    def insert(self, connection: Any, value: str) -> None:
        """Write a row through a connection; a value that is there already is an error."""
        ...

    def values(self) -> Sequence[str]:
        """Read the committed rows, sorted, through a connection of its own."""
        ...


class SharedConnectionConformance(Suite):
    """What a store promises whose connection can hold the user's own rows; needs `user_table`."""

    def test_rows_of_a_sync_commit_with_the_ack(
        self, store: Store, given: Given, user_table: UserTable
    ) -> None:
        """I5: both are there."""
        given.group()
        given.appended("a")

        given.acked(given.claimed(), 1, sync=lambda own: user_table.insert(own, "row"))

        assert list(user_table.values()) == ["row"]
        assert store.inspect.status().deliveries == 0

    @pytest.mark.parametrize("point", ["commit.after_sync", "commit.before_commit"])
    def test_rows_of_a_sync_are_rolled_back_with_the_ack(
        self, given: Given, user_table: UserTable, point: str
    ) -> None:
        """I5, T14: neither is there."""
        given.group()
        given.appended("a")
        claim = given.claimed()

        with crashing(point):
            given.acked(claim, 1, sync=lambda own: user_table.insert(own, "row"))

        assert list(user_table.values()) == []
        assert given.row().worker == claim.worker

    def test_no_row_of_a_zombies_sync_exists(self, given: Given, user_table: UserTable) -> None:
        """T14, T18: its claim is checked in the transaction that has its rows."""
        given.group()
        given.appended("a")
        zombie = given.dead()
        holder = given.claimed()

        given.acked(holder, 1, sync=lambda own: user_table.insert(own, "holder"))
        with pytest.raises(CommitRefusedError):
            given.acked(zombie, 1, sync=lambda own: user_table.insert(own, "zombie"))

        assert list(user_table.values()) == ["holder"]

    def test_a_constraint_of_the_users_table_costs_its_own_stream_only(
        self, store: Store, given: Given, user_table: UserTable
    ) -> None:
        """T63: the others commit without it, their rows written once."""
        given.group()
        store.append([message(f"s{n}") for n in range(5)])
        with user_table.begin() as own:
            user_table.insert(own, "s3")
        claims = store.claim("G", given.worker())

        def inserting(row: str) -> Callable[[Any], None]:
            return lambda own: user_table.insert(own, row)

        parts = [
            StreamCommit(claim=claim, ack_seq=1, sync=inserting(claim.stream_id))
            for claim in claims
        ]

        with pytest.raises(CommitRefusedError) as refused:
            store.commit(claims[0].worker, parts)
        rest = [part for part in parts if part.claim.stream_id not in refused.value.failures]
        store.commit(claims[0].worker, rest)

        assert list(refused.value.failures) == ["s3"]
        assert list(user_table.values()) == ["s0", "s1", "s2", "s3", "s4"]

    def test_rows_of_a_unit_commit_and_roll_back_with_it(
        self, store: Store, given: Given, user_table: UserTable
    ) -> None:
        """I5: whether it is refused or dies."""
        given.group("G", "add")
        given.appended("busy", "add")

        def work(stream_id: str) -> UnitOfWork:
            new = message(stream_id, "add")
            return UnitOfWork(
                messages=(new,),
                handled={("G", stream_id): frozenset({new.id})},
                sync=lambda own: user_table.insert(own, stream_id),
            )

        with pytest.raises(BusyError):
            store.handle_now(work("busy"))
        with crashing("handle_now.before_commit"):
            store.handle_now(work("crashed"))
        store.handle_now(work("done"))

        assert list(user_table.values()) == ["done"]
        assert [one.stream_id for one in given.log()] == ["busy", "done"]

    def test_rows_and_messages_of_a_transaction_commit_together(
        self, store: Store, given: Given, user_table: UserTable
    ) -> None:
        """I5: the outbox that needs no outbox."""
        with store.transaction() as transaction:
            user_table.insert(transaction.connection, "kept")
            transaction.append([message("a")])
        with suppress(_ChangedMindError), store.transaction() as transaction:
            user_table.insert(transaction.connection, "dropped")
            transaction.append([message("a")])
            raise _ChangedMindError

        assert list(user_table.values()) == ["kept"]
        assert len(given.log()) == 1

    def test_a_refusal_keeps_the_callers_rows(
        self, store: Store, given: Given, user_table: UserTable
    ) -> None:
        """I7: it is rolled back to before the verb, no further."""
        given.appended("a")

        with store.transaction() as transaction:
            user_table.insert(transaction.connection, "before")
            with pytest.raises(ConcurrencyError):
                transaction.append([message("a")], expect={"a": ExpectedSeq(0)})
            user_table.insert(transaction.connection, "after")

        assert list(user_table.values()) == ["after", "before"]
        assert len(given.log()) == 1

    def test_verbs_join_a_transaction_that_the_caller_began(
        self, store: Store, given: Given, user_table: UserTable
    ) -> None:
        """I5: the caller commits, or not."""
        given.group()

        with user_table.begin() as own:
            user_table.insert(own, "kept")
            store.bind(own).append([message("a")])
        with suppress(_ChangedMindError), user_table.begin() as own:
            user_table.insert(own, "dropped")
            store.bind(own).append([message("b")])
            raise _ChangedMindError

        assert list(user_table.values()) == ["kept"]
        assert given.drained() == [("a", 1)]

    def test_a_refusal_leaves_the_callers_transaction_usable(
        self, store: Store, given: Given, user_table: UserTable
    ) -> None:
        """I7: here too each verb runs in a savepoint."""
        given.appended("a")

        with user_table.begin() as own:
            user_table.insert(own, "kept")
            with pytest.raises(ConcurrencyError):
                store.bind(own).append([message("a")], expect={"a": ExpectedSeq(0)})
            store.bind(own).append([message("b")])

        assert list(user_table.values()) == ["kept"]
        assert [one.stream_id for one in given.log()] == ["a", "b"]

    def test_bind_refuses_what_is_no_connection_of_the_stores_kind(self, store: Store) -> None:
        """The error says what it takes."""
        with pytest.raises(UsageError):
            store.bind(object())

    def test_a_reader_gets_the_stores_own_connection(
        self, store: Store, user_table: UserTable
    ) -> None:
        """For what `load_many` reads outside the commit."""
        with store.connection() as own:
            assert own is not None
        assert list(user_table.values()) == []

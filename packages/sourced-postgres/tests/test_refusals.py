"""What the driver logs of refusals, which are ordinary outcomes: nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from sourced._store import Claim, ExpectedSeq, StreamCommit, UnitOfWork
from sourced.errors import (
    BusyError,
    CommitRefusedError,
    ConcurrencyError,
    DuplicateMessageError,
)
from sourced_postgres import PostgresStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given, message

WRONG = {"out": ExpectedSeq(7)}

Refused = Callable[[PostgresStore, Given], object]

CASES: dict[str, tuple[Refused, type[Exception]]] = {}


def refused_with(error: type[Exception]) -> Callable[[Refused], Refused]:
    """Add a call that is refused, under its name."""

    def add(call: Refused) -> Refused:
        CASES[call.__name__.replace("_", " ")] = call, error
        return call

    return add


def claimed(given: Given) -> Claim:
    """A claim of a stream that nobody has had."""
    stream_id = uuid4().hex
    given.appended(stream_id)
    return given.claimed(stream_id=stream_id)


def commit(
    store: PostgresStore,
    claim: Claim,
    sync: Callable[[psycopg.Connection], None] | None,
    **more: bool,
) -> object:
    expect = WRONG if more.get("wrong") else {}
    output = (message("out"),) if expect else ()
    part = StreamCommit(claim=claim, ack_seq=1, append=output, expect=expect, sync=sync)
    return store.commit(claim.worker, [part])


def write_nothing(connection: psycopg.Connection) -> None:
    connection.execute("SELECT")


@refused_with(ConcurrencyError)
def append(store: PostgresStore, given: Given) -> object:
    return store.append([message("out")], expect=WRONG)


@refused_with(ConcurrencyError)
def append_in_a_transaction(store: PostgresStore, given: Given) -> object:
    with store.transaction() as transaction:
        return transaction.append([message("out")], expect=WRONG)


@refused_with(DuplicateMessageError)
def append_twice(store: PostgresStore, given: Given) -> object:
    same = message("out")
    store.append([same])
    return store.append([same])


@refused_with(CommitRefusedError)
def commit_without_a_sync(store: PostgresStore, given: Given) -> object:
    return commit(store, claimed(given), None, wrong=True)


@refused_with(CommitRefusedError)
def commit_with_a_sync(store: PostgresStore, given: Given) -> object:
    return commit(store, claimed(given), write_nothing, wrong=True)


@refused_with(CommitRefusedError)
def commit_whose_claim_was_lost(store: PostgresStore, given: Given) -> object:
    claim = claimed(given)
    store.leave(claim.worker)
    return commit(store, claim, write_nothing)


@refused_with(CommitRefusedError)
def commit_whose_claim_is_lost_during_its_sync(store: PostgresStore, given: Given) -> object:
    claim = claimed(given)

    def sync(connection: psycopg.Connection) -> None:
        given.store.leave(claim.worker)

    return commit(store, claim, sync)


@refused_with(CommitRefusedError)
def commit_whose_sync_raises(store: PostgresStore, given: Given) -> object:
    def sync(connection: psycopg.Connection) -> None:
        connection.execute("SELECT 1 / 0")

    return commit(store, claimed(given), sync)


@refused_with(CommitRefusedError)
def commit_under_the_lock(store: PostgresStore, given: Given) -> object:
    claim = claimed(given)
    own = claim.stream_id
    part = StreamCommit(
        claim=claim, ack_seq=1, append=(message(own),), expect={own: ExpectedSeq(7)}
    )
    return store.commit_locked(claim, lambda _: part)


@refused_with(ConcurrencyError)
def handling_now(store: PostgresStore, given: Given) -> object:
    work = UnitOfWork(messages=(message("out"),), handled={}, expect=WRONG)
    return store.handle_now(work)


@refused_with(ConcurrencyError)
def handling_now_with_a_sync(store: PostgresStore, given: Given) -> object:
    work = UnitOfWork(messages=(message("out"),), handled={}, expect=WRONG, sync=write_nothing)
    return store.handle_now(work)


@refused_with(BusyError)
def handling_now_a_busy_stream(store: PostgresStore, given: Given) -> object:
    handled = {("G", "a"): frozenset[UUID]()}
    work = UnitOfWork(messages=(message("a"),), handled=handled, sync=write_nothing)
    return store.handle_now(work)


@pytest.mark.parametrize("case", CASES)
def test_the_driver_warns_of_nothing_when_a_verb_is_refused(
    case: str,
    store: PostgresStore,
    other_store: PostgresStore,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Often enough that an answer is there before, and after, all of the request is sent."""
    call, error = CASES[case]
    given = Given(other_store, clock)
    given.group()
    given.appended("a")

    for _ in range(20):
        with caplog.at_level(logging.DEBUG), pytest.raises(error):
            call(store, given)

    assert [record for record in caplog.records if record.name.startswith("psycopg")] == []


def test_a_refused_commit_leaves_its_connection_to_the_next_verb(
    store: PostgresStore, other_store: PostgresStore, clock: FakeClock
) -> None:
    """Nothing of the transaction is left on it, and it is not replaced."""
    given = Given(other_store, clock)
    given.group()
    given.appended("a")
    with store.connection() as connection:
        before = connection.info.backend_pid

    with pytest.raises(CommitRefusedError):
        commit_with_a_sync(store, given)

    with store.connection() as connection:
        assert connection.info.backend_pid == before
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

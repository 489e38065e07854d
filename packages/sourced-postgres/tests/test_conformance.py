"""The store on PostgreSQL keeps what the port promises: the conformance suite, class by class."""

from __future__ import annotations

import pytest

from sourced._inspect import Inspect
from sourced._store import Store, Transaction
from sourced_postgres import PostgresStore
from sourced_testing import conformance
from sourced_testing.conformance import (
    AckConformance,
    AppendConformance,
    ArgumentsConformance,
    ClaimConformance,
    CommitConformance,
    DataConformance,
    FaultsConformance,
    FencingConformance,
    HandleNowConformance,
    HintsConformance,
    InspectConformance,
    LeaseConformance,
    LockedConformance,
    NestingConformance,
    ParkConformance,
    PendingConformance,
    PollConformance,
    ReadConformance,
    RegisterConformance,
    RenameConformance,
    ReplayConformance,
    ResetConformance,
    RetryConformance,
    ScheduleConformance,
    SchemaConformance,
    SharedConnectionConformance,
    TransactionConformance,
)


@pytest.fixture
def schema(kept_schema: str) -> str:
    """One schema for all tests of this module."""
    return kept_schema


@pytest.fixture
def store(emptied_store: PostgresStore) -> PostgresStore:
    """The store in it, emptied."""
    return emptied_store


class TestAck(AckConformance): ...


class TestAppend(AppendConformance): ...


class TestArguments(ArgumentsConformance): ...


class TestClaim(ClaimConformance): ...


class TestCommit(CommitConformance): ...


class TestData(DataConformance): ...


class TestFaults(FaultsConformance): ...


class TestFencing(FencingConformance): ...


class TestHandleNow(HandleNowConformance): ...


class TestHints(HintsConformance): ...


class TestInspect(InspectConformance): ...


class TestLease(LeaseConformance): ...


class TestLocked(LockedConformance): ...


class TestNesting(NestingConformance): ...


class TestPark(ParkConformance): ...


class TestPending(PendingConformance): ...


class TestPoll(PollConformance): ...


class TestRead(ReadConformance): ...


class TestRegister(RegisterConformance): ...


class TestRename(RenameConformance): ...


class TestReplay(ReplayConformance): ...


class TestReset(ResetConformance): ...


class TestRetry(RetryConformance): ...


class TestSchedule(ScheduleConformance): ...


class TestSchema(SchemaConformance): ...


class TestSharedConnection(SharedConnectionConformance): ...


class TestTransaction(TransactionConformance): ...


def test_every_class_of_the_suite_is_run_here() -> None:
    here = {base.__name__ for case in globals().values() for base in getattr(case, "__bases__", ())}
    suites = {name for name in conformance.__all__ if name.endswith("Conformance")}

    assert suites <= here


def test_the_store_is_one_by_its_types(store: PostgresStore) -> None:
    port: Store = store
    inspect: Inspect = store.inspect
    with store.transaction() as transaction:
        verbs: Transaction = transaction

        assert verbs.connection is not None
    assert port.inspect is inspect

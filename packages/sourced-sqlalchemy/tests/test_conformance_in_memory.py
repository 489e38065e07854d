"""A database in memory keeps what the port promises within its process: the conformance suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sourced._store import Store
from sourced_sqlalchemy import open_store
from sourced_testing import FakeClock, conformance
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
    TransactionConformance,
)


@pytest.fixture
def store(clock: FakeClock) -> Iterator[Store]:
    store = open_store("sqlite://", clock=clock)
    store.install()
    yield store
    store.close()


@pytest.fixture
def other_store(store: Store) -> Store:
    """The same: what is in memory has one handle."""
    return store


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


class TestTransaction(TransactionConformance): ...


def test_all_but_what_needs_a_connection_of_ones_own_is_run_here() -> None:
    here = {base.__name__ for case in globals().values() for base in getattr(case, "__bases__", ())}
    suites = {name for name in conformance.__all__ if name.endswith("Conformance")}

    assert suites - here == {"SharedConnectionConformance"}

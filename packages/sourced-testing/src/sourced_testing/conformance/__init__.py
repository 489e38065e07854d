"""The store's contract as tests: one class per capability, every test a sentence.

An adapter's test module defines the fixtures `clock` (a `sourced_testing.FakeClock`) and `store` (a
store made with that clock, installed and empty), and one class per capability:

    class TestAppend(AppendConformance): ...

With a fixture `other_store`, a second, independent handle on the same data, interleavings are run
between two handles instead of two threads on one. `SharedConnectionConformance` is for stores whose
connection can hold the user's own rows, and needs a fixture `user_table` (a `UserTable`).
"""

from sourced_testing.conformance.ack import AckConformance
from sourced_testing.conformance.append import AppendConformance
from sourced_testing.conformance.arguments import ArgumentsConformance
from sourced_testing.conformance.claim import ClaimConformance
from sourced_testing.conformance.commit import CommitConformance
from sourced_testing.conformance.data import DataConformance
from sourced_testing.conformance.faults import FaultsConformance
from sourced_testing.conformance.fencing import FencingConformance
from sourced_testing.conformance.handle_now import HandleNowConformance
from sourced_testing.conformance.hints import HintsConformance
from sourced_testing.conformance.inspect import InspectConformance
from sourced_testing.conformance.locked import LockedConformance
from sourced_testing.conformance.nesting import NestingConformance
from sourced_testing.conformance.park import ParkConformance
from sourced_testing.conformance.pending import PendingConformance
from sourced_testing.conformance.read import ReadConformance
from sourced_testing.conformance.register import RegisterConformance
from sourced_testing.conformance.rename import RenameConformance
from sourced_testing.conformance.replay import ReplayConformance
from sourced_testing.conformance.reset import ResetConformance
from sourced_testing.conformance.retry import RetryConformance
from sourced_testing.conformance.schedule import ScheduleConformance
from sourced_testing.conformance.schema import SchemaConformance
from sourced_testing.conformance.transactions import (
    SharedConnectionConformance,
    TransactionConformance,
    UserTable,
)
from sourced_testing.conformance.workers_and_leases import LeaseConformance, PollConformance

__all__ = [
    "AckConformance",
    "AppendConformance",
    "ArgumentsConformance",
    "ClaimConformance",
    "CommitConformance",
    "DataConformance",
    "FaultsConformance",
    "FencingConformance",
    "HandleNowConformance",
    "HintsConformance",
    "InspectConformance",
    "LeaseConformance",
    "LockedConformance",
    "NestingConformance",
    "ParkConformance",
    "PendingConformance",
    "PollConformance",
    "ReadConformance",
    "RegisterConformance",
    "RenameConformance",
    "ReplayConformance",
    "ResetConformance",
    "RetryConformance",
    "ScheduleConformance",
    "SchemaConformance",
    "SharedConnectionConformance",
    "TransactionConformance",
    "UserTable",
]

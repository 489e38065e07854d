"""The store's contract as tests: one class per capability, every test a sentence.

An adapter's test module defines the fixtures `clock` (a `sourced_testing.FakeClock`) and `store` (a
store made with that clock, installed and empty), and one class per capability:

    class TestAppend(AppendConformance): ...

With a fixture `other_store`, a second, independent handle on the same data, interleavings are run
between two handles instead of two threads on one.
"""

from sourced_testing.conformance.ack import AckConformance
from sourced_testing.conformance.append import AppendConformance
from sourced_testing.conformance.claim import ClaimConformance
from sourced_testing.conformance.commit import CommitConformance
from sourced_testing.conformance.fencing import FencingConformance
from sourced_testing.conformance.pending import PendingConformance
from sourced_testing.conformance.read import ReadConformance

__all__ = [
    "AckConformance",
    "AppendConformance",
    "ClaimConformance",
    "CommitConformance",
    "FencingConformance",
    "PendingConformance",
    "ReadConformance",
]

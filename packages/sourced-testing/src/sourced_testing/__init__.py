"""Fixtures, the fake clock and the conformance suite for apps and stores built on Sourced."""

from sourced_testing._clock import FakeClock

__all__ = ["FakeClock"]

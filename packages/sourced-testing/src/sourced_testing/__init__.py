"""Fixtures, the fake clock and the conformance suite for apps and stores built on Sourced."""

"""The memory store: every guarantee of the store port, in one process, under one lock."""

from sourced.memory._store import MemoryStore

__all__ = ["MemoryStore"]

"""Random histories on the memory store; see `sourced_testing.conformance.histories`."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from sourced.memory import MemoryStore
from sourced_testing.conformance.histories import HistoriesConformance, NewStore


@pytest.fixture
def new_store() -> NewStore:
    return lambda clock: nullcontext(MemoryStore(clock=clock))


class TestHistories(HistoriesConformance): ...

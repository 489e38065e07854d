"""Random histories on PostgreSQL; see `sourced_testing.conformance.histories`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sourced._store import Store
from sourced_postgres import open_store
from sourced_testing import FakeClock
from sourced_testing.conformance.histories import HistoriesConformance, NewStore


@pytest.fixture
def new_store(url: str, empty: Callable[[], None]) -> Iterator[NewStore]:
    """One schema, emptied for each history: making one takes longer than most histories."""
    maker = open_store(url, clock=FakeClock())
    maker.install()

    @contextmanager
    def opened(clock: FakeClock) -> Iterator[Store]:
        empty()
        store: Any = open_store(url, clock=clock, hints=False, pool_size=2)
        yield store
        store.close()

    yield opened
    maker.uninstall()
    maker.close()


class TestHistories(HistoriesConformance): ...

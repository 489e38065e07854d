"""Random histories on SQLite; see `sourced_testing.conformance.histories`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sourced._store import Store
from sourced_sqlalchemy import open_store
from sourced_testing import FakeClock
from sourced_testing.conformance.histories import HistoriesConformance, NewStore


@pytest.fixture
def new_store(url: str) -> NewStore:
    """Open a store on the file, which is empty again afterwards."""

    @contextmanager
    def opened(clock: FakeClock) -> Iterator[Store]:
        store = open_store(url, clock=clock)
        store.install()
        yield store
        store.uninstall()
        store.close()

    return opened


class TestHistories(HistoriesConformance): ...

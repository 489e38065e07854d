"""Random histories on SQLite; see `sourced_testing.conformance.histories`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sourced._store import Store
from sourced_sqlalchemy import open_store
from sourced_testing import FakeClock
from sourced_testing.conformance.histories import HistoriesConformance, NewStore


@pytest.fixture
def new_store(tmp_path: Path) -> NewStore:
    @contextmanager
    def opened(clock: FakeClock) -> Iterator[Store]:
        # No history ends with a power failure, so that nothing need wait for the disk.
        with TemporaryDirectory(dir=tmp_path) as folder:
            store = open_store(f"sqlite:///{folder}/shop.db", clock=clock, synchronous="OFF")
            store.install()
            yield store
            store.close()

    return opened


class TestHistories(HistoriesConformance): ...

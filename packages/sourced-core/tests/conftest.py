"""What the kernel's tests share: a fake clock, and an app on each embedded store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sourced import App, Settings
from sourced.memory import MemoryStore
from sourced_testing import FakeClock

AppFactory = Callable[..., App]


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when a test advances it."""
    return FakeClock()


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.integration)])
def app_on(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> Iterator[AppFactory]:
    """Make apps over one store, `app_on(Cart, Listings)`; several are like several processes."""
    opened: list[App] = []
    memory = MemoryStore(clock=clock)

    def make(*reactors: object, settings: Settings | None = None) -> App:
        store = memory if request.param == "memory" else f"sqlite:///{tmp_path / 'test.db'}"
        app = App(store, clock=clock, settings=settings)
        opened.append(app)
        app.register(*reactors)
        app.install()
        return app

    yield make
    for app in opened:
        app.close()

"""What the kernel's tests share: a fake clock, and an app on each embedded store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from sourced import App, Settings
from sourced.memory import MemoryStore
from sourced_testing import FakeClock

AppFactory = Callable[..., App]


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when a test advances it."""
    return FakeClock()


@pytest.fixture(
    params=[
        "memory",
        pytest.param("sqlite", marks=pytest.mark.integration),
        pytest.param("postgresql", marks=pytest.mark.integration),
    ]
)
def app_on(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> Iterator[AppFactory]:
    """Make apps over one store, `app_on(Cart, Listings)`; several are like several processes."""
    opened: list[App] = []
    store: MemoryStore | str = MemoryStore(clock=clock)
    if request.param == "sqlite":
        store = f"sqlite:///{tmp_path / 'test.db'}"
    elif request.param == "postgresql":
        url: str = request.getfixturevalue("sourced_postgres")
        store = f"{url}{'&' if '?' in url else '?'}schema=t{uuid4().hex[:12]}"

    def make(*reactors: object, settings: Settings | None = None) -> App:
        app = App(store, clock=clock, settings=settings)
        opened.append(app)
        app.register(*reactors)
        app.install()
        return app

    yield make
    for app in opened:
        app.close()
    if request.param == "postgresql" and opened:
        opened[0].store.uninstall()
        opened[0].close()

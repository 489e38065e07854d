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
def store_kind(request: pytest.FixtureRequest) -> str:
    """What an app of `app_on` keeps its messages in."""
    kind: str = request.param
    return kind


@pytest.fixture
def app_on(
    request: pytest.FixtureRequest, store_kind: str, clock: FakeClock, tmp_path: Path
) -> Iterator[AppFactory]:
    """Make apps over one store, `app_on(Cart, Listings)`; several are like several processes."""
    yield from _apps(request, store_kind, tmp_path, clock)


@pytest.fixture
def live_app_on(
    request: pytest.FixtureRequest, store_kind: str, tmp_path: Path
) -> Iterator[AppFactory]:
    """The same by the machine's clock, for what waits in real time."""
    yield from _apps(request, store_kind, tmp_path, None)


def _apps(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path, clock: FakeClock | None
) -> Iterator[AppFactory]:
    opened: list[App] = []
    store: MemoryStore | str = MemoryStore(clock=clock)
    if kind == "sqlite":
        store = f"sqlite:///{tmp_path / 'test.db'}"
    elif kind == "postgresql":
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
    if kind == "postgresql" and opened:
        opened[0].store.uninstall()
        opened[0].close()

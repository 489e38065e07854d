"""Empty stores for tests, by name or URL; dropped when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from sourced._clock import Clock
from sourced._store import Store

__all__ = ["opened"]


@contextmanager
def opened(name: str, clock: Clock, folder: Path) -> Iterator[Store]:
    """Open an empty store: `memory`, `sqlite` (a file in `folder`), or by URL.

    What was installed is dropped at the end; a database that holds a store already is refused.
    """
    store = _open(name, clock, folder)
    try:
        if store.installed() and name != "memory":
            raise pytest.UsageError(
                f"{name!r} holds a store already and tests would drop it; name an empty database"
            )
        store.install()
        try:
            yield store
        finally:
            store.uninstall()
    finally:
        store.close()


def _open(name: str, clock: Clock, folder: Path) -> Store:
    if name == "memory":
        from sourced.memory import MemoryStore

        return MemoryStore(clock=clock)
    url = f"sqlite:///{folder / 'sourced.db'}" if name == "sqlite" else name
    return _opener(url)(url, clock=clock)


def _opener(url: str) -> Callable[..., Store]:
    scheme = url.partition(":")[0].partition("+")[0]
    for found in entry_points(group="sourced.stores", name=scheme):
        opener: Callable[..., Store] = found.load()
        return opener
    raise pytest.UsageError(
        f"no installed package opens {scheme!r} stores; "
        "sourced-sqlalchemy opens sqlite, and --sourced-store=memory needs nothing"
    )

"""Empty stores for tests, by name or URL; dropped when the test is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sourced._clock import Clock
from sourced._store import Store
from sourced._stores import open_store

__all__ = ["opened"]


@contextmanager
def opened(name: str, clock: Clock, folder: Path) -> Iterator[Store]:
    """Open an empty store: `memory`, `sqlite` (a file in `folder`), or by URL.

    What was installed is dropped at the end; a database that holds a store already is refused.
    """
    urls = {"memory": "memory://", "sqlite": f"sqlite:///{folder / 'sourced.db'}"}
    store = open_store(urls.get(name, name), clock=clock)
    try:
        if name not in urls and store.installed():
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

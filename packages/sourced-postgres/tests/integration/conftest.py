"""What the tests with faults share: a server of their own, and stores on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from pg_cluster import Cluster, binaries, own_cluster
from tcp_proxy import Proxy, proxied

from sourced_postgres import PostgresStore, open_store
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A server that tests may restart; they leave it running."""
    programs = binaries()
    if programs is None:
        problem = "no PostgreSQL to restart: pip install 'sourced-testing[postgres]'"
        if "TOX_ENV_NAME" in os.environ:
            pytest.fail(problem)
        pytest.skip(problem)
    with own_cluster(programs) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def sourced_postgres(cluster: Cluster) -> str:
    """The URL of the server's database, in place of the one that other tests use."""
    return cluster.url


@pytest.fixture
def observer(cluster: Cluster) -> Iterator[psycopg.Connection]:
    """A connection that looks at the others, and ends them."""
    with cluster.connect(application_name="observer") as connection:
        yield connection


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """A way to the server that can be cut and stalled."""
    with proxied(cluster.port) as proxy:
        yield proxy


@pytest.fixture
def proxied_url(proxy: Proxy, schema: str) -> str:
    """The URL of the store by way of the proxy, with a password that nobody may read."""
    return f"postgresql://postgres:hunter2@127.0.0.1:{proxy.port}/postgres?schema={schema}"


@pytest.fixture
def given(store: PostgresStore, clock: FakeClock) -> Given:
    """Short ways to bring the store into a state."""
    return Given(store, clock)


@pytest.fixture
def opened(store: PostgresStore) -> Iterator[Callable[..., PostgresStore]]:
    """Open more stores; all are closed at the end."""
    assert store.installed()
    stores: list[PostgresStore] = []

    def open_another(url: str, **options: Any) -> PostgresStore:
        stores.append(open_store(url, **options))
        return stores[-1]

    yield open_another
    for one in stores:
        one.close()

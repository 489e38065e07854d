"""What the tests with processes share: a store with much to handle, by the machine's time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from sourced_sqlalchemy import SQLAlchemyStore, open_store
from sourced_testing import FakeClock
from sourced_testing.conformance._given import message

STREAMS = 600


@pytest.fixture
def clock() -> FakeClock:
    """A clock that begins at the machine's time, by which the killed process works."""
    return FakeClock(datetime.now(UTC))


@pytest.fixture
def busy_store(url: str, clock: FakeClock) -> SQLAlchemyStore:
    """A store with a message in each of many streams, a group, and a table of effects."""
    store = open_store(url, clock=clock, busy_timeout=timedelta(seconds=2))
    store.install()
    store.register("G", ["added"])
    store.append([message(f"s{number}") for number in range(STREAMS)])
    with store.transaction() as transaction:
        transaction.connection.execute(
            text('CREATE TABLE effects ("group", stream, seq, UNIQUE ("group", stream, seq))')
        )
    store.close()
    return store

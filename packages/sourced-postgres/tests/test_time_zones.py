"""Moments at the ends of the calendar, in sessions whose time zone makes them other years (T38)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from sourced._records import ScheduledMessage
from sourced._store import Retry, UnitOfWork
from sourced.errors import BusyError
from sourced_postgres import PostgresStore, open_store
from sourced_testing import FakeClock
from sourced_testing.conformance._given import LEASE, Given, message

LAST = datetime.max.replace(tzinfo=UTC)
FIRST = datetime.min.replace(tzinfo=UTC)


@pytest.fixture(params=["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def elsewhere(
    store: PostgresStore, url: str, request: pytest.FixtureRequest
) -> Iterator[PostgresStore]:
    """The store through sessions that are half a day ahead of UTC, or behind it."""
    zone = quote(f"-c TimeZone={request.param}")
    elsewhere = open_store(f"{url}&options={zone}", clock=store.clock)
    yield elsewhere
    elsewhere.close()


@pytest.fixture
def given(elsewhere: PostgresStore, clock: FakeClock) -> Given:
    """Short ways to bring the store into a state."""
    return Given(elsewhere, clock)


def test_what_is_due_at_the_end_of_time_is_polled_and_seen(
    elsewhere: PostgresStore, given: Given
) -> None:
    elsewhere.schedule([ScheduledMessage(message=message("a"), due_at=LAST)])

    assert elsewhere.poll(LEASE).next_at == LAST
    assert [one.due_at for one in elsewhere.inspect.schedule()] == [LAST]


def test_what_is_retried_at_the_end_of_time_is_polled_and_seen(
    elsewhere: PostgresStore, given: Given
) -> None:
    given.group()
    given.appended("a")
    elsewhere.retry(given.claimed(), Retry(at=LAST, error="{}"))
    now = message("a")
    unit = UnitOfWork(messages=(now,), handled={("G", "a"): frozenset({now.id})})

    assert elsewhere.poll(LEASE).next_at == LAST
    assert given.row().ready_at == LAST
    assert given.group_status().oldest_ready_at == LAST
    with pytest.raises(BusyError) as busy:
        elsewhere.handle_now(unit)
    assert busy.value.until == LAST


def test_what_is_ready_since_the_beginning_of_time_is_claimed(
    elsewhere: PostgresStore, given: Given
) -> None:
    given.group()
    given.appended("a")
    worker = given.worker()
    elsewhere.retry(given.claimed("G", worker), Retry(at=FIRST, error="{}"))

    assert given.row().ready_at == FIRST
    for _ in range(2):
        (claim,) = elsewhere.claim("G", worker)
        elsewhere.retry(claim, Retry(after=timedelta(0), error="{}"))

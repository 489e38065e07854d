"""The fake clock moves when it is told to, and only forward."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sourced._clock import Clock
from sourced_testing import FakeClock


def test_it_is_a_clock() -> None:
    clock: Clock = FakeClock()

    assert clock.now().tzinfo is UTC
    assert clock.monotonic() == 0


def test_nothing_passes_by_itself() -> None:
    clock = FakeClock()

    assert clock.now() == clock.now() == datetime(2026, 1, 1, tzinfo=UTC)


def test_it_starts_where_it_is_told_to_in_utc() -> None:
    two_hours_east = timezone(timedelta(hours=2))

    clock = FakeClock(datetime(2025, 3, 1, 12, tzinfo=two_hours_east))

    assert clock.now() == datetime(2025, 3, 1, 10, tzinfo=UTC)
    assert clock.now().tzinfo is UTC


def test_advance_adds_up_its_units() -> None:
    clock = FakeClock()
    before = clock.now()

    after = clock.advance(1, minutes=2, hours=3, days=4, milliseconds=5, microseconds=6)

    step = timedelta(days=4, hours=3, minutes=2, seconds=1, milliseconds=5, microseconds=6)
    assert after == clock.now() == before + step
    assert clock.monotonic() == step.total_seconds()


def test_advance_to_goes_to_a_moment() -> None:
    clock = FakeClock()
    moment = datetime(2026, 2, 1, tzinfo=UTC)

    assert clock.advance_to(moment) == clock.now() == moment
    assert clock.advance_to(moment) == moment


def test_sleep_returns_at_once_and_moves_the_clock() -> None:
    clock = FakeClock()

    clock.sleep(3600)
    clock.sleep(-1)

    assert clock.monotonic() == 3600


def test_backwards_is_refused() -> None:
    clock = FakeClock()

    with pytest.raises(ValueError, match="does not go backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="does not go backwards"):
        clock.advance_to(clock.now() - timedelta(microseconds=1))

    assert clock.monotonic() == 0


def test_naive_datetimes_are_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  the point of the test

    with pytest.raises(ValueError, match="expected an aware datetime"):
        FakeClock(naive)
    with pytest.raises(ValueError, match="expected an aware datetime"):
        FakeClock().advance_to(naive)

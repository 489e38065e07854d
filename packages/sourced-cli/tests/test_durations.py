"""Durations and moments as they are written on a command line and shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourced_cli._durations import duration_of, moment_of, shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("2d", 172_800),
        (" 5M ", 300),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert duration_of(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5s", "5 s", "1h 30m", "5x", "9" * 400, "1e5"])
def test_what_is_no_duration_says_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer than anything"):
        duration_of(text)


def test_a_moment_names_its_zone() -> None:
    assert moment_of("2026-03-01T09:00:00Z") == datetime(2026, 3, 1, 9, tzinfo=UTC)
    with pytest.raises(ValueError, match="names no time zone"):
        moment_of("2026-03-01T09:00:00")
    with pytest.raises(ValueError, match="is no moment"):
        moment_of("tomorrow")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (-0.0, "0ms"),
        (-5, "0ms"),
        (0.25, "250ms"),
        (3.14, "3.1s"),
        (41, "41s"),
        (2472, "41m12s"),
        (3600, "1h"),
        (90_000, "1d01h"),
    ],
)
def test_a_duration_is_shown_in_two_units(seconds: float, text: str) -> None:
    assert shown(seconds) == text


@given(st.floats(min_value=-10, max_value=1e9))
def test_every_duration_can_be_shown(seconds: float) -> None:
    assert "-" not in shown(seconds)

"""A holiday is booked whole or not at all, and both ways of booking it come to the same."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from examples.holiday_booking import multi_stream, single_stream
from examples.holiday_booking.site import BookingSite
from examples.holiday_booking.trips import Part, Trip

TRIP = Trip(flight="Monday to Rome", hotel="Hotel Roma", car="compact")
WISHES = {"flight": TRIP.flight, "hotel": TRIP.hotel, "car": TRIP.car}
EVERY_CASE = [
    [wish for wish, is_sold_out in zip(WISHES.values(), case, strict=True) if is_sold_out]
    for case in product([False, True], repeat=3)
]


class WatchedSite(BookingSite):
    """Remembers what it was asked."""

    def __init__(self, sold_out: list[str]) -> None:
        super().__init__(sold_out)
        self.asked: list[str] = []

    async def book(self, holiday: str, part: Part, wish: str) -> bool:
        self.asked.append(f"book {part}")
        return await super().book(holiday, part, wish)

    async def cancel(self, holiday: str, part: Part) -> None:
        self.asked.append(f"cancel {part}")
        await super().cancel(holiday, part)


@pytest.mark.parametrize("sold_out", EVERY_CASE, ids=lambda case: " and ".join(case) or "nothing")
def test_both_ways_come_to_the_same(sold_out: list[str]) -> None:
    step_by_step = single_stream.book(TRIP, BookingSite(sold_out))
    all_at_once = multi_stream.book(TRIP, BookingSite(sold_out))

    assert step_by_step == all_at_once
    assert step_by_step.status == ("cancelled" if sold_out else "booked")
    assert step_by_step.bookings == ({} if sold_out else WISHES)


def test_one_stream_turns_round_at_the_first_refusal_and_goes_back_the_same_way() -> None:
    site = WatchedSite([TRIP.car])

    outcome = single_stream.book(TRIP, site)

    assert outcome.reason == "no car"
    assert site.asked == ["book flight", "book hotel", "book car", "cancel hotel", "cancel flight"]


def test_one_stream_asks_for_nothing_after_a_refusal() -> None:
    site = WatchedSite([TRIP.flight])

    single_stream.book(TRIP, site)

    assert site.asked == ["book flight"]


def test_several_streams_ask_for_everything_and_undo_what_was_booked() -> None:
    site = WatchedSite([TRIP.flight])

    outcome = multi_stream.book(TRIP, site)

    assert outcome.reason == "no flight"
    assert sorted(site.asked[:3]) == ["book car", "book flight", "book hotel"]
    assert sorted(site.asked[3:]) == ["cancel car", "cancel hotel"]


@pytest.mark.integration
def test_the_example_runs() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.holiday_booking"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "Both ways come to the same." in ran.stdout

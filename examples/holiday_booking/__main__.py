"""Books a few holidays both ways, and compares: `python -m examples.holiday_booking`."""

import sys

from examples.holiday_booking import multi_stream, single_stream
from examples.holiday_booking.site import BookingSite
from examples.holiday_booking.trips import Outcome, Trip

SOLD_OUT = ("Friday to Rome", "Hotel Eden", "convertible")

TRIPS = (
    Trip(flight="Monday to Rome", hotel="Hotel Roma", car="compact"),
    Trip(flight="Friday to Rome", hotel="Hotel Roma", car="compact"),
    Trip(flight="Monday to Rome", hotel="Hotel Eden", car="compact"),
    Trip(flight="Monday to Rome", hotel="Hotel Roma", car="convertible"),
    Trip(flight="Friday to Rome", hotel="Hotel Roma", car="convertible"),
)


def main() -> int:
    """Return 0 if both ways agree on every trip."""
    agree = True
    for number, trip in enumerate(TRIPS, 1):
        one = single_stream.book(trip, BookingSite(SOLD_OUT), number=number)
        several = multi_stream.book(trip, BookingSite(SOLD_OUT), number=number)
        agree = agree and one == several
        print(f"{trip.flight}, {trip.hotel}, {trip.car}")
        print(f"    one stream       {_line(one)}")
        print(f"    several streams  {_line(several)}")
    print("\nBoth ways come to the same." if agree else "\nThe two ways differ.")
    return 0 if agree else 1


def _line(outcome: Outcome) -> str:
    return ": ".join(filter(None, [outcome.status, outcome.reason]))


if __name__ == "__main__":
    sys.exit(main())

"""Where flights, hotels and cars are booked: somebody else's system, out there."""

import asyncio
from collections.abc import Collection

from examples.holiday_booking.trips import PARTS, Part


class BookingSite:
    """Books under a key of its caller's, and a key is booked once.

    A reaction runs again if its process dies between the call and the commit. So whatever it calls
    must know a call that it has had before; keys are how.

    Args:
        sold_out: what cannot be booked any more.
    """

    def __init__(self, sold_out: Collection[str] = ()) -> None:
        self._sold_out = frozenset(sold_out)
        self._bookings: dict[tuple[str, Part], str] = {}

    async def book(self, holiday: str, part: Part, wish: str) -> bool:
        """Book; False if it is sold out."""
        await asyncio.sleep(0)  # the way there and back
        if wish in self._sold_out:
            return False
        self._bookings[holiday, part] = wish
        return True

    async def cancel(self, holiday: str, part: Part) -> None:
        """Cancel, if it is booked."""
        await asyncio.sleep(0)
        self._bookings.pop((holiday, part), None)

    def bookings_of(self, holiday: str) -> dict[Part, str]:
        """Return what is booked for a holiday."""
        return {
            part: self._bookings[holiday, part]
            for part in PARTS
            if (holiday, part) in self._bookings
        }

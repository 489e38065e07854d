"""What both ways share: the parts of a holiday, what somebody wishes for, what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Part = Literal["flight", "hotel", "car"]

PARTS: tuple[Part, ...] = ("flight", "hotel", "car")


@dataclass(frozen=True, kw_only=True)
class Trip:
    """What somebody wishes for."""

    flight: str
    hotel: str
    car: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        status: `"booked"` or `"cancelled"`.
        reason: why it was cancelled.
        bookings: what is booked at the site in the end.
    """

    status: str
    reason: str
    bookings: Mapping[Part, str]

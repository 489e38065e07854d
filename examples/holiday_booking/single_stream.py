"""One stream, step by step: flight, then hotel, then car; on a refusal, back the same way.

Everything that happens to a holiday stands in one stream, in order, and one actor tells the whole
story. Nothing runs at the same time, so there is nothing to join.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from examples.holiday_booking.site import BookingSite
from examples.holiday_booking.trips import PARTS, Outcome, Part, Trip
from sourced import Actor, App, Command, Event, Events, command, event, react


@dataclass
class HolidayState:
    """How far the holiday is."""

    id: str
    wishes: dict[Part, str] = field(default_factory=dict)
    booked: list[Part] = field(default_factory=list)
    refused: Part | None = None
    status: str = "in hand"

    @property
    def next_part(self) -> Part | None:
        """What is to be booked next; nothing after the last part."""
        return PARTS[len(self.booked)] if len(self.booked) < len(PARTS) else None

    @property
    def reason(self) -> str:
        """Why it cannot be."""
        return f"no {self.refused}" if self.refused else ""


class Holiday(Actor[HolidayState], group="holiday by one stream"):
    """Books part after part, in the short form: handlers' keywords are the messages.

    Args:
        site: where to book.
    """

    def __init__(self, site: BookingSite) -> None:
        super().__init__()
        self._site = site

    # --- decide ---

    @command
    def book(self, holiday: HolidayState, *, flight: str, hotel: str, car: str) -> Events:
        """Begin."""
        yield self.requested(flight=flight, hotel=hotel, car=car)

    @command
    def confirm(self, holiday: HolidayState, *, part: Part) -> Events:
        """Note a booking; with the last one, the holiday is booked."""
        yield self.part_booked(part=part)
        if holiday.next_part is None:
            yield self.booked()

    @command
    def refuse(self, holiday: HolidayState, *, part: Part) -> Events:
        """Note that a part is not to be had; if there is nothing to undo, that was all."""
        yield self.part_refused(part=part)
        if not holiday.booked:
            yield self.cancelled(reason=holiday.reason)

    @command
    def give_up(self, holiday: HolidayState, *, part: Part) -> Events:
        """Note that a booking was undone; when none is left, that was all."""
        yield self.part_cancelled(part=part)
        if not holiday.booked:
            yield self.cancelled(reason=holiday.reason)

    # --- evolve ---

    @event
    def requested(self, holiday: HolidayState, *, flight: str, hotel: str, car: str) -> None:
        """Know the wishes."""
        holiday.wishes = {"flight": flight, "hotel": hotel, "car": car}

    @event
    def part_booked(self, holiday: HolidayState, *, part: Part) -> None:
        """One step forward."""
        holiday.booked.append(part)

    @event
    def part_refused(self, holiday: HolidayState, *, part: Part) -> None:
        """Turn round."""
        holiday.refused = part

    @event
    def part_cancelled(self, holiday: HolidayState, *, part: Part) -> None:
        """One step back."""
        holiday.booked.remove(part)

    @event
    def booked(self, holiday: HolidayState) -> None:
        """Arrive."""
        holiday.status = "booked"

    @event
    def cancelled(self, holiday: HolidayState, *, reason: str) -> None:
        """Be back where it began."""
        holiday.status = "cancelled"

    # --- react ---

    @react(requested, part_booked)
    async def book_next(self, holiday: HolidayState, event: Event) -> AsyncIterator[Command]:
        """Try the next part."""
        part = holiday.next_part
        if part is None:
            return
        if await self._site.book(holiday.id, part, holiday.wishes[part]):
            yield Holiday.confirm(part=part)
        else:
            yield Holiday.refuse(part=part)

    @react(part_refused, part_cancelled)
    async def cancel_last(self, holiday: HolidayState, event: Event) -> AsyncIterator[Command]:
        """Undo the last booking that stands."""
        if holiday.booked:
            part = holiday.booked[-1]
            await self._site.cancel(holiday.id, part)
            yield Holiday.give_up(part=part)


def book(trip: Trip, site: BookingSite, *, number: int = 1) -> Outcome:
    """Book a holiday and say what came of it."""
    holiday_id = f"holiday-{number}"
    holiday = Holiday(site)
    with App().register(holiday) as app:
        app.dispatch(
            Holiday.book(flight=trip.flight, hotel=trip.hotel, car=trip.car), to=holiday_id
        )
        app.drain()
        state = app.load(holiday, holiday_id).state
    return Outcome(status=state.status, reason=state.reason, bookings=site.bookings_of(holiday_id))

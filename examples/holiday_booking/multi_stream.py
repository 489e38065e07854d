"""Several streams at once: flight, hotel and car are asked for together, and joined again.

```
                 ┌─ Reserve ─→ flight-1 ─ NotePart ─┐
HolidayRequested ┼─ Reserve ─→ hotel-1  ─ NotePart ─┼→ booked, or back: CancelReservation to those
                 └─ Reserve ─→ car-1    ─ NotePart ─┘  that were booked, joined once more
```

Each part has a stream, so the three wait for the site at the same time. The holiday decides when
the last answer is there, and not before: what it decides does not depend on which came first.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from examples.holiday_booking.site import BookingSite
from examples.holiday_booking.trips import PARTS, Outcome, Part, Trip
from sourced import Actor, App, Command, Dispatch, Event, Events, Yielded, command, event, react

# --- the holiday ----------------------------------------------------------------------------------


class BookHoliday(Command, type="holidays.book"):
    """Begin."""

    flight: str
    hotel: str
    car: str


class NotePart(Command, type="holidays.note_part"):
    """A part's answer."""

    part: Part
    is_booked: bool


class NoteCancelled(Command, type="holidays.note_cancelled"):
    """A part is booked no more."""

    part: Part


class HolidayRequested(Event, type="holidays.requested"):
    """What is wished for."""

    flight: str
    hotel: str
    car: str


class PartAnswered(Event, type="holidays.part_answered"):
    """A part is booked, or it is not to be had."""

    part: Part
    is_booked: bool


class PartsRefused(Event, type="holidays.parts_refused"):
    """All answers are there, and one of them is no."""


class PartCancelled(Event, type="holidays.part_cancelled"):
    """A booking was undone."""

    part: Part


class HolidayBooked(Event, type="holidays.booked"):
    """All answers are there, and all are yes."""


class HolidayCancelled(Event, type="holidays.cancelled"):
    """All that was booked is undone."""

    reason: str


@dataclass
class HolidayState:
    """The answers, as far as they are there."""

    id: str
    answers: dict[Part, bool] = field(default_factory=dict)
    status: str = "in hand"

    @property
    def booked(self) -> list[Part]:
        """What stands."""
        return [part for part in PARTS if self.answers.get(part)]

    @property
    def reason(self) -> str:
        """Why it cannot be: the first part that was refused."""
        refused = [part for part in PARTS if self.answers.get(part) is False]
        return f"no {refused[0]}" if refused else ""


class Holiday(Actor[HolidayState], group="holiday by several streams"):
    """Sends for the parts, and joins their answers."""

    @command
    def book(self, holiday: HolidayState, cmd: BookHoliday) -> Events:
        """Begin."""
        yield HolidayRequested(flight=cmd.flight, hotel=cmd.hotel, car=cmd.car)

    @command
    def note_part(self, holiday: HolidayState, cmd: NotePart) -> Events:
        """Note an answer; with the last one, decide."""
        yield PartAnswered(part=cmd.part, is_booked=cmd.is_booked)
        if len(holiday.answers) < len(PARTS):
            return
        if not holiday.reason:
            yield HolidayBooked()
        elif holiday.booked:
            yield PartsRefused()
        else:
            yield HolidayCancelled(reason=holiday.reason)

    @command
    def note_cancelled(self, holiday: HolidayState, cmd: NoteCancelled) -> Events:
        """Note what was undone; with the last of it, the holiday is cancelled."""
        yield PartCancelled(part=cmd.part)
        if not holiday.booked:
            yield HolidayCancelled(reason=holiday.reason)

    @event
    def part_answered(self, holiday: HolidayState, event: PartAnswered) -> None:
        """Know an answer."""
        holiday.answers[event.part] = event.is_booked

    @event
    def part_cancelled(self, holiday: HolidayState, event: PartCancelled) -> None:
        """Let go of it."""
        del holiday.answers[event.part]

    @event
    def holiday_booked(self, holiday: HolidayState, event: HolidayBooked) -> None:
        """Arrive."""
        holiday.status = "booked"

    @event
    def holiday_cancelled(self, holiday: HolidayState, event: HolidayCancelled) -> None:
        """Be back where it began."""
        holiday.status = "cancelled"

    @react
    def ask(self, holiday: HolidayState, event: HolidayRequested) -> Yielded:
        """Ask for all parts at once."""
        for part in PARTS:
            reserve = Reserve(holiday_id=holiday.id, part=part, wish=event.payload[part])
            yield Dispatch(reserve, to=reservation(holiday.id, part))

    @react
    def undo(self, holiday: HolidayState, event: PartsRefused) -> Yielded:
        """Undo all that was booked, at once as well."""
        for part in holiday.booked:
            yield Dispatch(CancelReservation(), to=reservation(holiday.id, part))


# --- its parts ------------------------------------------------------------------------------------


def reservation(holiday_id: str, part: Part) -> str:
    """Return the stream of a holiday's part."""
    return holiday_id.replace("holiday", part, 1)


class Reserve(Command, type="reservations.reserve"):
    """Book this for a holiday."""

    holiday_id: str
    part: Part
    wish: str


class ConfirmReservation(Command, type="reservations.confirm"):
    """The site says yes."""


class RefuseReservation(Command, type="reservations.refuse"):
    """The site says no."""


class CancelReservation(Command, type="reservations.cancel"):
    """Undo it."""


class ReservationRequested(Event, type="reservations.requested"):
    """The site is to be asked."""

    holiday_id: str
    part: Part
    wish: str


class ReservationConfirmed(Event, type="reservations.confirmed"):
    """It is booked."""


class ReservationRefused(Event, type="reservations.refused"):
    """It is not to be had."""


class ReservationCancelled(Event, type="reservations.cancelled"):
    """It is to be booked no more."""


@dataclass
class ReservationState:
    """What is booked, and for whom."""

    holiday_id: str = ""
    part: Part = "flight"


class Reservation(Actor[ReservationState]):
    """One part of a holiday; the same actor for flights, hotels and cars.

    Args:
        site: where to book.
    """

    def __init__(self, site: BookingSite) -> None:
        super().__init__()
        self._site = site

    @command
    def reserve(self, reservation: ReservationState, cmd: Reserve) -> Events:
        """Begin."""
        yield ReservationRequested(holiday_id=cmd.holiday_id, part=cmd.part, wish=cmd.wish)

    @command
    def confirm(self, reservation: ReservationState, cmd: ConfirmReservation) -> Events:
        """Note that it is booked."""
        yield ReservationConfirmed()

    @command
    def refuse(self, reservation: ReservationState, cmd: RefuseReservation) -> Events:
        """Note that it is not."""
        yield ReservationRefused()

    @command
    def cancel(self, reservation: ReservationState, cmd: CancelReservation) -> Events:
        """Note that it is wanted no more."""
        yield ReservationCancelled()

    @event
    def requested(self, reservation: ReservationState, event: ReservationRequested) -> None:
        """Know what it is for."""
        reservation.holiday_id = event.holiday_id
        reservation.part = event.part

    @react
    async def ask_site(self, event: ReservationRequested) -> AsyncIterator[Command]:
        """Ask the site; the answer goes to this reservation's own stream."""
        if await self._site.book(event.holiday_id, event.part, event.wish):
            yield ConfirmReservation()
        else:
            yield RefuseReservation()

    @react
    def tell_holiday(
        self,
        reservation: ReservationState,
        event: ReservationConfirmed | ReservationRefused,
    ) -> Yielded:
        """Answer the holiday."""
        is_booked = isinstance(event, ReservationConfirmed)
        yield Dispatch(
            NotePart(part=reservation.part, is_booked=is_booked), to=reservation.holiday_id
        )

    @react
    async def tell_site(
        self, reservation: ReservationState, event: ReservationCancelled
    ) -> AsyncIterator[Dispatch[Command]]:
        """Cancel at the site, and say so."""
        await self._site.cancel(reservation.holiday_id, reservation.part)
        yield Dispatch(NoteCancelled(part=reservation.part), to=reservation.holiday_id)


def book(trip: Trip, site: BookingSite, *, number: int = 1) -> Outcome:
    """Book a holiday and say what came of it."""
    holiday_id = f"holiday-{number}"
    with App().register(Holiday, Reservation(site)) as app:
        app.dispatch(BookHoliday(flight=trip.flight, hotel=trip.hotel, car=trip.car), to=holiday_id)
        app.drain()
        state = app.load(Holiday, holiday_id).state
    return Outcome(status=state.status, reason=state.reason, bookings=site.bookings_of(holiday_id))

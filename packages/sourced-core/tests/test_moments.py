"""Moments and delays that users name: refused where they are named, never stored to break later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from sourced import Actor, App, Command, Dispatch, Event, command, react
from sourced._clock import to_micros
from sourced._messages import with_meta
from sourced._moments import checked_delay, checked_moment
from sourced.errors import PayloadError, UsageError

AppFactory = Callable[..., App]

AFTER_THE_LAST_YEAR = datetime.max.replace(tzinfo=timezone(timedelta(hours=-10)))
BEFORE_THE_FIRST_YEAR = datetime.min.replace(tzinfo=timezone(timedelta(hours=10)))


class Wake(Command, type="moments.wake"): ...


class Woken(Event, type="moments.woken"): ...


class Sleep(Command, type="moments.sleep"): ...


class Slept(Event, type="moments.slept"): ...


class Sleeper(Actor[None], group="Sleeper"):
    at: Any = None
    after: Any = None

    def initial_state(self, stream_id: str) -> None:
        return None

    @command
    def sleep(self, state: None, cmd: Sleep):  # type: ignore[no-untyped-def]  # as users do
        yield Slept()

    @command
    def wake(self, state: None, cmd: Wake):  # type: ignore[no-untyped-def]
        yield Woken()

    @react
    def then(self, event: Slept):  # type: ignore[no-untyped-def]
        yield Dispatch(Wake(), at=Sleeper.at, after=Sleeper.after)


REFUSED = [
    pytest.param({"at": AFTER_THE_LAST_YEAR}, "years 1 to 9999", id="after the last year"),
    pytest.param({"at": BEFORE_THE_FIRST_YEAR}, "years 1 to 9999", id="before the first year"),
    pytest.param({"at": datetime(2030, 1, 1)}, "aware datetime", id="naive"),  # noqa: DTZ001
    pytest.param({"at": "2020"}, "aware datetime", id="a text"),
    pytest.param({"after": timedelta.max}, "9999", id="a delay without end"),
    pytest.param({"after": 5}, "timedelta", id="a number"),
    pytest.param({"after": timedelta(seconds=-1)}, "0 or more", id="back in time"),
    pytest.param(
        {"at": datetime(2030, 1, 1, tzinfo=UTC), "after": timedelta(1)}, "one of", id="both"
    ),
]


@pytest.mark.parametrize(("when", "says"), REFUSED)
def test_dispatch_refuses_a_time_that_cannot_be(
    app_on: AppFactory, when: dict[str, Any], says: str
) -> None:
    app = app_on(Sleeper)

    with pytest.raises(UsageError, match=says):
        app.dispatch(Wake(), to="z", **when)
    with app.transaction() as transaction, pytest.raises(UsageError, match=says):
        transaction.dispatch(Wake(), to="z", **when)

    assert app.store.inspect.schedule() == ()
    app.drain()


@pytest.mark.parametrize(("when", "says"), REFUSED)
def test_a_reaction_that_dispatches_to_a_time_that_cannot_be_fails_its_own_message(
    app_on: AppFactory, monkeypatch: pytest.MonkeyPatch, when: dict[str, Any], says: str
) -> None:
    app = app_on(Sleeper)
    for name in ("at", "after"):
        monkeypatch.setattr(Sleeper, name, when.get(name))
    app.dispatch(Sleep(), to="z")

    app.drain()

    (delivery,) = app.store.inspect.deliveries()
    assert "UsageError" in (delivery.error or "")
    assert says in (delivery.error or "")
    assert app.store.inspect.schedule() == ()
    app.drain()


@pytest.mark.parametrize(
    "due", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]
)
def test_the_ends_of_time_are_moments_like_others(app_on: AppFactory, due: datetime) -> None:
    app = app_on(Sleeper)

    receipt = app.dispatch(Wake(), to="z", at=due)

    assert receipt.due_at == due
    assert app.store.inspect.schedule()[0].due_at == due
    app.drain()


def test_a_moment_is_told_in_utc() -> None:
    moment = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    assert checked_moment(moment).isoformat() == "2030-01-01T10:00:00+00:00"


def test_a_delay_may_be_nothing() -> None:
    assert checked_delay(timedelta(0)) == timedelta(0)


@pytest.mark.parametrize("moment", [AFTER_THE_LAST_YEAR, BEFORE_THE_FIRST_YEAR])
def test_no_moment_is_stored_that_could_not_be_read_back(moment: datetime) -> None:
    with pytest.raises(ValueError, match="years 1 to 9999"):
        to_micros(moment)


@pytest.mark.parametrize("moment", [AFTER_THE_LAST_YEAR, BEFORE_THE_FIRST_YEAR])
def test_a_message_is_not_made_at_a_moment_that_cannot_be(moment: datetime) -> None:
    with pytest.raises(PayloadError, match=r"meta\.created_at: .*years 1 to 9999"):
        with_meta(Wake(), created_at=moment)

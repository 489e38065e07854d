"""What happens to a message that fails: it delays its own stream, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sourced import (
    App,
    ErrorPolicy,
    Event,
    Failure,
    Park,
    Reactor,
    Retry,
    Settings,
    Skip,
    Stop,
    exponential,
    on,
)
from sourced._errors_policy import Decision, failure_record
from sourced.errors import (
    ConfigurationError,
    GroupStoppedError,
    NotFoundError,
    StatementTimeoutError,
    StoreUnavailableError,
)
from sourced_testing import FakeClock

AppFactory = Callable[..., App]


class Came(Event, type="policies.came"):
    n: int


class BrokenError(Exception):
    """What the handlers below raise."""


class Sink(Reactor, group="Sink"):
    """Fails for the numbers it is told to."""

    def __init__(self, errors: Any = None) -> None:
        self.failing: dict[int, BaseException] = {}
        self.seen: list[int] = []
        if errors is not None:
            self.error_policy = errors

    @on
    def come(self, event: Came) -> None:
        if event.n in self.failing:
            raise self.failing[event.n]
        self.seen.append(event.n)


def test_a_failure_on_one_stream_delays_no_other(app_on: AppFactory) -> None:
    """T19."""
    sink = Sink()
    sink.failing[1] = BrokenError("no")
    app = app_on(sink)
    app.append(Came(n=1), to="bad")
    app.append(Came(n=2), to="good")

    result = app.drain()

    assert sink.seen == [2]
    assert (result.handled, result.retried) == (1, 1)


def test_messages_before_the_failing_one_are_kept_and_those_after_it_wait(
    app_on: AppFactory,
) -> None:
    sink = Sink()
    sink.failing[2] = BrokenError("no")
    app = app_on(sink)
    app.append([Came(n=1), Came(n=2), Came(n=3)], to="s")

    app.drain()

    row = app.store.inspect.deliveries(group="Sink")[0]
    assert sink.seen == [1]
    assert (row.next_seq, row.state, row.attempts) == (2, "retrying", 1)


def test_a_stream_is_parked_after_its_retries_and_counts_as_parked_not_pending(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T48."""
    sink = Sink(ErrorPolicy(retries=2, backoff=exponential(jitter=False)))
    sink.failing[1] = BrokenError("no")
    app = app_on(sink)
    app.append(Came(n=1), to="bad")
    app.append(Came(n=2), to="bad")

    outcomes = [drained_after(app, clock, seconds) for seconds in (0, 1, 2, 60)]

    status = app.groups.status("Sink")
    assert [(o.retried, o.parked) for o in outcomes] == [(1, 0), (1, 0), (0, 1), (0, 0)]
    assert (status.pending, status.parked, sink.seen) == (0, 1, [])


def test_retrying_a_parked_stream_handles_all_behind_it_in_order_and_goes_on_live(
    app_on: AppFactory,
) -> None:
    """T49."""
    sink = Sink(ErrorPolicy(retries=0))
    sink.failing[1] = BrokenError("no")
    app = app_on(sink)
    app.append([Came(n=1), Came(n=2)], to="bad")
    app.drain()
    app.append(Came(n=3), to="bad")
    app.drain()
    sink.failing.clear()

    app.groups.retry("Sink", "bad", reason="deployed the fix")
    app.drain()
    app.append(Came(n=4), to="bad")
    app.drain()

    assert sink.seen == [1, 2, 3, 4]
    assert app.store.inspect.operations()[0].verb == "retry"


def test_skipping_leaves_an_operations_row(app_on: AppFactory) -> None:
    """T50."""
    sink = Sink(ErrorPolicy(retries=0))
    sink.failing[1] = BrokenError("no")
    app = app_on(sink)
    app.append([Came(n=1), Came(n=2)], to="bad")
    app.drain()

    skipped = app.groups.skip("Sink", "bad", reason="test order")
    app.drain()

    operation = app.store.inspect.operations()[0]
    assert (skipped, sink.seen) == (1, [2])
    assert (operation.verb, operation.reason) == ("skip", "test order")


def test_retrying_what_is_not_parked_says_so(app_on: AppFactory) -> None:
    app = app_on(Sink())

    with pytest.raises(NotFoundError, match="neither parked nor waiting"):
        app.groups.retry("Sink", "nothing-here")


def test_success_starts_the_attempts_again(app_on: AppFactory, clock: FakeClock) -> None:
    """T20."""
    attempts: list[int] = []

    def policy(failure: Failure) -> Decision:
        attempts.append(failure.attempt)
        return Retry(after=timedelta(seconds=1))

    sink = Sink(policy)
    app = app_on(sink)
    sink.failing = {1: BrokenError("a"), 2: BrokenError("b")}
    app.append([Came(n=1), Came(n=2)], to="s")
    drained_after(app, clock, 0)
    drained_after(app, clock, 2)
    del sink.failing[1]
    drained_after(app, clock, 2)
    drained_after(app, clock, 2)

    assert attempts == [1, 2, 1, 2]


def test_a_plain_function_in_the_class_statement_decides(app_on: AppFactory) -> None:
    def policy(failure: Failure) -> Decision:
        return Skip(reason="a function decided")

    class Failing(Reactor, group="Failing", errors=policy):
        @on
        def come(self, event: Came) -> None:
            raise BrokenError("n")

    app = app_on(Failing)
    app.append(Came(n=1), to="s")

    assert app.drain().skipped == 1


def test_a_policy_sees_the_handlers_own_exception_and_the_failing_message(
    app_on: AppFactory,
) -> None:
    seen: list[Failure] = []

    def policy(failure: Failure) -> Decision:
        seen.append(failure)
        return Park()

    sink = Sink(policy)
    sink.failing[2] = BrokenError("the second")
    app = app_on(sink)
    app.append([Came(n=1), Came(n=2), Came(n=3)], to="s")

    app.drain()

    failure = seen[0]
    assert isinstance(failure.exception, BrokenError)
    assert failure.message == Came(n=2)
    assert (failure.group, failure.stream_id, failure.seq, failure.attempt) == ("Sink", "s", 2, 1)


def test_then_stop_stops_the_group_and_leaves_the_stream_where_it_is(app_on: AppFactory) -> None:
    sink = Sink(ErrorPolicy(retries=0, then="stop"))
    sink.failing[1] = BrokenError("no")
    app = app_on(sink)
    app.append([Came(n=1)], to="s")

    app.drain()

    status = app.groups.status("Sink")
    assert (status.status, status.pending, status.parked) == ("stopped", 1, 0)
    assert "failed" in status.reason


def test_then_skip_goes_on_behind_the_message(app_on: AppFactory) -> None:
    sink = Sink(ErrorPolicy(retries=0, then="skip"))
    sink.failing[2] = BrokenError("no")
    app = app_on(sink)
    app.append([Came(n=1), Came(n=2), Came(n=3)], to="s")

    app.drain()

    assert sink.seen == [1, 3]
    assert app.store.inspect.operations()[0].verb == "skip"


@pytest.mark.parametrize("decision", [Stop(reason="by hand"), Skip(reason="by hand"), Park()])
def test_a_callable_policy_decides(app_on: AppFactory, decision: Decision) -> None:
    sink = Sink(lambda _failure: decision)
    sink.failing[1] = BrokenError("no")
    app = app_on(sink)
    app.append([Came(n=1)], to="s")

    app.drain()

    status = app.groups.status("Sink")
    expected = {Stop: ("stopped", 1, 0), Skip: ("active", 0, 0), Park: ("active", 0, 1)}
    assert (status.status, status.pending, status.parked) == expected[type(decision)]


def test_a_retry_at_a_moment_waits_for_it(app_on: AppFactory, clock: FakeClock) -> None:
    moment = clock.now() + timedelta(hours=3)
    sink = Sink(lambda _failure: Retry(at=moment))
    sink.failing[1] = BrokenError("no")
    app = app_on(sink)
    app.append([Came(n=1)], to="s")

    app.drain()

    assert app.store.inspect.deliveries(group="Sink")[0].ready_at == moment


def test_a_policy_that_raises_parks_the_stream(
    app_on: AppFactory, caplog: pytest.LogCaptureFixture
) -> None:
    def policy(failure: Failure) -> Decision:
        raise RuntimeError("a broken policy")

    sink = Sink(policy)
    sink.failing[1] = BrokenError("no")
    app = app_on(sink)
    app.append([Came(n=1)], to="s")

    app.drain()

    assert app.groups.status("Sink").parked == 1
    assert "the error policy of group Sink failed" in caplog.text


def test_callbacks_are_told_and_cannot_break_the_engine(
    app_on: AppFactory, clock: FakeClock
) -> None:
    told: list[str] = []

    def on_retry(failure: Failure) -> None:
        told.append("retry")
        raise RuntimeError("a broken callback")

    sink = Sink(
        ErrorPolicy(retries=1, on_retry=on_retry, on_park=lambda failure: told.append("park"))
    )
    sink.failing[1] = BrokenError("no")
    app = app_on(sink)
    app.append([Came(n=1)], to="s")

    drained_after(app, clock, 0)
    drained_after(app, clock, 60)

    assert told == ["retry", "park"]


def test_the_breaker_stops_a_group_when_too_many_of_its_streams_park(app_on: AppFactory) -> None:
    """T51: systemic failure is not poison; counted in the store."""
    sink = Sink(ErrorPolicy(retries=0))
    sink.failing = {n: BrokenError("the mail server is down") for n in range(30)}
    app = app_on(sink, settings=Settings(breaker=5))
    for n in range(30):
        app.append(Came(n=n), to=f"s-{n}")

    app.drain()

    status = app.groups.status("Sink")
    assert status.status == "stopped"
    assert "park" in status.reason


def test_streams_that_park_slowly_do_not_trip_the_breaker(
    app_on: AppFactory, clock: FakeClock
) -> None:
    sink = Sink(ErrorPolicy(retries=0))
    sink.failing = {n: BrokenError("no") for n in range(10)}
    app = app_on(sink, settings=Settings(breaker=5))
    for n in range(10):
        app.append(Came(n=n), to=f"s-{n}")
        drained_after(app, clock, 30)

    assert app.groups.status("Sink").status == "active"


def test_store_trouble_in_a_handler_is_no_attempt_of_the_message(app_on: AppFactory) -> None:
    sink = Sink(ErrorPolicy(retries=0))
    sink.failing[1] = StoreUnavailableError("the database is away")
    app = app_on(sink)
    app.append([Came(n=1)], to="s")

    app.drain()

    row = app.store.inspect.deliveries(group="Sink")[0]
    assert (row.state, row.attempts) == ("retrying", 0)


def timeout(own: Exception | None = None) -> StatementTimeoutError:
    """What a store makes of the user's own error, whose statement waited for too long."""
    error = StatementTimeoutError("canceled: lock timeout")
    error.__cause__ = own
    return error


def test_a_statement_of_a_handler_that_waits_too_long_is_no_attempt_ten_times_in_a_row(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """Somebody's idle transaction is nobody's failure; what never gets through is."""
    seen: list[Failure] = []
    sink = Sink(ErrorPolicy(retries=1, on_retry=seen.append, on_park=seen.append))
    own = BrokenError("canceled")
    sink.failing[1] = timeout(own)
    app = app_on(sink)
    app.append(Came(n=1), to="s")

    def next_try() -> tuple[str, int]:
        drained_after(app, clock, 300)
        (row,) = app.store.inspect.deliveries(group="Sink")
        return row.state, row.attempts

    assert [next_try() for _ in range(10)] == [("retrying", 0)] * 10
    assert seen == []
    assert [next_try() for _ in range(2)] == [("retrying", 1), ("parked", 2)]
    assert [failure.exception for failure in seen] == [own, own]


def test_a_wait_that_was_too_long_can_be_seen_though_it_is_not_counted(
    app_on: AppFactory, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Sink()
    sink.failing[1] = timeout()
    app = app_on(sink)
    app.append(Came(n=1), to="s")

    result = app.drain()

    (row,) = app.store.inspect.deliveries(group="Sink")
    assert result.failed == 0
    assert json.loads(row.error or "")["text"] == "canceled: lock timeout"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "1 of 10" in caplog.text


def test_pauses_after_waits_that_were_too_long_grow_to_a_minute(
    app_on: AppFactory, clock: FakeClock
) -> None:
    sink = Sink()
    sink.failing[1] = timeout()
    app = app_on(sink)
    app.append(Came(n=1), to="s")
    pauses = []

    for _ in range(9):
        drained_after(app, clock, 300)
        (row,) = app.store.inspect.deliveries(group="Sink")
        assert row.ready_at is not None
        pauses.append((row.ready_at - clock.now()).total_seconds())

    longest = [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert all(full / 2 <= got <= full for got, full in zip(pauses, longest, strict=True))


def test_waits_are_counted_anew_for_the_next_message(app_on: AppFactory, clock: FakeClock) -> None:
    """In a row means of one message."""
    sink = Sink(ErrorPolicy(retries=0))
    sink.failing = {1: timeout(), 2: timeout()}
    app = app_on(sink)
    app.append([Came(n=1), Came(n=2)], to="s")

    for _ in range(10):
        drained_after(app, clock, 300)
    del sink.failing[1]
    drained_after(app, clock, 300)

    (row,) = app.store.inspect.deliveries(group="Sink")
    assert (row.state, row.next_seq, row.attempts) == ("retrying", 2, 0)


def test_another_failure_in_between_ends_the_row_of_waits(
    app_on: AppFactory, clock: FakeClock
) -> None:
    sink = Sink(ErrorPolicy(retries=1))
    app = app_on(sink)
    app.append(Came(n=1), to="s")

    for error in [*[timeout()] * 10, BrokenError("no"), timeout()]:
        sink.failing[1] = error
        drained_after(app, clock, 300)

    (row,) = app.store.inspect.deliveries(group="Sink")
    assert (row.state, row.attempts) == ("retrying", 1)


def test_waits_are_counted_anew_when_an_operator_lets_a_parked_stream_go_on(
    app_on: AppFactory, clock: FakeClock
) -> None:
    sink = Sink(ErrorPolicy(retries=0))
    sink.failing[1] = timeout()
    app = app_on(sink)
    app.append(Came(n=1), to="s")
    for _ in range(11):
        drained_after(app, clock, 300)

    parked = app.store.inspect.deliveries(group="Sink")[0].state
    app.groups.retry("Sink", "s", reason="the table is free")
    app.drain()

    (row,) = app.store.inspect.deliveries(group="Sink")
    assert (parked, row.state, row.attempts) == ("parked", "retrying", 0)


def test_a_sync_that_waits_too_long_delays_no_other_stream(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T19, T63: what was committed with it is committed without it."""

    class Writing(Reactor, group="Writing"):
        @on
        def come(self, event: Came, *, connection: object) -> None:
            if event.n == 2:
                raise timeout()

    app = app_on(Writing(), settings=Settings(errors=ErrorPolicy(retries=0)))
    for n in range(4):
        app.append([Came(n=n), Came(n=4)], to=f"s-{n}")

    result = app.drain()

    (row,) = app.store.inspect.deliveries(group="Writing")
    assert (result.handled, row.stream_id) == (6, "s-2")
    assert (row.state, row.attempts, row.next_seq) == ("retrying", 0, 1)
    assert "lock timeout" in (row.error or "")


@pytest.mark.parametrize(
    "text",
    ["a NUL \x00 here", "a lone \ud800 surrogate", "x" * 10_000_000],
    ids=["nul", "lone", "10MB"],
)
def test_exception_texts_of_any_kind_are_storable(app_on: AppFactory, text: str) -> None:
    """T52."""
    sink = Sink(ErrorPolicy(retries=0))
    sink.failing[1] = BrokenError(text)
    app = app_on(sink)
    app.append([Came(n=1)], to="s")

    app.drain()

    error = app.store.inspect.deliveries(group="Sink")[0].error or ""
    kept = json.loads(error)
    assert kept["class"].endswith("BrokenError")
    assert "\x00" not in kept["text"]
    assert len(kept["text"]) < 8_100


def test_an_exception_whose_text_raises_is_storable_too() -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text for you")

    failure = Failure(
        exception=HostileError(),
        message=None,
        message_id="",
        type="t",
        seq=1,
        group="g",
        stream_id="s",
        attempt=1,
    )

    kept = json.loads(failure_record(failure, worker="w", code_version="", at=datetime.now(UTC)))

    assert "__str__ raised RuntimeError" in kept["text"]


def test_a_stopped_group_is_named_to_those_who_wait(app_on: AppFactory) -> None:
    app = app_on(Sink())
    app.groups.stop("Sink", reason="maintenance")
    receipt = app.dispatch(Came(n=1), to="s")

    with pytest.raises(GroupStoppedError, match="'Sink' is stopped"):
        app.wait(receipt)


def test_backoff_doubles_up_to_its_cap() -> None:
    backoff = exponential(timedelta(seconds=1), cap=timedelta(seconds=5), jitter=False)

    assert [backoff(n).total_seconds() for n in (1, 2, 3, 4, 5000)] == [1, 2, 4, 5, 5]


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"then": "explode"}])
def test_a_policy_with_wrong_settings_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        ErrorPolicy(**wrong)


def drained_after(app: App, clock: FakeClock, seconds: float) -> Any:
    clock.advance(seconds=seconds)
    return app.drain()

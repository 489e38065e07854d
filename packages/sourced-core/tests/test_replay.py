"""Replay is exact: what has been handled before is known per stream and per message."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sourced import (
    Actor,
    App,
    Batch,
    Command,
    Dispatch,
    ErrorPolicy,
    Event,
    EventSourcedProjector,
    Reactor,
    Settings,
    command,
    event,
    on,
    react,
)
from sourced_testing import FakeClock
from sourced_testing._watched import RowCount, RowCounts

AppFactory = Callable[..., App]


class Do(Command, type="replay.do"):
    pass


class Done(Event, type="replay.done"):
    pass


class Mail(Command, type="replay.mail"):
    pass


class Doer(Actor[dict[str, int]], group="Doer"):
    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {"n": 0}

    @command
    def do(self, state: dict[str, int], cmd: Do):  # type: ignore[no-untyped-def]  # as users do
        yield Done()

    @event
    def done(self, state: dict[str, int], event: Done) -> None:
        state["n"] += 1


class Log(Reactor, group="Log"):
    """Writes down what it was given, and whether that was a replay."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, bool]] = []

    @on
    def log(self, event: Done, *, replaying: bool) -> None:
        self.seen.append((str(event.meta.stream_id), event.meta.seq or 0, replaying))


def done_in(app: App, stream_id: str) -> int:
    return sum(1 for message in app.read_stream(stream_id) if isinstance(message, Done))


def test_a_command_behind_another_streams_progress_still_runs(app_on: AppFactory) -> None:
    """T1: there is no group-wide mark."""
    app = app_on(Doer, settings=Settings(max_streams=1))
    app.dispatch(Do(), to="a")
    app.dispatch(Do(), to="b")
    app.dispatch(Do(), to="a")

    app.drain()

    assert (done_in(app, "a"), done_in(app, "b")) == (2, 1)


def test_a_command_that_failed_while_others_advanced_still_runs(
    app_on: AppFactory, clock: FakeClock
) -> None:
    """T2."""
    failing = [True]

    class Moody(Doer, group="Moody"):
        @command
        def do(self, state: dict[str, int], cmd: Do):  # type: ignore[no-untyped-def]
            if failing[0] and cmd.meta.stream_id == "b":
                raise RuntimeError("later")
            yield Done()

    app = app_on(Moody)
    app.dispatch(Do(), to="b")
    app.dispatch(Do(), to="a")
    app.drain()
    failing[0] = False
    clock.advance(minutes=1)
    app.drain()

    assert (done_in(app, "a"), done_in(app, "b")) == (1, 1)


def test_after_a_reset_exactly_what_was_handled_is_replaying(app_on: AppFactory) -> None:
    """T3: per stream, with messages that come meanwhile live; and again with a second reset."""
    log = Log()
    app = app_on(log)
    app.append([Done(), Done()], to="a")
    app.append(Done(), to="b")
    app.drain()
    log.seen.clear()
    app.append(Done(), to="a")
    app.groups.reset(log)
    app.append(Done(), to="b")

    app.drain(threads=1)
    first = sorted(log.seen)
    log.seen.clear()
    app.groups.reset(log)
    app.append(Done(), to="a")
    app.groups.reset(log)
    app.drain()

    assert first == [
        ("a", 1, True),
        ("a", 2, True),
        ("a", 3, False),
        ("b", 1, True),
        ("b", 2, False),
    ]
    assert sorted(log.seen) == [
        ("a", 1, True),
        ("a", 2, True),
        ("a", 3, True),
        ("a", 4, False),
        ("b", 1, True),
        ("b", 2, True),
    ]


def test_a_reset_actor_decides_nothing_again(app_on: AppFactory) -> None:
    """I6: a command is decided unless it is replaying."""
    app = app_on(Doer)
    app.dispatch(Do(), to="a")
    app.drain()
    app.groups.reset(Doer)
    app.dispatch(Do(), to="a")

    app.drain()

    assert done_in(app, "a") == 2


def test_reactions_of_a_projector_do_not_run_in_a_replay_but_its_sync_does(
    app_on: AppFactory,
) -> None:
    synced: list[bool] = []

    class Totals(EventSourcedProjector[dict[str, int]], group="Totals"):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {"n": 0}

        @event
        def done(self, state: dict[str, int], event: Done) -> None:
            state["n"] += 1

        @react
        def mail(self, event: Done):  # type: ignore[no-untyped-def]
            yield Dispatch(Mail(), to="mail")

        def sync(self, state: dict[str, int], batch: Batch) -> None:
            synced.append(batch.replaying)

    app = app_on(Totals)
    app.append(Done(), to="a")
    app.drain()
    app.groups.reset(Totals)

    app.drain()

    assert len(list(app.read_stream("mail"))) == 1
    assert synced == [False, True]


def test_a_rebuild_starts_from_nothing_and_never_doubles_a_total(app_on: AppFactory) -> None:
    cleared: list[list[str]] = []

    class Totals(RowCounts, group="Totals"):
        def clear(self, stream_ids: Sequence[str], connection: object) -> None:
            cleared.append(list(stream_ids))

        @event
        def done(self, row: RowCount, event: Done) -> None:
            row.count += 1

    totals = Totals()
    app = app_on(totals, settings=Settings(max_messages=2))
    app.append([Done()] * 0 + [Done(), Done(), Done()], to="a")
    app.drain()
    before = dict(totals.rows)

    app.groups.reset(totals)
    app.append(Done(), to="a")
    app.drain()

    assert before == {"a": 3}
    assert totals.rows == {"a": 4}
    assert cleared == [["a"]]


def test_a_reset_says_how_far_it_is(app_on: AppFactory) -> None:
    log = Log()
    app = app_on(log)
    for n in range(7):
        app.append(Done(), to=f"s-{n}")
    app.drain()
    told: list[tuple[int, int]] = []

    result = app.groups.reset(log, progress=lambda p: told.append((p.done, p.total)))

    assert (result.done, result.total) == (7, 7)
    assert told[-1] == (7, 7)


def test_a_reset_of_one_stream_leaves_the_others(app_on: AppFactory) -> None:
    log = Log()
    app = app_on(log)
    app.append(Done(), to="a")
    app.append(Done(), to="b")
    app.drain()
    log.seen.clear()

    app.groups.reset(log, streams=["b"])
    app.drain()

    assert log.seen == [("b", 1, True)]


def test_a_parked_stream_that_is_reset_starts_anew(app_on: AppFactory) -> None:
    log = Log()
    app = app_on(log, settings=Settings(errors=ErrorPolicy(retries=0)))
    app.append(Done(), to="a")
    app.drain()
    app.groups.reset(log)

    app.drain()

    assert app.groups.status(log).parked == 0

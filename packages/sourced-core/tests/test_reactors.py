"""Plain reactors: handlers that ask by name for what they want, and the protocol below them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sourced import (
    Ack,
    App,
    Append,
    Batch,
    Command,
    Dispatch,
    Event,
    Fail,
    History,
    Message,
    Outcome,
    Outcomes,
    Reactor,
    ReactorProtocol,
    Sync,
    on,
)
from sourced._outcomes import Yielded
from sourced.errors import UsageError
from sourced_testing._list_stream import ListStream, appended, handled, only


class Started(Event, type="reactors.started"):
    pass


class Placed(Event, type="reactors.placed"):
    total: int = 0


class Follow(Command, type="reactors.follow"):
    pass


class Bad(Exception):  # noqa: N818 - whatever users raise
    pass


def test_a_reactor_handles_the_messages_of_its_annotations() -> None:
    class Telemetry(Reactor):
        def __init__(self) -> None:
            self.seen: list[str] = []

        @on
        def log(self, event: Started | Placed) -> None:
            self.seen.append(event.meta.type)

        @on
        def watch(self, command: Follow) -> None:
            self.seen.append("a command")

    telemetry = Telemetry()

    outcomes = handled(telemetry, ListStream("o", Started(), Placed(), Follow()).batch())

    assert Telemetry.handles == (Started, Placed, Follow)
    assert telemetry.seen == ["reactors.started", "reactors.placed", "a command"]
    assert outcomes == [Ack(1), Ack(2), Ack(3)]


def test_handlers_are_given_what_they_ask_for_by_name() -> None:
    class Curious(Reactor):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        @on
        def placed(self, event: Placed, *, history: History, replaying: bool, batch: Batch) -> None:
            self.seen.append(([type(m) for m in history], replaying, len(batch.messages)))

        @on
        def started(self, event: Started, *, replaying: bool) -> None:
            self.seen.append(replaying)

    curious = Curious()
    stream = ListStream("o", Follow(), Started(), Placed(), Placed())

    handled(curious, stream.batch(after=1, upto=3, replay_until=2))

    assert curious.seen == [True, ([Follow, Started, Placed], False, 2)]


def test_history_is_read_only_when_looked_at() -> None:
    class Lazy(Reactor):
        @on
        def placed(self, event: Placed, *, history: History) -> None: ...

    stream = ListStream("o", Placed())

    handled(Lazy(), stream.batch())

    assert stream.reads == []


def test_messages_may_be_yielded_returned_and_dispatched() -> None:
    class Sending(Reactor, group="sending"):
        @on
        def started(self, event: Started) -> Yielded:
            yield Follow()
            yield Dispatch(Follow(), to="elsewhere")

        @on
        def placed(self, event: Placed) -> Message:
            return Follow()

    outcomes = handled(Sending(), ListStream("o", Started(), Placed()).batch(group="sending"))

    assert outcomes == [
        Append(Follow(), "o"),
        Append(Follow(), "elsewhere"),
        Ack(1),
        Append(Follow(), "o"),
        Ack(2),
    ]
    assert appended(outcomes)[0].meta["producer"] == "sending"


def test_a_failing_handler_keeps_what_came_before_it() -> None:
    class Failing(Reactor):
        @on
        def placed(self, event: Placed) -> Yielded:
            yield Follow()
            if event.total == 13:
                raise Bad

    outcomes = handled(Failing(), ListStream("o", Placed(), Placed(total=13), Placed()).batch())

    assert [type(outcome) for outcome in outcomes] == [Append, Ack, Fail]
    assert only(Fail, outcomes).seq == 2


def test_a_handler_with_connection_runs_inside_the_commit() -> None:
    class Writing(Reactor):
        def __init__(self) -> None:
            self.rows: list[tuple[object, int, bool]] = []

        @on
        def placed(self, event: Placed, *, connection: object, replaying: bool) -> None:
            self.rows.append((connection, event.total, replaying))

    writing = Writing()

    outcomes = handled(writing, ListStream("o", Placed(total=1), Placed(total=2)).batch())
    assert [type(outcome) for outcome in outcomes] == [Sync, Ack, Sync, Ack]
    assert writing.rows == []
    run_syncs(outcomes)

    assert writing.rows == [("c", 1, False), ("c", 2, False)]


def test_a_handler_with_connection_cannot_add_messages() -> None:
    class Wrong(Reactor):
        @on
        def placed(self, event: Placed, *, connection: object) -> Message:
            return Follow()

    outcomes = handled(Wrong(), ListStream("o", Placed()).batch())

    with pytest.raises(UsageError, match="inside the commit"):
        run_syncs(outcomes)


def test_an_async_handler_with_connection_is_awaited_by_the_engine() -> None:
    class Slow(Reactor):
        def __init__(self) -> None:
            self.rows: list[int] = []

        @on
        async def placed(self, event: Placed, *, connection: object) -> None:
            await asyncio.sleep(0)
            self.rows.append(event.total)

    slow = Slow()

    waiting: Any = only(Sync, handled(slow, ListStream("o", Placed(total=3)).batch())).run("c")
    asyncio.run(waiting)

    assert slow.rows == [3]


def test_async_handlers_make_a_reactor_a_coroutine() -> None:
    class Slow(Reactor):
        @on
        async def placed(self, event: Placed) -> Any:
            await asyncio.sleep(0)
            yield Follow()

    outcomes = handled(Slow(), ListStream("o", Placed()).batch())

    assert Slow.handles_concurrently
    assert appended(outcomes) == [Follow()]


def test_subclasses_inherit_and_override() -> None:
    seen = []

    class Telemetry(Reactor):
        @on
        def started(self, event: Started) -> None:
            seen.append("first")

        @on
        def placed(self, event: Placed) -> None:
            seen.append("placed")

    class More(Telemetry):
        @on
        def started(self, event: Started) -> None:
            super().started(event)
            seen.append("second")

    handled(More(), ListStream("o", Started(), Placed()).batch())

    assert seen == ["first", "second", "placed"]


# --- the protocol ---------------------------------------------------------------------------------


class Bare:
    """Fits the protocol, and inherits nothing."""

    group = "bare"
    handles = (Placed,)

    def __init__(self) -> None:
        self.seen: list[int] = []

    def handle_batch(self, batch: Batch) -> Outcomes:
        outcomes: list[Outcome] = []
        for message in batch.messages:
            assert isinstance(message, Placed)
            self.seen.append(message.total)
            outcomes.append(Ack(message.meta.seq or 0))
        return outcomes


def test_anything_that_fits_the_protocol_may_be_registered() -> None:
    bare = Bare()
    fits: ReactorProtocol = bare
    app = App()
    app.register(fits)
    app.append([Placed(total=1), Placed(total=2)], to="o")

    app.drain()

    assert bare.seen == [1, 2]


def test_all_our_reactors_fit_the_protocol() -> None:
    class Some(Reactor):
        @on
        def placed(self, event: Placed) -> None: ...

    fits: ReactorProtocol = Some()

    assert fits.group.endswith("Some")


def run_syncs(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Sync):
            outcome.run("c")

"""Who keeps a stream locked for long holds up that stream, and no other (T11, T19)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from sourced import App, Command, Event, Reactor, on
from sourced._outcomes import Dispatch
from sourced._store import StreamCommit, WorkerInfo
from sourced.errors import StreamLockedError
from sourced_postgres import PostgresStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import message


class Ask(Command, type="locked_streams.ask"):
    number: int


class Told(Event, type="locked_streams.told"):
    number: int


class Answers(Reactor, group="Answers"):
    """Handles a command by an event, in its own stream or in another one."""

    @on
    def answer(self, command: Ask) -> Iterator[Dispatch[Told]]:
        to = "answers" if command.number == 7 else f"answer-{command.number}"
        yield Dispatch(Told(number=command.number), to=to)


@pytest.fixture
def app(store: PostgresStore, clock: FakeClock) -> App:
    app = App(store, clock=clock)
    app.register(Answers)
    return app


@contextmanager
def kept_locked(store: PostgresStore, url: str, stream_id: str) -> Iterator[None]:
    """Somebody has written to a stream and does other things before it commits."""
    with psycopg.connect(url) as connection:
        store.bind(connection).append([message(stream_id, "unhandled")])
        yield


@pytest.mark.parametrize("locked", ["ask-3", "answers"], ids=["its own", "one it writes to"])
def test_all_streams_of_a_batch_are_handled_but_the_one_that_waits_for_a_locked_one(
    app: App, store: PostgresStore, sourced_postgres: str, clock: FakeClock, locked: str
) -> None:
    for number in range(10):
        app.dispatch(Ask(number=number), to=f"ask-{number}")
    waits = "ask-3" if locked == "ask-3" else "ask-7"

    with kept_locked(store, sourced_postgres, locked):
        assert app.drain().handled == 9
        (left,) = store.inspect.deliveries(group="Answers")
        assert (left.stream_id, left.state, left.attempts) == (waits, "retrying", 0)

    clock.advance(minutes=5)
    assert app.drain().handled == 1


def test_a_commit_says_which_transactions_it_waited_for(
    store: PostgresStore, sourced_postgres: str
) -> None:
    store.register("G", ["added"])
    store.join(WorkerInfo(id="w"))
    store.append([message("a")])
    (claim,) = store.claim("G", "w")

    with kept_locked(store, sourced_postgres, "a"):
        with pytest.raises(StreamLockedError, match="pid"):
            store.commit("w", [StreamCommit(claim=claim, ack_seq=1)])
        with pytest.raises(StreamLockedError, match="pid"):
            store.commit_locked(claim, lambda _: StreamCommit(claim=claim, ack_seq=1))

    store.commit("w", [StreamCommit(claim=claim, ack_seq=1)])
    assert store.inspect.deliveries(group="G") == ()

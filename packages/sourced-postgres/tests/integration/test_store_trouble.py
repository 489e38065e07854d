"""Trouble of the database while a handler reads or writes: whose failure it is, and whose not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from pg_cluster import Cluster
from psycopg import sql

from sourced import (
    Actor,
    App,
    Batch,
    Command,
    ErrorPolicy,
    Event,
    Failure,
    StateStoredProjector,
    Unit,
    command,
    event,
)
from sourced._faults import injected
from sourced._inspect import DeliveryStatus
from sourced.errors import StatementTimeoutError, StoreUnavailableError
from sourced_postgres import PostgresStore
from sourced_testing import FakeClock

Meddle = Callable[[psycopg.Connection], object]
"""What a handler does with the store's own connection."""


class Came(Event, type="trouble.came"):
    pass


class Loading(StateStoredProjector[dict[str, int]], group="G"):
    """Reads one stream's state by itself."""

    def __init__(self, meddle: Meddle) -> None:
        self.meddle = meddle
        self.synced: list[str] = []

    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {}

    def load(self, stream_id: str, connection: psycopg.Connection) -> dict[str, int] | None:
        self.meddle(connection)
        return None

    @event
    def came(self, state: dict[str, int], event: Came) -> None:
        pass

    def sync(self, state: dict[str, int], batch: Batch) -> None:
        self.synced.append(batch.stream_id)


class LoadingMany(StateStoredProjector[dict[str, int]], group="G"):
    """Reads the states of many streams at once."""

    def __init__(self, meddle: Meddle) -> None:
        self.meddle = meddle
        self.synced: list[str] = []

    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {}

    def load_many(
        self, stream_ids: Sequence[str], connection: psycopg.Connection
    ) -> Mapping[str, dict[str, int]]:
        self.meddle(connection)
        return {}

    @event
    def came(self, state: dict[str, int], event: Came) -> None:
        pass

    def sync_many(self, states: Sequence[dict[str, int]], batches: Sequence[Batch]) -> None:
        self.synced += [batch.stream_id for batch in batches]


def app_with(store: PostgresStore, projector: Any, *streams: str) -> App:
    """An app that parks whatever fails once, with an event in each stream."""
    app = App(store, errors=ErrorPolicy(retries=0)).register(projector)
    for stream_id in streams:
        app.append(Came(), to=stream_id)
    return app


def deliveries(app: App) -> Sequence[DeliveryStatus]:
    return app.store.inspect.deliveries(group="G")


def raises(state: str) -> Meddle:
    """The server raises an error with this SQLSTATE, as it does by itself."""

    def meddle(connection: psycopg.Connection) -> None:
        connection.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")

    return meddle


def wrapped(meddle: Meddle) -> Meddle:
    """The handler makes an error of its own of what it meets."""

    def meddle_and_wrap(connection: psycopg.Connection) -> None:
        try:
            meddle(connection)
        except psycopg.Error:
            raise ValueError("what the user's own code makes of it") from None

    return meddle_and_wrap


def hidden(meddle: Meddle) -> Meddle:
    """The handler goes on as if nothing had been."""

    def meddle_and_hide(connection: psycopg.Connection) -> None:
        with suppress(psycopg.Error):
            meddle(connection)

    return meddle_and_hide


@pytest.fixture
def ends_session(observer: psycopg.Connection) -> Meddle:
    """The handler's session is ended by the server."""

    def meddle(connection: psycopg.Connection) -> None:
        observer.execute("SELECT pg_terminate_backend(%s, 10000)", [connection.info.backend_pid])
        connection.execute("SELECT")

    return meddle


def once(meddle: Meddle) -> Meddle:
    """Do it the first time only."""
    left = [meddle]

    def meddle_once(connection: psycopg.Connection) -> None:
        if left:
            left.pop()(connection)

    return meddle_once


# --- load ---------------------------------------------------------------------------------------

PROJECTORS = [Loading, LoadingMany]


@pytest.mark.parametrize("projector", PROJECTORS)
@pytest.mark.parametrize("way", [lambda meddle: meddle, wrapped], ids=["raised", "wrapped"])
@pytest.mark.parametrize("state", ["40P01", "40001"])
def test_a_deadlock_in_a_load_is_no_attempt_of_the_message(
    projector: type[Any], way: Callable[[Meddle], Meddle], state: str, store: PostgresStore
) -> None:
    """T53: as in a sync; the stream waits, and is not parked."""
    app = app_with(store, projector(way(raises(state))), "a")

    app.drain()

    assert [(one.state, one.attempts) for one in deliveries(app)] == [("retrying", 0)]


@pytest.mark.parametrize("projector", PROJECTORS)
@pytest.mark.parametrize(
    "way", [lambda meddle: meddle, wrapped, hidden], ids=["raised", "wrapped", "hidden"]
)
def test_a_connection_that_is_lost_in_a_load_is_no_attempt_of_the_message(
    projector: type[Any],
    way: Callable[[Meddle], Meddle],
    store: PostgresStore,
    ends_session: Meddle,
) -> None:
    """T8: nor does a load that hides it begin from nothing."""
    one = projector(way(ends_session))
    app = app_with(store, one, "a")

    app.drain()

    assert [(each.state, each.attempts) for each in deliveries(app)] == [("retrying", 0)]
    assert one.synced == []


def test_a_stream_whose_load_met_trouble_is_handled_a_little_later(
    store: PostgresStore, clock: FakeClock, ends_session: Meddle
) -> None:
    one = Loading(once(ends_session))
    app = app_with(store, one, "a", "b")

    app.drain()
    before = list(one.synced)
    clock.advance(1)
    app.drain()

    assert before == ["b"]
    assert one.synced == ["b", "a"]


def test_an_error_of_its_own_in_a_load_is_still_the_messages_failure(
    store: PostgresStore,
) -> None:
    """Such as a table that is not there: nobody's trouble but the code's."""
    app = app_with(store, Loading(raises("42P01")), "a")

    app.drain()

    assert [one.state for one in deliveries(app)] == ["parked"]


# --- waits that are too long ----------------------------------------------------------------------


class Syncing(StateStoredProjector[dict[str, int]], group="G"):
    """Writes one stream's rows by itself."""

    def __init__(self, meddle: Meddle) -> None:
        self.meddle = meddle
        self.synced: list[str] = []

    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {}

    def load(self, stream_id: str, connection: psycopg.Connection) -> dict[str, int] | None:
        return None

    @event
    def came(self, state: dict[str, int], event: Came) -> None:
        pass

    def sync(self, state: dict[str, int], batch: Batch) -> None:
        if batch.stream_id == "a":
            self.meddle(batch.connection)
        self.synced.append(batch.stream_id)


class SyncingMany(LoadingMany, group="G"):
    """Writes the rows of many streams at once."""

    def load_many(
        self, stream_ids: Sequence[str], connection: psycopg.Connection
    ) -> Mapping[str, dict[str, int]]:
        return {}

    def sync_many(self, states: Sequence[dict[str, int]], batches: Sequence[Batch]) -> None:
        if any(batch.stream_id == "a" for batch in batches):
            self.meddle(batches[0].connection)
        self.synced += [batch.stream_id for batch in batches]


WAITING = [Syncing, SyncingMany, Loading, LoadingMany]


@pytest.fixture
def impatient(
    opened: Callable[..., PostgresStore], url: str, clock: FakeClock
) -> Callable[..., PostgresStore]:
    """Open a store that waits for very little."""
    return partial(opened, url, clock=clock)


@pytest.fixture
def held(schema: str, cluster: Cluster) -> Iterator[tuple[psycopg.Connection, Meddle]]:
    """Somebody's idle transaction that holds a row, and a handler that wants it."""
    name = sql.Identifier(f"own_{schema}")
    with cluster.connect() as holder:
        holder.execute(sql.SQL("CREATE TABLE {} AS SELECT 0 AS number").format(name))
        update = sql.SQL("UPDATE {} SET number = number + 1").format(name)
        holder.execute("BEGIN")
        holder.execute(update)
        yield holder, lambda connection: connection.execute(update)
        holder.rollback()
        holder.execute(sql.SQL("DROP TABLE {}").format(name))


@pytest.mark.parametrize("projector", WAITING)
@pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout"])
def test_a_row_behind_somebodys_idle_transaction_costs_no_attempt_and_no_other_stream(
    projector: type[Any],
    limit: str,
    impatient: Callable[..., PostgresStore],
    clock: FakeClock,
    held: tuple[psycopg.Connection, Meddle],
) -> None:
    """T19: and when the row is free the stream goes on."""
    holder, wants = held
    one = projector(wants)
    app = app_with(impatient(**{limit: timedelta(seconds=0.1)}), one, "a")
    if projector in (Syncing, SyncingMany):
        app.append(Came(), to="b")

    app.drain()
    states = [(each.stream_id, each.state, each.attempts) for each in deliveries(app)]
    error = deliveries(app)[0].error or ""
    holder.rollback()
    clock.advance(1)
    app.drain()

    assert states == [("a", "retrying", 0)]
    assert "StatementTimeoutError" in error
    assert limit.replace("_", " ") in error
    assert deliveries(app) == ()


@pytest.mark.parametrize("projector", WAITING)
def test_a_statement_that_waits_too_long_each_time_is_counted_in_the_end(
    projector: type[Any], store: PostgresStore, clock: FakeClock
) -> None:
    """After ten in a row, with the error that the server gave."""
    seen: list[Failure] = []
    one = projector(raises("55P03"))
    app = App(store, errors=ErrorPolicy(retries=0, on_park=seen.append)).register(one)
    app.append([Came(), Came()], to="a")

    for _ in range(10):
        app.drain()
        clock.advance(60)
    before = [(each.state, each.attempts) for each in deliveries(app)]
    app.drain()

    assert before == [("ready", 0)]
    assert [each.state for each in deliveries(app)] == ["parked"]
    assert [type(failure.exception) for failure in seen] == [psycopg.errors.LockNotAvailable]


def test_a_handling_now_whose_sync_waits_too_long_says_so(
    impatient: Callable[..., PostgresStore], held: tuple[psycopg.Connection, Meddle]
) -> None:
    _, wants = held
    store = impatient(lock_timeout=timedelta(seconds=0.1))
    app = app_with(store, Syncing(wants))

    with pytest.raises(StatementTimeoutError, match="lock timeout") as refused:
        Unit(app, "G").handle(Came(), to="a")

    assert isinstance(refused.value.__cause__, psycopg.errors.LockNotAvailable)


# --- under a stream's lock ------------------------------------------------------------------------


class Do(Command, type="trouble.do"):
    pass


class Done(Event, type="trouble.done"):
    pass


class Doing(Actor[int], group="G"):
    """Decides, and writes rows of its own: under the stream's lock as it is told to."""

    def __init__(self, meddle: Meddle) -> None:
        self.meddle = meddle
        self.is_locked = False

    @command
    def do(self, state: int, cmd: Do) -> Iterator[Done]:
        yield Done()

    @event
    def done(self, state: int, event: Done) -> None:
        pass

    def sync(self, state: int, batch: Batch) -> None:
        if self.is_locked:
            self.meddle(batch.connection)


def drained_under_the_lock(app: App, doing: Doing) -> None:
    """Drain while somebody else appends before each commit, until the stream is locked."""

    def interfere(point: str) -> None:
        doing.is_locked = doing.is_locked or point == "commit.locked"
        if point == "handle.after_before_commit":
            app.append(Done(), to="a")

    with injected(interfere):
        app.drain()


def test_a_deadlock_under_a_streams_lock_is_tried_again(store: PostgresStore) -> None:
    """T53: as without it; what is decided again counts once."""
    doing = Doing(once(raises("40P01")))
    app = App(store, errors=ErrorPolicy(retries=0)).register(doing)
    app.dispatch(Do(), to="a")

    drained_under_the_lock(app, doing)

    assert deliveries(app) == ()
    assert [type(one) for one in app.read_stream("a")].count(Done) == 10 + 1


@pytest.mark.parametrize("meddle", ["40P01", "session"])
def test_trouble_under_a_streams_lock_gives_the_stream_back_uncounted(
    meddle: str, store: PostgresStore, ends_session: Meddle
) -> None:
    """T8: and it is handled when the trouble is over."""
    doing = Doing(ends_session if meddle == "session" else raises(meddle))
    app = App(store, errors=ErrorPolicy(retries=0)).register(doing)
    app.dispatch(Do(), to="a")

    with pytest.raises(StoreUnavailableError):
        drained_under_the_lock(app, doing)
    given_back = [(one.state, one.attempts) for one in deliveries(app)]
    doing.meddle = lambda connection: None
    app.drain()

    assert given_back == [("ready", 0)]
    assert deliveries(app) == ()

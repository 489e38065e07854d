"""Statements of a handler's own that find their database locked: no attempt of its message."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from sourced import App, Batch, ErrorPolicy, Event, StateStoredProjector, Unit, event
from sourced.errors import StatementTimeoutError
from sourced_testing import FakeClock


class Came(Event, type="locked.came"):
    pass


class Elsewhere(StateStoredProjector[dict[str, int]], group="G"):
    """Reads or writes a file of the user's own beside the store's."""

    def __init__(self, file: Path, place: str) -> None:
        self.engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 0.01})
        self.place = place

    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {}

    def load(self, stream_id: str, connection: Connection) -> dict[str, int] | None:
        if self.place == "load":
            self.count()
        return None

    @event
    def came(self, state: dict[str, int], event: Came) -> None:
        pass

    def sync(self, state: dict[str, int], batch: Batch) -> None:
        if self.place == "sync":
            self.count()

    def count(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE counts SET number = number + 1"))


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    """A database of the user's own."""
    file = tmp_path / "own.db"
    own = sqlite3.connect(file)
    own.executescript("CREATE TABLE counts (number integer); INSERT INTO counts VALUES (0)")
    own.close()
    return file


@pytest.fixture
def holder(own_file: Path) -> Iterator[sqlite3.Connection]:
    """Somebody who holds its lock."""
    holder = sqlite3.connect(own_file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    yield holder
    holder.close()


@pytest.mark.parametrize("place", ["load", "sync"])
def test_a_database_that_somebody_holds_locked_costs_no_attempt_of_the_message(
    place: str, url: str, clock: FakeClock, own_file: Path, holder: sqlite3.Connection
) -> None:
    """Up to ten times in a row; then it is a failure like others."""
    projector = Elsewhere(own_file, place)
    with App(url, clock=clock, errors=ErrorPolicy(retries=0)) as app:
        app.register(projector).install()
        app.append(Came(), to="a")

        states, errors = [], []
        for _ in range(11):
            app.drain()
            (row,) = app.store.inspect.deliveries(group="G")
            states.append((row.state, row.attempts))
            errors.append(row.error or "")
            clock.advance(60)
        projector.engine.dispose()

    assert states == [*[("retrying", 0)] * 10, ("parked", 1)]
    assert all("database is locked" in error for error in errors)


def test_what_a_sync_or_load_waited_for_is_named_to_who_handles_now(
    url: str, clock: FakeClock, own_file: Path, holder: sqlite3.Connection
) -> None:
    projector = Elsewhere(own_file, "sync")
    with App(url, clock=clock) as app:
        app.register(projector).install()

        with pytest.raises(StatementTimeoutError, match="database is locked"):
            Unit(app, "G").handle(Came(), to="a")
        projector.engine.dispose()

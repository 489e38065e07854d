"""How many round trips it takes to write what was handled now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from tcp_proxy import Link, Proxy

from sourced import Actor, App, Batch, Command, Event, StateStoredProjector, Unit, command, event
from sourced_postgres import PostgresStore, open_store
from sourced_testing import FakeClock


class Add(Command, type="trips.add"):
    pass


class Added(Event, type="trips.added"):
    pass


class Counter(Actor[dict[str, int]], group="Counter"):
    @command
    def add(self, state: dict[str, int], cmd: Add) -> Iterator[Added]:
        yield Added()

    @event
    def added(self, state: dict[str, int], event: Added) -> None:
        state["count"] = state.get("count", 0) + 1


class Written(StateStoredProjector[dict[str, int]], group="Written"):
    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {}

    def load(self, stream_id: str, connection: psycopg.Connection) -> dict[str, int] | None:
        return None

    @event
    def added(self, state: dict[str, int], event: Added) -> None:
        pass

    def sync(self, state: dict[str, int], batch: Batch) -> None:
        batch.connection.execute("SELECT 'a sync'")


@pytest.fixture
def app(store: PostgresStore, proxied_url: str, clock: FakeClock) -> Iterator[App]:
    """An app behind the proxy, with its connections open and nothing to announce any more."""
    assert store.installed()
    app = App(open_store(proxied_url, clock=clock, prepare=False, hints=False), clock=clock)
    app.register(Counter, Written).install()
    app.store.now()
    yield app
    app.close()


def writes(proxy: Proxy, call: Any) -> list[bytes]:
    """Make a call; return the requests of those of its round trips that write or end something."""
    sent: list[bytes] = []

    def note(link: Link, _number: int) -> None:
        sent.append(link.last_request)

    proxy.watch(note)
    call()
    proxy.watch(None)
    words = (b"handle_now", b"BEGIN", b"COMMIT", b"a sync")
    return [request for request in sent if any(word in request for word in words)]


def test_a_command_that_is_handled_now_is_written_in_one_round_trip(app: App, proxy: Proxy) -> None:
    (only,) = writes(proxy, lambda: app.handle(Add(), to="a"))

    assert b"handle_now" in only
    assert b"BEGIN" not in only
    assert len(list(app.read_stream("a"))) == 2


def test_a_unit_without_syncs_is_written_in_one_round_trip(app: App, proxy: Proxy) -> None:
    (only,) = writes(proxy, lambda: Unit(app, Counter).handle(Add(), to="a"))

    assert b"handle_now" in only
    assert b"BEGIN" not in only


def test_a_unit_with_a_sync_takes_two_beside_the_syncs_own(app: App, proxy: Proxy) -> None:
    begun, own, written = writes(proxy, lambda: Unit(app, Counter, Written).handle(Add(), to="a"))

    assert b"BEGIN" in begun
    assert b"a sync" in own
    assert b"handle_now" in written
    assert b"COMMIT" in written

"""Health of workers whose server hangs or is away: alive all the while, ready when it is back."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from tcp_proxy import Proxy

from sourced import App, Command, Reactor, Settings, on
from sourced.runtime import Supervisor, _pages
from sourced_postgres import PostgresStore

PATIENCE = 30.0
OFTEN = Settings(poll_interval=timedelta(milliseconds=20))


class Note(Command, type="pg_health.note"):
    pass


class Notes(Reactor, group="Notes"):
    def __init__(self) -> None:
        self.seen = threading.Semaphore(0)

    @on
    def note(self, message: Note) -> None:
        self.seen.release()


def ask(url: str, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def await_status(url: str, status: int) -> Any:
    """Ask whether it is ready until it answers so, and say what it said."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        found, answer = ask(url, "/readyz")
        if found == status:
            return answer
        pause.wait(0.05)
    pytest.fail(f"it never was {status}")


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def health(
    store: PostgresStore,
    opened: Callable[..., PostgresStore],
    proxied_url: str,
    notes: Notes,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """Where workers serve their health, whose way to the server is the proxy."""
    monkeypatch.setattr(_pages, "PATIENCE", 0.1)
    monkeypatch.setattr(_pages, "READY_FRESH", 0.05)
    monkeypatch.setattr(_pages, "HANGING", 0.3)
    store.now()  # its clock stands where the tests' clock does
    app = App(opened(proxied_url), settings=OFTEN).register(notes)
    supervisor = Supervisor(app, health="127.0.0.1:0")
    thread = threading.Thread(target=supervisor.run, daemon=True)
    thread.start()
    pause = threading.Event()
    while supervisor.health_url is None:
        assert thread.is_alive()
        pause.wait(0.01)
    yield supervisor.health_url
    supervisor.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def stalled(proxy: Proxy) -> None:
    proxy.stall()


def refused(proxy: Proxy) -> None:
    proxy.stall()
    proxy.cut()


@pytest.mark.parametrize("trouble", [stalled, refused])
def test_workers_are_alive_though_the_server_is_not_and_ready_when_it_is_back(
    health: str, proxy: Proxy, store: PostgresStore, notes: Notes, trouble: Callable[[Proxy], None]
) -> None:
    """T32, as probes see it."""
    await_status(health, 200)

    trouble(proxy)
    answer = await_status(health, 503)
    alive, _ = ask(health, "/livez")
    proxy.cut()
    proxy.resume()
    await_status(health, 200)

    assert alive == 200
    assert "not answered" in answer["reason"] or "StoreUnavailableError" in answer["reason"]
    assert "hunter2" not in str(answer)
    App(store).register(Notes()).dispatch(Note(), to="s")
    assert notes.seen.acquire(timeout=PATIENCE)

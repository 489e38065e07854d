"""The listener: cut, silent or without a server, it comes back by itself; nothing depends on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from pg_cluster import Cluster
from tcp_proxy import Link, Proxy

from sourced import App, Command, Reactor, Settings, on
from sourced.runtime import Supervisor
from sourced_postgres import PostgresStore
from sourced_postgres._listener import Listener
from sourced_testing.conformance._given import message

PATIENCE = 20.0
HINTED = "G"


class Heard:
    """A subscriber that remembers what it heard, and that can be waited for."""

    def __init__(self) -> None:
        self.hints: list[frozenset[str]] = []
        self._changed = threading.Condition()

    def __call__(self, groups: frozenset[str]) -> None:
        with self._changed:
            self.hints.append(groups)
            self._changed.notify_all()

    def await_more(self, than: int = 0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.hints) > than, PATIENCE), "no hint came"


@pytest.fixture
def writer(store: PostgresStore, opened: Callable[..., PostgresStore], url: str) -> PostgresStore:
    """Another process's store, by the way that nobody cuts."""
    store.now()
    store.register(HINTED, ["added"])
    return opened(url)


@pytest.fixture
def listening(
    writer: PostgresStore, opened: Callable[..., PostgresStore], proxied_url: str
) -> PostgresStore:
    """A store that listens by way of the proxy; nothing else is done with it."""
    assert writer.installed()
    return opened(proxied_url, application_name="listening")


@pytest.fixture
def heard(listening: PostgresStore) -> Iterator[Heard]:
    """A subscriber that has heard one hint of the writer's."""
    heard = Heard()
    end = listening.subscribe(heard)
    yield heard
    end()


def await_hint(writer: PostgresStore, heard: Heard) -> None:
    """Append something, and return when the subscriber has heard of it."""
    before = len(heard.hints)
    writer.append([message(f"s{before}-{time.monotonic()}")])
    heard.await_more(before)


def by_terminating(observer: psycopg.Connection, proxy: Proxy) -> None:
    ended = observer.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE application_name = 'listening'"
    ).fetchall()
    assert len(ended) == 1


def by_cutting(observer: psycopg.Connection, proxy: Proxy) -> None:
    (link,) = proxy.links
    link.cut()


@pytest.mark.parametrize("ending", [by_terminating, by_cutting])
def test_a_listener_that_was_cut_off_comes_back_and_wakes_everything_once(
    writer: PostgresStore,
    listening: PostgresStore,
    heard: Heard,
    observer: psycopg.Connection,
    proxy: Proxy,
    ending: Callable[[psycopg.Connection, Proxy], None],
) -> None:
    """T29: for what it did not hear meanwhile."""
    await_hint(writer, heard)
    before = len(heard.hints)

    ending(observer, proxy)
    heard.await_more(before)

    assert heard.hints[before:] == [frozenset({HINTED})]
    await_hint(writer, heard)
    assert len(heard.hints) == before + 2
    assert listening.reconnects == 1


@pytest.fixture
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that asks more often whether it is alive."""
    monkeypatch.setattr(Listener, "WAIT", 0.05)
    monkeypatch.setattr(Listener, "PROBE", 0.1)
    monkeypatch.setattr(Listener, "ANSWER", 0.3)
    monkeypatch.setattr(Listener, "LONGEST", 0.2)


def test_a_listener_notices_that_nobody_answers_any_more(
    attentive: None, writer: PostgresStore, heard: Heard, proxy: Proxy
) -> None:
    """T30: its connection is open and says nothing; another one hears again."""
    await_hint(writer, heard)
    before = len(heard.hints)
    (silent,) = proxy.links

    silent.stall()
    heard.await_more(before)

    assert set(proxy.links) - {silent}
    await_hint(writer, heard)


def test_a_listener_whose_question_about_a_hint_is_not_answered_comes_back(
    attentive: None, writer: PostgresStore, heard: Heard, proxy: Proxy
) -> None:
    """T30: silent from the moment at which it asks for names on."""
    await_hint(writer, heard)
    before = len(heard.hints)
    (silent,) = proxy.links
    proxy.watch(lambda link, _number: link.stall() if link is silent else None)

    writer.append([message("unheard")])
    heard.await_more(before)

    assert set(proxy.links) - {silent}
    await_hint(writer, heard)


def test_a_listener_that_finds_nobody_goes_on_trying_and_says_so_once(
    attentive: None,
    writer: PostgresStore,
    heard: Heard,
    cluster: Cluster,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T32: while the server is away."""
    caplog.set_level(logging.INFO, logger="sourced.postgres")
    await_hint(writer, heard)
    before = len(heard.hints)

    cluster.stop()
    attempts: list[float] = []
    connect = psycopg.connect

    def counted(*args: object, **more: object) -> object:
        attempts.append(time.monotonic())
        return connect(*args, **more)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(psycopg, "connect", counted)
    deadline = time.monotonic() + PATIENCE
    while len(attempts) < 5:
        assert time.monotonic() < deadline, "it has given up"
    monkeypatch.setattr(psycopg, "connect", connect)
    cluster.start()
    heard.await_more(before)

    texts = [record.getMessage() for record in caplog.records if "listen" in record.getMessage()]
    assert len(texts) == 2
    assert "hunter2" not in "".join(texts)
    await_hint(writer, heard)


def test_a_store_whose_listener_hangs_is_closed_all_the_same(
    attentive: None, listening: PostgresStore, heard: Heard, proxy: Proxy
) -> None:
    proxy.stall()

    began = time.monotonic()
    listening.close()

    assert time.monotonic() - began < 5
    proxy.resume()


# --- the runtime, with and without ----------------------------------------------------------------


class Note(Command, type="listening.note"):
    text: str


class Recorder(Reactor, group="Recorder"):
    """Remembers what it handled, and when."""

    def __init__(self) -> None:
        self.seen: dict[str, float] = {}
        self._changed = threading.Condition()

    @on
    def note(self, message: Note) -> None:
        with self._changed:
            self.seen[message.text] = time.monotonic()
            self._changed.notify_all()

    def await_text(self, text: str) -> float:
        """Return when it was handled, as soon as it is."""
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.seen, PATIENCE), f"no {text!r}"
            return self.seen[text]


@contextmanager
def supervised(app: App) -> Iterator[None]:
    """Let workers run in threads."""
    supervisor = Supervisor(app, threads=1)
    running = threading.Thread(target=supervisor.run)
    running.start()
    try:
        yield
    finally:
        supervisor.stop()
        running.join(PATIENCE)
        assert not running.is_alive()


def latency(sender: App, recorder: Recorder, text: str) -> float:
    """Dispatch from another process's app; return how long it took until it was handled."""
    began = time.monotonic()
    sender.dispatch(Note(text=text), to=text)
    return recorder.await_text(text) - began


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


Working = Callable[[timedelta], App]


@pytest.fixture
def working(
    attentive: None,
    writer: PostgresStore,
    opened: Callable[..., PostgresStore],
    proxied_url: str,
    recorder: Recorder,
) -> Working:
    """An app by way of the proxy that polls as often as it is told."""

    def make(poll: timedelta) -> App:
        app = App(opened(proxied_url), settings=Settings(poll_interval=poll))
        app.register(recorder)
        app.ready()
        return app

    return make


@pytest.fixture
def sender(opened: Callable[..., PostgresStore], url: str) -> App:
    """Another process's app, by the way that nobody cuts."""
    return App(opened(url))


def test_work_is_found_within_a_poll_while_the_listener_is_away(
    door: Door, working: Working, recorder: Recorder, sender: App
) -> None:
    """T29."""
    poll = timedelta(seconds=0.2)
    with supervised(working(poll)):
        latency(sender, recorder, "before")
        with door.shut():
            away = [latency(sender, recorder, f"away-{number}") for number in range(5)]

    assert max(away) < 5  # a poll has jitter, and the machine other things to do


def test_hints_are_followed_again_once_the_listener_is_back(
    door: Door, working: Working, recorder: Recorder, sender: App
) -> None:
    """T29: also to what came while it was away; here nothing would be found by polling."""
    with supervised(working(timedelta(hours=1))):
        latency(sender, recorder, "before")

        with door.shut():
            sender.dispatch(Note(text="away"), to="away")
        recorder.await_text("away")

        for number in range(5):
            latency(sender, recorder, f"back-{number}")


class Door:
    """Lets no listener through while it is shut; all else may pass."""

    def __init__(self, proxy: Proxy) -> None:
        self._is_shut = False
        self._listener: Link | None = None
        proxy.watch(self._passes)

    def _passes(self, link: Link, _number: int) -> None:
        if b"LISTEN" in link.last_request:
            self._listener = link
            if self._is_shut:
                link.cut()

    @contextmanager
    def shut(self) -> Iterator[None]:
        self._is_shut = True
        assert self._listener is not None
        self._listener.cut()
        yield
        self._is_shut = False


@pytest.fixture
def door(proxy: Proxy) -> Door:
    return Door(proxy)


def test_everything_works_without_hints(
    writer: PostgresStore,
    opened: Callable[..., PostgresStore],
    url: str,
    observer: psycopg.Connection,
) -> None:
    """T31: polling finds the work; nobody listens and nobody notifies."""
    recorder = Recorder()
    often = Settings(poll_interval=timedelta(milliseconds=50))
    working = App(opened(url, hints=False, application_name="quiet"), settings=often)
    working.register(recorder)
    working.ready()
    sender = App(opened(url, hints=False, application_name="quiet"))

    with supervised(working):
        for number in range(5):
            latency(sender, recorder, f"n{number}")
        queries = observer.execute(
            "SELECT query FROM pg_stat_activity WHERE application_name = 'quiet'"
        ).fetchall()

    assert queries
    assert not [query for (query,) in queries if "LISTEN" in query or "notify" in query]


# --- large appends --------------------------------------------------------------------------------


@pytest.mark.parametrize("many", ["streams", "types"])
def test_an_append_of_ten_thousand_streams_or_types_notifies_without_error(
    writer: PostgresStore, heard: Heard, many: str
) -> None:
    """T33: the payload names groups, never what was appended."""
    before = len(heard.hints)
    if many == "streams":
        new = [message(f"many-{number}") for number in range(10_000)]
    else:
        writer.register("Types", [f"type-{number}" for number in range(10_000)])
        new = [message("many", f"type-{number}") for number in range(10_000)]

    appended = writer.append(new)
    heard.await_more(before)

    assert len(appended.messages) == 10_000
    assert appended.groups == ({HINTED} if many == "streams" else {"Types"})
    assert appended.groups & frozenset().union(*heard.hints[before:])

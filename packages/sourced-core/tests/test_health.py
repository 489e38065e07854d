"""What a running process answers over HTTP: alive, ready, getting on, and how much."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sourced import App, Command, Reactor, Settings, on
from sourced._metrics import COUNTED, READ
from sourced._session import Session
from sourced.errors import ConfigurationError, StoreUnavailableError
from sourced.memory import MemoryStore
from sourced.memory._inspect import MemoryInspect
from sourced.runtime import Supervisor, _health, _pages
from sourced.runtime._address import address_of
from sourced.runtime._health import HealthServer
from sourced.runtime._pages import Pages
from sourced.runtime._probe import Probe
from sourced_testing import FakeClock

PATIENCE = 20.0


class Note(Command, type="health.note"):
    text: str


class Notes(Reactor, group="Notes"):
    @on
    def note(self, message: Note) -> None:
        pass


class Gate(Reactor, group="Gate"):
    """Handles a message only when it is let through; says when one has arrived."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.opened = threading.Event()

    @on
    def note(self, message: Note) -> None:
        self.arrived.set()
        assert self.opened.wait(PATIENCE)


class Trouble(MemoryStore):
    """A store that is away, or hangs, for those who ask after it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.is_away = False
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0

    def installed(self) -> bool:
        self._meet()
        return super().installed()

    @property
    def inspect(self) -> MemoryInspect:
        self._meet()
        return super().inspect

    def _meet(self) -> None:
        self.asked += 1
        assert self.answers.wait(PATIENCE)
        if self.is_away:
            raise StoreUnavailableError("gone fishing")


class Reply:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, path: str, *, method: str = "GET") -> Reply:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=PATIENCE)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())
    finally:
        connection.close()


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    return Trouble(clock)


@pytest.fixture
def app(store: Trouble, clock: FakeClock) -> Iterator[App]:
    with App(store, clock=clock).register(Notes) as app:
        yield app


@contextmanager
def served(app: App, *groups: str) -> Iterator[str]:
    """Serve an app's pages without any worker."""
    watch = Pages(app, groups or [e.group for e in app.reactors], unready=lambda: "")
    server = HealthServer(("127.0.0.1", 0), watch)
    server.start()
    try:
        yield server.url
    finally:
        server.close()


@contextmanager
def working(supervisor: Supervisor) -> Iterator[str]:
    """Run a supervisor in a thread until the block ends; give where its health is."""
    told = Told()
    logger = logging.getLogger("sourced")
    former = logger.level
    logger.addHandler(told)
    logger.setLevel(logging.INFO)
    thread = threading.Thread(target=supervisor.run, daemon=True)
    thread.start()
    try:
        assert told.arrived.wait(PATIENCE)
        assert supervisor.health_url == told.url
        await_ready(told.url)
        yield told.url
    finally:
        logger.removeHandler(told)
        logger.setLevel(former)
        supervisor.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def await_ready(url: str) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if ask(url, "/readyz").status == 200:
            return
        pause.wait(0.01)
    pytest.fail("it never was ready")


class Told(logging.Handler):
    """Waits for the line that says where health is served."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.arrived = threading.Event()
        self.url = ""

    def emit(self, record: logging.LogRecord) -> None:
        if "health is served" in record.getMessage():
            self.url = record.__dict__["url"]
            self.arrived.set()


# --- alive and ready ------------------------------------------------------------------------------


def test_running_workers_are_alive_and_ready_and_get_on(app: App) -> None:
    with working(Supervisor(app, health="127.0.0.1:0")) as url:
        replies = {path: ask(url, path) for path in ("/livez", "/readyz", "/healthz")}

    assert {path: reply.status for path, reply in replies.items()} == dict.fromkeys(replies, 200)
    assert all(reply.json["status"] == "ok" for reply in replies.values())
    assert replies["/livez"].headers["Content-Type"] == "application/json"
    assert replies["/livez"].headers["Cache-Control"] == "no-store"


def test_a_store_that_is_away_is_not_ready_but_alive(
    app: App, store: Trouble, clock: FakeClock
) -> None:
    with served(app) as url:
        store.is_away = True
        away = ask(url, "/readyz")
        alive = ask(url, "/livez")
        store.is_away = False
        clock.advance(seconds=2)
        back = ask(url, "/readyz")

    assert (away.status, away.json["reason"]) == (503, "StoreUnavailableError: gone fishing")
    assert (alive.status, back.status) == (200, 200)


def test_a_store_without_tables_is_not_ready(app: App, store: Trouble) -> None:
    store.uninstall()

    with served(app) as url:
        reply = ask(url, "/readyz")

    assert reply.status == 503
    assert "no tables" in reply.json["reason"]


def test_the_last_answer_of_a_store_that_hangs_is_served_with_its_age_and_then_it_is_not_ready(
    app: App, store: Trouble, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pages, "PATIENCE", 0.05)
    with served(app) as url:
        ask(url, "/readyz")
        clock.advance(seconds=2)
        store.answers.clear()
        asked = store.asked
        hanging = ask(url, "/readyz")
        clock.advance(seconds=10)
        gone = [ask(url, "/readyz") for _ in range(3)]
        alive, counted = ask(url, "/livez"), store.asked - asked
        store.answers.set()

    assert (hanging.status, hanging.json["age"]) == (200, 2.0)
    assert {reply.status for reply in gone} == {503}
    assert gone[0].json["reason"] == "the store has not answered for 10 s"
    assert (alive.status, counted) == (200, 1), "one call hangs, however many ask"


def test_a_store_that_never_answered_is_not_ready(
    app: App, store: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pages, "PATIENCE", 0.05)
    store.answers.clear()
    with served(app) as url:
        ready, health, metrics = (ask(url, path) for path in ("/readyz", "/healthz", "/metrics"))
        store.answers.set()

    assert (ready.status, ready.json["reason"]) == (503, "the store has not answered yet")
    assert (health.status, health.json["status"]) == (200, "unknown")
    assert samples_of(metrics)["sourced_store_up"] == {(): 0.0}


def test_as_soon_as_a_stop_is_asked_for_it_is_not_ready_while_it_finishes(
    store: Trouble, clock: FakeClock
) -> None:
    gate = Gate()
    app = App(store, clock=clock).register(gate)
    app.dispatch(Note(text="n"), to="s")
    supervisor = Supervisor(app, health="127.0.0.1:0")

    with working(supervisor) as url:
        assert gate.arrived.wait(PATIENCE)
        before = ask(url, "/readyz")
        supervisor.stop()
        after, alive = ask(url, "/readyz"), ask(url, "/livez")
        gate.opened.set()

    assert (before.status, after.status, alive.status) == (200, 503, 200)
    assert after.json["reason"] == "stopping"


def test_it_is_alive_and_not_ready_while_it_waits_for_the_store_at_the_start(
    app: App, store: Trouble
) -> None:
    """A probe that gets no answer while the store hangs would have the process killed."""
    seen: list[tuple[int, Any]] = []
    register = store.register

    def slowly(*arguments: Any, **options: Any) -> Any:
        assert supervisor.health_url is not None
        for path in ("/livez", "/readyz"):
            reply = ask(supervisor.health_url, path)
            seen.append((reply.status, reply.json.get("reason")))
        supervisor.stop()
        return register(*arguments, **options)

    store.register = slowly  # type: ignore[method-assign]
    supervisor = Supervisor(app, health="127.0.0.1:0")
    supervisor.run()

    assert seen == [(200, None), (503, "starting")]
    assert supervisor.health_url is None


# --- getting on (T57) -----------------------------------------------------------------------------


def test_ready_work_that_nobody_acks_is_red_and_names_group_and_age(
    app: App, clock: FakeClock
) -> None:
    """T57. No worker at all."""
    with served(app) as url:
        app.dispatch(Note(text="n"), to="s")
        clock.advance(seconds=59)
        green = ask(url, "/healthz")
        clock.advance(seconds=11)
        red = ask(url, "/healthz")

    assert (green.status, green.json["status"]) == (200, "ok")
    assert (red.status, red.json["status"]) == (503, "stalled")
    (group,) = red.json["groups"]
    assert (group["group"], group["pending"], group["status"]) == ("Notes", 1, "active")
    assert group["oldest_pending_seconds"] == pytest.approx(70, abs=1)


@pytest.mark.parametrize("cause", ["held by another", "stopped", "handler stuck"])
def test_it_is_red_whatever_the_cause(store: Trouble, clock: FakeClock, cause: str) -> None:
    """T57."""
    gate = Gate()
    app = App(store, clock=clock).register(gate)
    app.dispatch(Note(text="n"), to="s")
    engine, registry = app.ready()
    if cause == "held by another":
        another = Session(engine, registry)
        another.join()
        assert app.store.claim("Gate", another.worker_id)
    elif cause == "stopped":
        app.groups.stop("Gate", reason="for a reason")
    else:
        threading.Thread(target=app.drain, daemon=True).start()
        assert gate.arrived.wait(PATIENCE)

    with served(app) as url:
        clock.advance(seconds=70)
        red = ask(url, "/healthz")
        gate.opened.set()

    assert red.status == 503
    assert red.json["groups"][0]["group"] == "Gate"
    assert red.json["groups"][0].get("reason") == ("for a reason" if cause == "stopped" else None)


def test_a_long_queue_is_green_while_it_gets_shorter(app: App, clock: FakeClock) -> None:
    with served(app) as url:
        for n in range(3):
            app.dispatch(Note(text="n"), to=f"s-{n}")
        replies = []
        for _ in range(3):
            clock.advance(seconds=50)
            handle_one(app)
            replies.append(ask(url, "/healthz").status)

    assert replies == [200, 200, 200]


def test_work_that_came_just_now_after_a_long_time_of_nothing_is_green(
    app: App, clock: FakeClock
) -> None:
    with served(app) as url:
        clock.advance(hours=1)
        app.dispatch(Note(text="n"), to="s")

        assert ask(url, "/healthz").status == 200


def test_one_stream_that_is_held_does_not_make_a_group_red_that_acks_others(
    app: App, store: Trouble, clock: FakeClock
) -> None:
    engine, registry = app.ready()
    another = Session(engine, registry)
    another.join()
    app.dispatch(Note(text="held"), to="held")
    assert store.claim("Notes", another.worker_id)
    replies = []
    with served(app) as url:
        for n in range(3):
            clock.advance(seconds=50)
            app.dispatch(Note(text="n"), to=f"s-{n}")
            handle_one(app)
            replies.append(ask(url, "/healthz").status)

    assert replies == [200, 200, 200]


def test_what_another_process_acks_counts(store: Trouble, clock: FakeClock) -> None:
    mine, other = (App(store, clock=clock).register(Notes) for _ in range(2))
    with served(mine) as url:
        for n in range(3):
            mine.dispatch(Note(text="n"), to=f"s-{n}")
        ask(url, "/healthz")
        clock.advance(seconds=70)
        handle_one(other)
        green = ask(url, "/healthz").status
        clock.advance(seconds=70)
        red = ask(url, "/healthz").status

    assert (green, red) == (200, 503)


def test_work_that_was_waiting_before_the_process_began_is_given_time(
    app: App, clock: FakeClock
) -> None:
    app.dispatch(Note(text="n"), to="s")
    clock.advance(hours=1)

    with served(app) as url:
        at_first = ask(url, "/healthz").status
        clock.advance(seconds=70)
        later = ask(url, "/healthz").status

    assert (at_first, later) == (200, 503)


def test_what_waits_for_a_retry_or_is_parked_is_no_trouble(
    store: Trouble, clock: FakeClock
) -> None:
    class Failing(Reactor, group="Failing"):
        @on
        def note(self, message: Note) -> None:
            raise ValueError("no")

    app = App(store, clock=clock).register(Failing)
    app.dispatch(Note(text="n"), to="s")
    replies = []
    with served(app) as url:
        for _ in range(8):
            app.drain()
            replies.append(ask(url, "/healthz").status)
            clock.advance(seconds=30)

    assert app.groups.status("Failing").parked == 1
    assert replies == [200] * 8


def test_how_long_work_may_wait_is_a_setting(store: Trouble, clock: FakeClock) -> None:
    settings = Settings(stalled_after=timedelta(minutes=10))
    app = App(store, clock=clock, settings=settings).register(Notes)
    with served(app) as url:
        app.dispatch(Note(text="n"), to="s")
        clock.advance(seconds=9 * 60)
        green = ask(url, "/healthz").status
        clock.advance(seconds=2 * 60)
        red = ask(url, "/healthz").status

    assert (green, red) == (200, 503)


def test_a_store_that_stays_away_is_red_in_the_end(
    app: App, store: Trouble, clock: FakeClock
) -> None:
    store.is_away = True
    with served(app) as url:
        at_first = ask(url, "/healthz")
        clock.advance(seconds=70)
        later = ask(url, "/healthz")

    assert (at_first.status, at_first.json["status"]) == (200, "unknown")
    assert (later.status, later.json["reason"]) == (503, "StoreUnavailableError: gone fishing")


def handle_one(app: App) -> None:
    """Handle one stream's messages."""
    from sourced._round import Round

    engine, registry = app.ready()
    with Session(engine, registry) as session:
        Round(engine, registry.of("Notes"), session.worker_id).run(max_streams=1)


# --- metrics --------------------------------------------------------------------------------------


def samples_of(reply: Reply) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(reply.body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_metrics_are_served_as_prometheus_reads_them(app: App, clock: FakeClock) -> None:
    for n in range(3):
        app.dispatch(Note(text="n"), to=f"s-{n}")
    app.drain()
    app.dispatch(Note(text="n"), to="late")
    clock.advance(seconds=7)

    with served(app) as url:
        reply = ask(url, "/metrics")

    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples, group = samples_of(reply), (("group", "Notes"),)
    assert samples["sourced_handled_total"] == {(*group, ("type", "health.note")): 3}
    assert samples["sourced_pending_messages"] == {group: 1}
    assert samples["sourced_oldest_pending_seconds"] == {group: 7}
    assert samples["sourced_claims_held"] == {group: 0}
    assert samples["sourced_group_stopped"] == {group: 0}
    assert samples["sourced_store_up"] == {(): 1}
    assert samples["sourced_listener_reconnects_total"] == {(): 0}
    families = {family.name for family in text_string_to_metric_families(reply.body.decode())}
    assert families == {metric.name.removesuffix("_total") for metric in (*COUNTED, *READ)}


def test_the_store_is_read_for_gauges_once_in_a_while_however_often_they_are_asked_for(
    app: App, store: Trouble, clock: FakeClock
) -> None:
    app.ready()
    with served(app) as url:
        before = store.asked
        for _ in range(5):
            ask(url, "/metrics")
        often = store.asked - before
        clock.advance(seconds=6)
        ask(url, "/metrics")

    assert (often, store.asked - before) == (1, 2)


def test_nobody_asks_the_store_while_nobody_asks(app: App, store: Trouble) -> None:
    app.ready()
    before = store.asked
    with served(app) as url:
        ask(url, "/livez")

    assert store.asked == before


def test_old_gauges_are_not_served_while_the_store_is_away(
    app: App, store: Trouble, clock: FakeClock
) -> None:
    with served(app) as url:
        ask(url, "/metrics")
        store.is_away = True
        clock.advance(seconds=6)
        samples = samples_of(ask(url, "/metrics"))

    assert samples["sourced_store_up"] == {(): 0}
    assert "sourced_pending_messages" not in samples


# --- requests -------------------------------------------------------------------------------------


def test_head_has_the_headers_alone(app: App) -> None:
    with served(app) as url, connected(url) as client:
        full = ask(url, "/metrics")
        client.sendall(b"HEAD /metrics HTTP/1.0\r\n\r\n")
        head, _, body = rest_of(client).partition(b"\r\n\r\n")

    assert (head[:12], body) == (b"HTTP/1.0 200", b"")
    assert f"Content-Length: {len(full.body)}".encode() in head


def test_a_question_mark_changes_nothing(app: App) -> None:
    with served(app) as url:
        assert ask(url, "/livez?verbose=1").status == 200


def test_unknown_paths_and_methods_are_told_what_there_is(app: App) -> None:
    with served(app) as url:
        nothing, post = ask(url, "/<script>"), ask(url, "/livez", method="POST")

    assert (nothing.status, nothing.json["reason"]) == (
        404,
        "there are /livez, /readyz, /healthz, /metrics",
    )
    assert b"script" not in nothing.body
    assert (post.status, post.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\r\n\r\n", [b""]),
        (b"nonsense\r\n\r\n", [b"HTTP/1.0 400 "]),
        (b"GET /livez HTTP/9.9\r\n\r\n", [b"HTTP/1.0 505 "]),
        # What the server has not read of these may make it reset the connection.
        (b"GET " + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", [b"HTTP/1.0 414 ", b""]),
        (b"GET /livez HTTP/1.1\r\n" + b"a: b\r\n" * 1_000 + b"\r\n", [b"HTTP/1.0 431 ", b""]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [b"HTTP/1.0 400 "]),
    ],
    ids=["nothing", "no request", "no version", "long line", "many headers", "tls"],
)
def test_bad_requests_end_their_connection_and_no_other(
    app: App, sent: bytes, status: list[bytes]
) -> None:
    with served(app) as url, connected(url) as bad:
        bad.sendall(sent)
        bad.shutdown(socket.SHUT_WR)
        answer = rest_of(bad)
        good = ask(url, "/livez").status

    assert answer[:13] in status
    assert b"nonsense" not in answer
    assert good == 200


def rest_of(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while piece := connection.recv(65_536):
            answer += piece
    except ConnectionError:
        pass
    return answer


@contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    place = urlsplit(url)
    with socket.create_connection((str(place.hostname), place.port or 0), PATIENCE) as connection:
        yield connection


def test_a_client_that_says_nothing_or_little_is_cut_off_and_keeps_nobody_waiting(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A byte now and then would put the socket's own time-out off again and again.
    monkeypatch.setattr(_health._Handler, "timeout", None)
    monkeypatch.setattr(_health, "CONNECTION_SECONDS", 0.2)
    with served(app) as url, connected(url) as silent, connected(url) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\n")
        good = ask(url, "/livez").status
        ends = [rest_of(silent), rest_of(slow)]

    assert (good, ends) == (200, [b"", b""])


def test_more_connections_than_there_may_be_are_closed_at_once(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_health, "CONNECTIONS", 2)
    with served(app) as url, connected(url) as first, connected(url) as second:
        for held in (first, second):
            held.sendall(b"GET")
        with connected(url) as third:
            refused = rest_of(third)
        first.sendall(b" /livez HTTP/1.0\r\n\r\n")
        answer = rest_of(first)

    assert refused == b""
    assert b" 200 " in answer[:20]


def test_what_cannot_be_made_is_logged_and_ends_nothing(
    app: App, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> str:
        raise RuntimeError("broken")

    monkeypatch.setattr(_pages, "prometheus_text", broken)
    with served(app) as url:
        reply, alive = ask(url, "/metrics"), ask(url, "/livez")

    assert (reply.status, alive.status) == (500, 200)
    assert b"broken" not in reply.body
    assert any("could not be made" in record.getMessage() for record in caplog.records)


# --- where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:8080", ("::1", 8080)),
        (":8080", ("", 8080)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "8080", "localhost", "host:", "host:x", "host:70000", "::1:8080", "[x]:1", "a b:1"),
        *("http://localhost:80", "host:٣", "host:-1", "u@h:1", 8080, None, "host:" + "9" * 9_999),
    ],
)
def test_what_is_no_address_is_refused_before_anything_starts(app: App, text: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected an address such as"):
        address_of(text)


def test_a_supervisor_refuses_what_is_no_address(app: App) -> None:
    with pytest.raises(ConfigurationError, match="expected an address such as"):
        Supervisor(app, health="8080")


def test_a_port_that_is_in_use_is_told_and_nothing_starts(app: App) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port}: Address already in"):
            Supervisor(app, health=f"127.0.0.1:{port}").run()

    assert app.store.inspect.workers() == ()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_it_listens_on_ipv6(app: App) -> None:
    with working(Supervisor(app, health="[::1]:0")) as url:
        assert url.startswith("http://[::1]:")
        assert ask(url, "/livez").status == 200


def test_without_a_host_it_listens_on_every_address(app: App) -> None:
    with working(Supervisor(app, health=":0")) as url:
        port = urlsplit(url).port
        assert ask(f"http://127.0.0.1:{port}", "/livez").status == 200


def test_the_port_is_free_again_when_the_run_has_ended(app: App) -> None:
    with working(Supervisor(app, health="127.0.0.1:0")) as url:
        port = urlsplit(url).port

    with socket.create_server(("127.0.0.1", port or 0), reuse_port=False):
        pass


# --- the probe ------------------------------------------------------------------------------------


def test_one_call_is_out_at_a_time_and_all_who_wait_get_its_answer() -> None:
    clock, calls, go = FakeClock(), list[int](), threading.Event()

    def call() -> str:
        calls.append(1)
        assert go.wait(PATIENCE)
        return "answer"

    probe = Probe(call, fresh=1, patience=PATIENCE, monotonic=clock.monotonic)
    answers: list[str | None] = []
    threads = [threading.Thread(target=lambda: answers.append(probe.ask().value)) for _ in range(5)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(PATIENCE)

    assert (answers, len(calls)) == (["answer"] * 5, 1)

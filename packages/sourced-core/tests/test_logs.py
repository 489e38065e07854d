"""What the log says: who, what and which message, once for each change, and never a payload."""

from __future__ import annotations

import ast
import logging
import threading
from collections.abc import Callable
from dataclasses import field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import sourced
from sourced import Actor, App, Command, ErrorPolicy, Event, Reactor, Settings, command, on
from sourced._records import NewMessage
from sourced._session import Session
from sourced._store import Poll
from sourced.memory import MemoryStore
from sourced.runtime import Supervisor
from sourced_testing import FakeClock

AppFactory = Callable[..., App]

PATIENCE = 20.0
SOURCE = Path(sourced.__file__).parent
FIELDS = {
    "group",
    "stream",
    "message_id",
    "message_type",
    "correlation_id",
    "worker",
    "url",
}
SECRET = "4711-secret"


class Tell(Command, type="logs.tell"):
    secret: str


class Told(Event, type="logs.told"):
    secret: str
    count: int = 0
    counts: dict[str, int] = field(default_factory=dict)


class Failing(Reactor, group="Failing", errors=ErrorPolicy(retries=0)):
    @on
    def told(self, event: Told) -> None:
        raise ValueError("no")


def carried(record: logging.LogRecord) -> dict[str, Any]:
    """What a record carries besides its text."""
    return {name: value for name, value in vars(record).items() if name in FIELDS}


# --- who and what ---------------------------------------------------------------------------------


def test_a_failure_names_group_stream_message_type_correlation_and_worker(
    app_on: AppFactory, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_on(Failing)
    (event,) = app.append(Told(secret=SECRET), to="s-1")

    app.drain()

    (record,) = (r for r in caplog.records if r.levelno == logging.WARNING)
    worker = carried(record).pop("worker")
    assert {**carried(record), "worker": worker} == {
        "group": "Failing",
        "stream": "s-1",
        "message_id": str(event.meta.id),
        "message_type": "logs.told",
        "correlation_id": str(event.meta.correlation_id),
        "worker": worker,
    }
    assert worker


def log_calls() -> list[tuple[str, ast.Call]]:
    """Every call of the kernel's logger, with its place."""
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="logger" | "_log"))):
                    found.append((f"{file.relative_to(SOURCE)}:{node.lineno}", node))
    return found


def test_every_line_that_speaks_of_a_group_stream_or_worker_carries_it() -> None:
    calls = log_calls()
    silent = [
        place
        for place, call in calls
        if any(word in ast.unparse(call.args[0]) for word in ("group %s", "stream %s", "worker %s"))
        and not any(keyword.arg == "extra" for keyword in call.keywords)
    ]

    assert len(calls) > 15
    assert silent == []


def test_no_line_carries_anything_else() -> None:
    """Some names would overwrite a record's own, which is an error when the line is logged."""
    names = {
        (place, key.value)
        for place, call in log_calls()
        for keyword in call.keywords
        if keyword.arg == "extra"
        for node in ast.walk(keyword.value)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }

    assert len(names) > 10
    assert {name for _, name in names} <= FIELDS


# --- one line for each change ---------------------------------------------------------------------


def test_an_idle_worker_logs_nothing_however_often_it_polls(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    polls = threading.Semaphore(0)

    class Polled(MemoryStore):
        def poll(self, lease: timedelta) -> Poll:
            polls.release()
            return super().poll(lease)

    settings = Settings(poll_interval=timedelta(milliseconds=5))
    app = App(Polled(clock=clock), clock=clock, settings=settings).register(Failing)
    supervisor = Supervisor(app)
    caplog.set_level(logging.DEBUG, logger="sourced")
    thread = threading.Thread(target=supervisor.run, daemon=True)
    thread.start()

    for _ in range(4):
        assert polls.acquire(timeout=PATIENCE)
    while_idle = [record.getMessage() for record in caplog.records]
    supervisor.stop()
    thread.join(PATIENCE)

    assert while_idle == []
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == ["stopping"]


# --- never a payload ------------------------------------------------------------------------------


class Wrong(Actor[None], group="Wrong"):
    """Yields what it may not, message and all."""

    def initial_state(self, stream_id: str) -> None:
        return None

    @command
    def tell(self, state: None, cmd: Tell) -> Any:
        if cmd.secret.startswith("a"):
            yield cmd
        elif cmd.secret.startswith("b"):
            yield {"secret": cmd.secret}
        else:
            yield Told(secret=cmd.secret)


class Repeating(Reactor, group="Repeating"):
    @on
    def told(self, event: Told) -> Any:
        yield event if event.secret.startswith("d") else {"secret": event.secret}


class Listing(Reactor, group="Listing"):
    @on
    def told(self, event: Told) -> Any:
        return [event.payload]


class Pure:
    """The protocol itself, wrongly."""

    group = "Pure"
    handles = (Told,)

    def handle_batch(self, batch: Any) -> Any:
        return [{"secret": batch.messages[0].payload}]


class Strange(Pure):
    group = "Strange"

    def handle_batch(self, batch: Any) -> Any:
        return {"secret": batch.messages[0].payload}


def test_no_line_shows_a_payload_whatever_goes_wrong(
    app_on: AppFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="sourced")
    app = app_on(Wrong, Repeating, Listing, Failing, Pure(), Strange())
    for letter in "abcd":
        app.dispatch(Tell(secret=f"{letter}-{SECRET}"), to=letter, meta={"key": SECRET})
    engine, _ = app.ready()
    told = app.append(Told(secret=SECRET), to="s")[0].meta
    engine.store.append(
        [broken(told.id, f'{{"secret": "s", "count": "{SECRET}", "counts": {{"{SECRET}": "x"}}}}')]
    )

    app.drain()

    parked = {d.group for d in app.store.inspect.deliveries(states=["parked", "retrying"])}
    assert parked == {"Wrong", "Repeating", "Listing", "Failing", "Pure", "Strange"}
    text = logging.Formatter("%(message)s")
    shown = [text.format(record) + str(carried(record)) for record in caplog.records]
    assert len(shown) >= 6
    assert [line for line in shown if SECRET in line] == []


def broken(cause: Any, payload: str) -> NewMessage:
    """A message that does not decode."""
    from datetime import UTC, datetime

    from sourced import new_id

    id = new_id()
    return NewMessage(
        id=id,
        type="logs.told",
        stream_id="broken",
        payload=payload,
        meta="{}",
        created_at=datetime.now(UTC),
        causation_id=cause,
        correlation_id=cause,
    )


def test_a_worker_that_cannot_leave_says_which(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Stuck(MemoryStore):
        def leave(self, worker_id: str) -> None:
            raise OSError("gone")

    app = App(Stuck(clock=clock), clock=clock).register(Failing)
    engine, registry = app.ready()

    with Session(engine, registry) as session:
        pass

    (record,) = caplog.records
    assert carried(record) == {"worker": session.worker_id}

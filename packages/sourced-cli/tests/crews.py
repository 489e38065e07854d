"""Workers in several processes under load, what is done to them, and what they must not lose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from projects import Project

from sourced import Store
from sourced._stores import open_store

PATIENCE = 60.0
LEASE, POLL = 2.0, 0.25
STREAMS = 60

LOAD = f"""
import os, time
from datetime import timedelta
from sourced import Actor, App, Command, Dispatch, Event, Reactor, Settings, command, on

VERSION = 1
PAUSE = float(os.environ.get("LOAD_PAUSE", "0.001"))

class Count(Command, type="load.count"):
    number: int

class Counted(Event, type="load.counted"):
    number: int

class Copy(Command, type="load.copy"):
    stream: str
    number: int

class Copied(Event, type="load.copied"):
    stream: str
    number: int

class Counter(Actor[None]):
    def initial_state(self, stream_id): return None

    @command
    def count(self, state, cmd: Count):
        yield Counted(number=cmd.number)

class Copier(Reactor, group="Copier"):
    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @on
    def counted(self, event: Counted):
        stream = event.meta.stream_id
        os.write(self.file, f"{{stream}}:{{event.number}}:{{VERSION}}\\n".encode())
        time.sleep(PAUSE)
        shared = "copies-" + str(int(stream.split("-")[1]) % 7)
        yield Dispatch(Copy(stream=stream, number=event.number), to=shared)

class Copies(Actor[None]):
    def initial_state(self, stream_id): return None

    @command
    def copy(self, state, cmd: Copy):
        yield Copied(stream=cmd.stream, number=cmd.number)

settings = Settings(
    lease=timedelta(seconds={LEASE}),
    heartbeat=timedelta(seconds={LEASE / 4}),
    poll_interval=timedelta(seconds={POLL}),
    max_streams=10,
)
app = App(os.environ.get("LOAD_STORE", "sqlite:///load.db"), settings=settings)
app.register(Counter, Copier("effects.txt"), Copies)
"""

DISPATCH = """
import sys
from app import Count, app
from sourced import Dispatch

first, last, streams = map(int, sys.argv[1:])
app.install()
for begin in range(first, last + 1, 50):
    end = min(begin + 50, last + 1)
    app.dispatch_many(
        Dispatch(Count(number=n), to=f"s-{s}") for n in range(begin, end) for s in range(streams)
    )
"""


@dataclass
class Crew:
    """Workers of the load in several processes."""

    project: Project
    process: subprocess.Popen[str]
    url: str
    store: Store
    log: Path

    @property
    def said(self) -> str:
        """What they have written to stderr."""
        return self.log.read_text()

    @property
    def children(self) -> list[int]:
        """Process ids of the parent's children."""
        return children_of(self.process.pid)

    @property
    def joined(self) -> list[int]:
        """Process ids of those whose row is in the store."""
        return sorted(worker.pid for worker in self.store.inspect.workers())

    def signal(self, number: int) -> float:
        """Send the parent a signal; return when."""
        self.process.send_signal(number)
        return time.monotonic()

    def ended(self, timeout: float = PATIENCE) -> tuple[int, str]:
        """Wait for the parent's end; return its exit code and its answer."""
        out, _ = self.process.communicate(timeout=timeout)
        return self.process.returncode, out

    def left_behind(self) -> tuple[int, int, list[int]]:
        """Claims, workers, and the attempts that were counted of what nobody has."""
        rows = self.store.inspect.deliveries(limit=1_000)
        claimed = sum(row.state == "claimed" for row in rows)
        counted = [row.attempts for row in rows if row.attempts and row.state != "claimed"]
        return claimed, len(self.store.inspect.workers()), counted


@contextmanager
def crew(
    project: Project, *options: str, url: str = "", wait: int | None = None, **environment: str
) -> Iterator[Crew]:
    """Start workers; none of their processes outlives the block.

    Args:
        project: where the app is.
        options: of the command.
        url: of the store; the load's own by default.
        wait: until so many have joined.
        environment: more variables.
    """
    log = project.folder / f"log-{time.monotonic_ns()}.txt"
    here = url or f"sqlite:///{project.folder / 'load.db'}"
    store = open_store(here)
    more = {"LOAD_STORE": url} if url else {}
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "sourced_cli", "workers", *options],
            cwd=project.folder,
            env={**os.environ, **more, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    made = Crew(project, process, here, store, log)
    try:
        if wait is not None:
            await_fact(lambda: len(made.joined) >= wait, made)
        yield made
    finally:
        for pid in in_session(process.pid):  # also those whose parent is dead
            kill(pid)
        process.communicate(timeout=PATIENCE)
        store.close()


def dispatch(project: Project, first: int, last: int, url: str = "") -> None:
    """Send each stream the numbers from first to last."""
    more = {"LOAD_STORE": url} if url else {}
    subprocess.run(
        [sys.executable, "-c", DISPATCH, str(first), str(last), str(STREAMS)],
        cwd=project.folder,
        check=True,
        env={**os.environ, **more},
    )


def drained(project: Project, url: str = "") -> None:
    """Handle what is left, in one process."""
    with crew(project, "--drain", url=url) as rest:
        code, _ = rest.ended()
        assert code == 0, rest.said


def problems(running: Crew, last: int) -> list[str]:
    """Say what was lost, doubled or handled out of order, by the log alone."""
    found: dict[str, dict[str, list[int]]] = {"decided": {}, "copied": {}}
    store, after = open_store(running.url), 0
    while page := store.read_all(after=after, limit=1000).messages:
        after = page[-1].position
        for one in page:
            payload = json.loads(one.payload)
            if one.type == "load.counted":
                found["decided"].setdefault(one.stream_id, []).append(payload["number"])
            elif one.type == "load.copied":
                found["copied"].setdefault(payload["stream"], []).append(payload["number"])
    store.close()
    return [
        f"s-{s} {what}: {numbers.get(f's-{s}')}"
        for what, numbers in found.items()
        for s in range(STREAMS)
        if numbers.get(f"s-{s}") != list(range(1, last + 1))
    ]


def effects(project: Project) -> Counter[str]:
    """How often each message was handled, committed or not."""
    path = project.folder / "effects.txt"
    lines = path.read_text().split() if path.exists() else []
    return Counter(line.rpartition(":")[0] for line in lines)


def versions(project: Project) -> set[str]:
    """Which versions of the code have handled something."""
    lines = (project.folder / "effects.txt").read_text().split()
    return {line.rpartition(":")[2] for line in lines}


def await_fact(fact: Callable[[], bool], of: Crew | None = None) -> None:
    """Look again and again until something is so."""
    pause = threading.Event()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if fact():
            return
        pause.wait(0.01)
    raise AssertionError(f"it never came true; they said:\n{of and of.said}")


def children_of(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return sorted(int(p) for p, parent, stat in rows if int(parent) == pid and stat[0] != "Z")


def in_session(leader: int) -> list[int]:
    """Return the process ids of a session, to which the children of the dead still belong."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,sid="], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, session in rows if int(session) == leader]


def is_there(pid: int) -> bool:
    """Return whether a process is there, and no zombie."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")


def kill(pid: int) -> None:
    """Kill a process if it is there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return

"""Has the commands handled: by worker processes, or by threads where the store is in memory."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sourced import App
from sourced.runtime import Supervisor

ROOT = Path(__file__).parents[2]
PAUSE = 0.1
PATIENCE = 60.0

Progress = Callable[[int, int], None]
"""Told how many messages are pending, and how many wait for their time."""


class StuckError(RuntimeError):
    """Nothing has moved for a long time; says what is in the way."""


def start_worker(store: str, *, threads: int = 1) -> subprocess.Popen[bytes]:
    """Start one worker process on a store."""
    command = [sys.executable, "-m", "examples.shop.worker", "--store", store]
    command += ["--threads", str(threads)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


@contextmanager
def processes(store: str, *, count: int, threads: int = 1) -> Iterator[None]:
    """Keep worker processes running while inside."""
    running = [start_worker(store, threads=threads) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


@contextmanager
def in_process(app: App, *, threads: int = 1) -> Iterator[None]:
    """Keep workers running in this process while inside, for a store that is in its memory."""
    supervisor = Supervisor(app, threads=threads)
    running = threading.Thread(target=supervisor.run)
    running.start()
    try:
        yield
    finally:
        supervisor.stop()
        running.join()


def wait_until_quiet(app: App, progress: Progress | None = None) -> None:
    """Wait until no group has anything left to handle and nothing waits for its time.

    Raises:
        StuckError: nothing has moved for a minute.
    """
    clock, inspect = app.clock, app.store.inspect
    last, moved_at = inspect.status(), clock.monotonic()
    while last.deliveries or last.scheduled:
        if progress is not None:
            progress(sum(group.pending for group in inspect.groups()), last.scheduled)
        clock.sleep(PAUSE)
        now = inspect.status()
        if now != last:
            last, moved_at = now, clock.monotonic()
        elif clock.monotonic() - moved_at > PATIENCE:
            raise StuckError(_what_is_in_the_way(app))
    if progress is not None:
        progress(0, 0)


def _what_is_in_the_way(app: App) -> str:
    stuck = app.store.inspect.deliveries(limit=5)
    if not stuck:
        return "scheduled messages do not come due"
    return "\n".join(
        f"{one.group} is {one.state} at {one.stream_id} #{one.next_seq} {_text_of(one.error)}"
        for one in stuck
    )


def _text_of(error: str | None) -> str:
    return "" if error is None else str(json.loads(error)["text"])[:200]

"""Processes of the tests' own, and what is done to them at their round trips."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql
from tcp_proxy import Link, Proxy

CHILD = Path(__file__).with_name("pg_child.py")
PATIENCE = 60.0


class Child:
    """A process that plays a role of `pg_child.py`, by way of a proxy.

    Attributes:
        trips: how many round trips it had until its end.
    """

    def __init__(self, proxy: Proxy, url: str, role: str, *arguments: str) -> None:
        self._proxy = proxy
        self._struck = threading.Event()
        self._signal = 0
        self._trip = 0
        self.trips = 0
        command = [sys.executable, str(CHILD), url, role, *arguments]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def strike(self, trip: int, number: int) -> None:
        """Send it a signal when a round trip has been answered, before it has the answer."""
        self._trip, self._signal = trip, number
        self._proxy.watch(self._passed)

    def await_struck(self) -> None:
        """Return when it has got the signal."""
        assert self._struck.wait(PATIENCE), f"there is no round trip {self._trip}"

    def thaw(self) -> None:
        """Let it go on if it is frozen."""
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> tuple[int, Any]:
        """Wait for its end; return its exit code, and what it said if it said something."""
        out, err = self._process.communicate(timeout=PATIENCE)
        self.trips = self._proxy.trips
        assert self._process.returncode in {0, -signal.SIGKILL}, err
        return self._process.returncode, json.loads(out) if out else None

    def close(self) -> None:
        """See that it is gone."""
        self._process.kill()
        self._process.communicate()

    def _passed(self, _link: Link, number: int) -> None:
        if number == self._trip:
            os.kill(self._process.pid, self._signal)
            if self._signal == signal.SIGSTOP:
                os.waitpid(self._process.pid, os.WUNTRACED)
            self._struck.set()


@contextmanager
def child(
    proxy: Proxy, url: str, role: str, *arguments: str, strike: tuple[int, int] = (0, 0)
) -> Iterator[Child]:
    """Start a process; `strike` is a round trip, and the signal that it gets then."""
    running = Child(proxy, url, role, *arguments)
    running.strike(*strike)
    try:
        yield running
    finally:
        proxy.watch(None)
        running.close()


class Effects:
    """What the processes write beside the store: a row for each message, and one total."""

    def __init__(self, observer: psycopg.Connection) -> None:
        self._observer = observer
        observer.execute("DROP TABLE IF EXISTS effects, total")
        observer.execute('CREATE TABLE effects ("group" text, stream text, seq bigint)')
        observer.execute("CREATE TABLE total (number bigint)")
        observer.execute("INSERT INTO total VALUES (0)")

    def rows(self, group: str = "G") -> list[tuple[str, int]]:
        """Return (stream, seq) of each message that took effect, as often as it did."""
        query = 'SELECT stream, seq FROM effects WHERE "group" = %s ORDER BY stream, seq'
        return self._observer.execute(query, [group]).fetchall()

    def total(self) -> int:
        """Return how many messages took effect, by the row that all have in common."""
        row = self._observer.execute("SELECT number FROM total").fetchone()
        assert row is not None
        return int(row[0])


def heads(observer: psycopg.Connection, schema: str) -> list[tuple[str, int, int, int]]:
    """Return of every stream its head, its last seq, and how many messages it has."""
    query = sql.SQL(
        "SELECT s.stream_id, s.seq, coalesce(max(m.seq), 0), count(m.seq) FROM {} AS s"
        " LEFT JOIN {} AS m ON m.stream = s.id GROUP BY s.stream_id, s.seq ORDER BY s.stream_id"
    )
    tables = (sql.Identifier(schema, "streams"), sql.Identifier(schema, "messages"))
    return observer.execute(query.format(*tables)).fetchall()


# --- processes of the workload --------------------------------------------------------------------

WORKLOAD = Path(__file__).with_name("pg_workload.py")


class Worker:
    """A process of `pg_workload.py`, which ends with this one.

    Args:
        role: `serve` or `write`.
        url: of the store.
        options: of the role.
        log: where it writes what it has to say; this process's own if None.
    """

    def __init__(self, role: str, url: str, *options: str, log: IO[bytes] | None = None) -> None:
        command = [sys.executable, str(WORKLOAD), role, url, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Let it end here and now."""
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def _end(self) -> int:
        code = self.process.wait(PATIENCE)
        if self.process.stdin is not None:
            self.process.stdin.close()
        return code

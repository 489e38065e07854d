"""An app in which whatever is lost, doubled or out of order shows afterwards, and its processes.

```
Add(number) ──▶ Ledger: Added(number) ──┬──▶ Rows: a row for each, and a total      (sync)
    one stream per ledger,              ├──▶ Summaries: one row per ledger          (sync_many)
    numbers 1, 2, 3 … from one writer   ├──▶ Copy(number) to a stream that many ledgers share
                                        │        ──▶ Copies: Copied(number, ledger)
                                        └──▶ every tenth: Remind(number), a second later, likewise
```

`python pg_workload.py serve URL …` runs workers until TERM.
`python pg_workload.py write URL NAME FILE …` dispatches, and notes in a file what was answered.
Both end with whoever holds the other end of their standard input.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from sourced import (
    Actor,
    App,
    Batch,
    Command,
    Dispatch,
    ErrorPolicy,
    Event,
    EventSourcedProjector,
    Reactor,
    Settings,
    StateStoredProjector,
    command,
    event,
    on,
    react,
)
from sourced._clock import SystemClock
from sourced._messages import with_meta
from sourced.errors import (
    BusyError,
    ConcurrencyError,
    DuplicateMessageError,
    StoreUnavailableError,
)
from sourced.runtime import Supervisor

__all__ = ["TABLES", "Deed", "answered", "ledgers_of", "send", "stored_numbers", "workload"]

LEDGERS = 20
"""Streams of one writer."""

SHARED = 5
"""Streams that the ledgers share."""

TABLES = """
CREATE TABLE IF NOT EXISTS load_rows (id bigserial, ledger text, number integer);
CREATE TABLE IF NOT EXISTS load_totals (ledger text PRIMARY KEY, total bigint);
CREATE TABLE IF NOT EXISTS load_summaries (ledger text PRIMARY KEY, count integer, last integer);
"""


class Add(Command, type="load.add"):
    number: int


class Added(Event, type="load.added"):
    number: int


class Copy(Command, type="load.copy"):
    number: int
    ledger: str


class Copied(Event, type="load.copied"):
    number: int
    ledger: str


class Remind(Command, type="load.remind"):
    number: int
    ledger: str


class Reminded(Event, type="load.reminded"):
    number: int
    ledger: str


class Broken(Event, type="load.broken"):
    """Something came out of order, or twice."""

    text: str


@dataclass
class Last:
    """The last number of each ledger."""

    numbers: dict[str, int] = field(default_factory=dict)


class Ledger(Actor[Last]):
    """Numbers its events; a command that is not the next one shows."""

    def initial_state(self, stream_id: str) -> Last:
        return Last({"": 0})

    @command
    def add(self, state: Last, message: Add) -> Any:
        take_time()
        if message.number == state.numbers[""] + 1:
            yield Added(number=message.number)
        else:
            yield Broken(text=f"{message.number} after {state.numbers['']}")

    @event
    def added(self, state: Last, event: Added) -> None:
        state.numbers[""] = event.number

    @react
    def copy(self, event: Added) -> Any:
        ledger = str(event.meta.stream_id)
        shared = f"shared-{sum(ledger.encode()) % SHARED}"
        yield Dispatch(Copy(number=event.number, ledger=ledger), to=shared)
        if event.number % 10 == 0:
            remind = Remind(number=event.number, ledger=ledger)
            yield Dispatch(remind, to=shared, after=timedelta(seconds=1))


def take_time() -> None:
    """Be in the middle of it for a while, so that what happens to a process happens there too."""
    time.sleep(random.uniform(0, 0.01))


class Copies(Actor[Last], snapshot_every=100):
    """Copies what several ledgers send to one stream; each one's numbers come in order."""

    def initial_state(self, stream_id: str) -> Last:
        return Last()

    @command
    def copy(self, state: Last, message: Copy) -> Any:
        last = state.numbers.get(message.ledger, 0)
        if message.number == last + 1:
            yield Copied(number=message.number, ledger=message.ledger)
        else:
            yield Broken(text=f"{message.ledger}: {message.number} after {last}")

    @command
    def remind(self, state: Last, message: Remind) -> Any:
        yield Reminded(number=message.number, ledger=message.ledger)

    @event
    def copied(self, state: Last, event: Copied) -> None:
        state.numbers[event.ledger] = event.number


class Rows(EventSourcedProjector[None]):
    """Writes a row for each event, and adds to a total."""

    def initial_state(self, stream_id: str) -> None:
        return None

    @event
    def added(self, state: None, event: Added) -> None: ...

    def sync(self, state: None, batch: Batch) -> None:
        take_time()
        numbers = [each.number for each in batch.events if isinstance(each, Added)]
        batch.connection.execute(
            "INSERT INTO load_rows (ledger, number) SELECT %s, n FROM unnest(%s) AS n",
            [batch.stream_id, numbers],
        )
        batch.connection.execute(
            "INSERT INTO load_totals VALUES (%s, %s) ON CONFLICT (ledger)"
            " DO UPDATE SET total = load_totals.total + excluded.total",
            [batch.stream_id, sum(numbers)],
        )


@dataclass
class Summary:
    count: int = 0
    last: int = 0


class Summaries(StateStoredProjector[Summary]):
    """Reads and writes one row for each ledger, many at a time."""

    def initial_state(self, stream_id: str) -> Summary:
        return Summary()

    @event
    def added(self, state: Summary, event: Added) -> None:
        state.count += 1
        state.last = event.number if event.number == state.last + 1 else -1

    def load_many(self, stream_ids: Sequence[str], connection: Any) -> dict[str, Summary]:
        rows = connection.execute(
            "SELECT ledger, count, last FROM load_summaries WHERE ledger = ANY (%s)",
            [list(stream_ids)],
        )
        return {ledger: Summary(count, last) for ledger, count, last in rows.fetchall()}

    def sync_many(self, states: Sequence[Summary], batches: Sequence[Batch]) -> None:
        rows = sorted(
            (batch.stream_id, state.count, state.last)
            for state, batch in zip(states, batches, strict=True)
        )
        with batches[0].connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO load_summaries VALUES (%s, %s, %s) ON CONFLICT (ledger)"
                " DO UPDATE SET count = excluded.count, last = excluded.last",
                rows,
            )


class Deed(Command, type="load.deed"):
    """Something that a worker survives, does not survive, or never ends."""

    kind: str


class Deeds(Reactor, errors=ErrorPolicy(retries=2)):
    """Does what it is told; where it is not to be had in mid-deed, it survives all of them."""

    def __init__(self, *, hangs: bool = False) -> None:
        self._hangs = hangs

    @on
    def deed(self, message: Deed) -> None:
        if message.kind == "kills":
            os.kill(os.getpid(), signal.SIGKILL)
        if message.kind == "hangs" and self._hangs:
            threading.Event().wait()


def workload(url: str, *, lease: float = 2.0, poll: float = 0.2, hangs: bool = False) -> App:
    """Return the app; no stream of the ledgers is parked because its workers died often."""
    settings = Settings(
        lease=timedelta(seconds=lease),
        heartbeat=timedelta(seconds=lease / 4),
        poll_interval=timedelta(seconds=poll),
        errors=ErrorPolicy(retries=1000),
    )
    app = App(url, settings=settings)
    return app.register(Ledger, Copies, Rows, Summaries, Deeds(hangs=hangs))


# --- writing --------------------------------------------------------------------------------------


def ledgers_of(name: str) -> list[str]:
    """Return the streams of a writer."""
    return [f"ledger-{name}-{number}" for number in range(LEDGERS)]


def send(app: App, ledger: str, number: int, *, now: bool = False) -> None:
    """Add a number to a ledger, whatever stands in the way; sent twice, it is added once."""
    message = with_meta(Add(number=number), id=_id_of(ledger, number))
    while True:
        try:
            if now:
                app.handle(message, to=ledger, timeout=0.5)
            else:
                app.dispatch(message, to=ledger)
        except BusyError:
            now = False
        except DuplicateMessageError:
            return
        except (StoreUnavailableError, ConcurrencyError):
            time.sleep(random.uniform(0, 0.1))
        else:
            return


def _id_of(ledger: str, number: int) -> UUID:
    return uuid5(UUID(int=0), f"{ledger} {number}")


def stored_numbers(app: App, ledger: str) -> int:
    """Return the last number that was added to a ledger."""
    return max(
        (each.number for each in app.read_stream(ledger) if isinstance(each, Add)), default=0
    )


def write(url: str, name: str, notes: Path, pause: float) -> None:
    """Add numbers to the ledgers of a name until killed, a tenth of them handled here and now."""
    app = workload(url)
    numbers = patiently(lambda: {each: stored_numbers(app, each) for each in ledgers_of(name)})
    with notes.open("a") as noted:
        while True:
            ledger = random.choice(list(numbers))
            numbers[ledger] += 1
            send(app, ledger, numbers[ledger], now=random.random() < 0.1)
            noted.write(f"{ledger} {numbers[ledger]}\n")
            noted.flush()
            time.sleep(random.uniform(0, 2 * pause))


def patiently(call: Callable[[], Any]) -> Any:
    """Call until the store can be reached."""
    while True:
        try:
            return call()
        except StoreUnavailableError:
            time.sleep(0.1)


def answered(notes: Path) -> dict[str, int]:
    """Return the last number of each ledger that a writer was answered for."""
    found: dict[str, int] = {}
    for line in notes.read_text().splitlines() if notes.exists() else ():
        ledger, _, number = line.partition(" ")
        found[ledger] = int(number)
    return found


# --- processes ------------------------------------------------------------------------------------


def serve(url: str, arguments: argparse.Namespace) -> int:
    """Run workers until TERM; a server that is away at the start is waited for."""
    pretend(arguments)
    app = workload(url, lease=arguments.lease, poll=arguments.poll, hangs=arguments.hangs)
    patiently(app.ready)
    ended = patiently(lambda: Supervisor(app, threads=arguments.threads, grace=10).run())
    app.close()
    return int(ended.exit_code)


def pretend(arguments: argparse.Namespace) -> None:
    """Take the pid and host of somebody else, and a clock that is off."""
    import socket

    if arguments.pid:
        os.getpid = lambda: arguments.pid
        socket.gethostname = lambda: "box"
    if arguments.clock_off:
        right, off = SystemClock.now, timedelta(seconds=arguments.clock_off)

        def wrong(clock: SystemClock) -> datetime:
            return right(clock) + off

        setattr(SystemClock, "now", wrong)  # noqa: B010 - as if the machine's were off
        seconds, nanoseconds = time.time, time.time_ns
        time.time = lambda: seconds() + arguments.clock_off
        time.time_ns = lambda: nanoseconds() + int(arguments.clock_off * 1e9)


def end_with_parent() -> None:
    """End when standard input does."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """Play one of the roles."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["serve", "write"])
    parser.add_argument("url")
    parser.add_argument("--name", default="")
    parser.add_argument("--notes", type=Path)
    parser.add_argument("--pause", type=float, default=0.005)
    parser.add_argument("--lease", type=float, default=2.0)
    parser.add_argument("--poll", type=float, default=0.2)
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--hangs", action="store_true")
    parser.add_argument("--pid", type=int, default=0)
    parser.add_argument("--clock-off", type=float, default=0.0)
    arguments = parser.parse_args()
    end_with_parent()
    if arguments.role == "serve":
        return serve(arguments.url, arguments)
    write(arguments.url, arguments.name, arguments.notes, arguments.pause)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How fast the store on SQLite is: `python benchmarks/sqlite.py [FOLDER]`, by hand, not as a test.

Each line is `store workload n seconds rate ratio`. Ratios are to bare `sqlite3` in the same run,
inserting the same rows into the same table with the same durability; they hold where absolute
figures drift. FOLDER says on which disk.
"""

from __future__ import annotations

import platform
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy

from sourced._clock import to_micros
from sourced._ids import new_id
from sourced._records import NewMessage
from sourced._store import StreamCommit, WorkerInfo
from sourced_sqlalchemy import SQLAlchemyStore, open_store

PAYLOAD = '{"product_id":"p1","price":1000,"quantity":2}'
BARE = (
    "INSERT INTO sourced_messages (position, stream, seq, id, type, version, created_at,"
    " causation_id, correlation_id, size, meta, payload) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
)


def message(stream_id: str, type: str) -> NewMessage:
    """Return a message of the size that a cart's have."""
    own = new_id()
    return NewMessage(
        id=own,
        type=type,
        stream_id=stream_id,
        payload=PAYLOAD,
        meta="{}",
        created_at=datetime.now(UTC),
        causation_id=own,
        correlation_id=own,
    )


def opened(folder: Path, name: str) -> SQLAlchemyStore:
    """Return a new store with one group, for commands."""
    store = open_store(f"sqlite:///{folder / name}.db")
    store.install()
    store.register("handlers", ["command"])
    return store


def measured(workload: str, count: int, work: Callable[[], object], bare: float = 0.0) -> float:
    """Do the work once, print its line, and return how much of it was done a second."""
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    rate = count / seconds
    ratio = f"{rate / bare:7.2f}" if bare else ""
    sys.stdout.write(f"sqlite {workload:<28} {count:>7} {seconds:>7.2f} s {rate:>9.0f}/s {ratio}\n")
    return rate


def bare_inserts(folder: Path, count: int, batch: int) -> Callable[[], None]:
    """Return what inserts rows into the table of messages, so many a transaction."""
    name = f"bare-{batch}"
    opened(folder, name).close()
    raw = sqlite3.connect(folder / f"{name}.db", isolation_level=None)
    raw.execute("PRAGMA synchronous = FULL")
    rows = [_bare_row(place, message("s", "event")) for place in range(1, count + 1)]

    def insert() -> None:
        for start in range(0, count, batch):
            raw.execute("BEGIN IMMEDIATE")
            raw.executemany(BARE, rows[start : start + batch])
            raw.execute("COMMIT")
        raw.close()

    return insert


def _bare_row(place: int, one: NewMessage) -> tuple[object, ...]:
    ids = (one.causation_id.bytes, one.correlation_id.bytes)
    content = (len(PAYLOAD) + 2, one.meta, one.payload)
    made = to_micros(one.created_at)
    return (place, place, 1, one.id.bytes, one.type, 1, made, *ids, *content)


def appends(store: SQLAlchemyStore, type: str, count: int, batch: int) -> Callable[[], None]:
    """Return what appends messages to streams of its own, so many a call."""
    new = [message(f"{type}-{batch}-{number % 2000}", type) for number in range(count)]

    def append() -> None:
        for start in range(0, count, batch):
            store.append(new[start : start + batch])

    return append


def rounds(store: SQLAlchemyStore, max_streams: int, most: int) -> Callable[[], None]:
    """Return what handles streams in rounds of claim, read, commit, with an event a command."""
    store.join(WorkerInfo(id=f"worker-{max_streams}"))

    def handle() -> None:
        for _ in range(most):
            worker = f"worker-{max_streams}"
            claims = store.claim("handlers", worker, max_streams=max_streams)
            found = store.read_pending(claims, known_types=["command"])
            parts = [
                StreamCommit(
                    claim=one.claim,
                    ack_seq=one.messages[-1].seq,
                    append=tuple(message(one.claim.stream_id, "event") for _ in one.messages),
                )
                for one in found
            ]
            store.commit(worker, parts)

    return handle


def run(folder: Path) -> None:
    """Run every workload on new files in a folder."""
    bare_1 = measured("bare insert, 1", 5_000, bare_inserts(folder, 5_000, 1))
    bare_100 = measured("bare insert, 100", 20_000, bare_inserts(folder, 20_000, 100))
    store = opened(folder, "store")
    measured("append_1", 5_000, appends(store, "event", 5_000, 1), bare_1)
    measured("append_1, to a group", 5_000, appends(store, "command", 5_000, 1), bare_1)
    measured("append_100", 20_000, appends(store, "event", 20_000, 100), bare_100)
    measured("append_100, to a group", 20_000, appends(store, "command", 20_000, 100), bare_100)
    measured("streams in rounds of 50", 3_500, rounds(store, 50, 70))
    measured("streams in rounds of 1", 500, rounds(store, 1, 500))
    store.close()


if __name__ == "__main__":
    sys.stdout.write(
        f"Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}, "
        f"SQLite {sqlite3.sqlite_version}, {platform.machine()}, synchronous=FULL\n"
    )
    with TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as chosen:
        run(Path(chosen))

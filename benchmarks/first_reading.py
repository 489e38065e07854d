"""A first reading of the workloads on PostgreSQL, from `append_1` to `held_snapshot`.

Prints `store workload n seconds rate ratio`. Each ratio is to something measured in the same run:
bare psycopg into a table with the same columns and indexes, `append_100`, or the same work on a
small log or without the snapshot. Run by hand, on a database that may be written to:

    python benchmarks/first_reading.py postgresql://localhost/bench [WORKLOAD …]
"""

from __future__ import annotations

import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import psycopg
from psycopg import sql

from sourced._ids import new_id, new_worker_id
from sourced._records import NewMessage
from sourced._store import ReadLimits, StreamCommit, WorkerInfo
from sourced_postgres import PostgresStore, open_store

PAYLOAD = (
    '{"product_id": "p123", "price": 1000, "quantity": 2, "note": "as measured, about 100 bytes"}'
)


def message(stream_id: str, type_: str = "carts.item_added") -> NewMessage:
    """A message of an ordinary size."""
    from datetime import UTC, datetime

    own = new_id()
    return NewMessage(
        id=own,
        type=type_,
        stream_id=stream_id,
        payload=PAYLOAD,
        meta="{}",
        created_at=datetime.now(UTC),
        causation_id=own,
        correlation_id=own,
    )


@contextmanager
def fresh(url: str) -> Iterator[tuple[PostgresStore, str]]:
    """A store in a schema of its own, dropped at the end."""
    schema = f"bench_{uuid4().hex[:8]}"
    store = open_store(url, schema=schema)
    store.install()
    try:
        yield store, schema
    finally:
        store.uninstall()
        store.close()


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def report(workload: str, count: int, seconds: float, ratio: float | None = None) -> None:
    """One line of figures."""
    told = "" if ratio is None else f"{ratio:.2f}"
    print(
        f"postgres {workload:12} {count:7} {seconds:8.2f} {count / seconds:10.0f} {told}",
        flush=True,
    )


COLUMNS = [
    "stream",
    "seq",
    "id",
    "causation_id",
    "correlation_id",
    "created_at",
    "version",
    "type",
    "meta",
    "payload",
]


class Bare:
    """Plain inserts into a table with the columns and indexes of the log."""

    def __init__(self, url: str, schema: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self.table = sql.Identifier(schema, "messages")
        self.target = sql.Identifier(schema, "bare")
        self.connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(self.target, self.table)
        )
        names = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        row = sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS)))
        self.one = sql.SQL("INSERT INTO {} ({}) VALUES {}").format(self.target, names, row)
        self.hundred = sql.SQL("INSERT INTO {} ({}) VALUES {}").format(
            self.target, names, sql.SQL(", ").join([row] * 100)
        )

    def close(self) -> None:
        """Drop the table."""
        self.connection.execute(sql.SQL("DROP TABLE {}").format(self.target))
        self.connection.close()

    def row(self, stream: int, seq: int) -> list[object]:
        """The values of one row."""
        m = message("x")
        return [
            stream,
            seq,
            m.id,
            m.causation_id,
            m.correlation_id,
            m.created_at,
            1,
            m.type,
            m.meta,
            m.payload,
        ]


def append_1(url: str, count: int) -> None:
    """Single events to as many streams, on one connection, beside bare inserts, in turns."""
    with fresh(url) as (store, schema):
        bare = Bare(url, schema)
        insert = bare.one.as_string(None)
        mine = theirs = 0.0
        step = 250
        for begin in range(0, count, step):
            new = [message(f"s{n}") for n in range(begin, begin + step)]
            rows = [bare.row(n, 1) for n in range(begin, begin + step)]
            mine += timed(lambda new=new: [store.append([m]) for m in new])
            theirs += timed(lambda rows=rows: [bare.connection.execute(insert, r) for r in rows])
        bare.close()
    report("bare_1", count, theirs)
    report("append_1", count, mine, theirs / mine)


def append_100(url: str, count: int) -> float:
    """A hundred events a call over 2,000 streams, beside bare multi-row inserts, in turns."""
    with fresh(url) as (store, schema):
        bare = Bare(url, schema)
        insert = bare.hundred.as_string(None)
        mine = theirs = 0.0
        for begin in range(0, count, 100):
            new = [message(f"s{n % 2000}") for n in range(begin, begin + 100)]
            rows = [v for n in range(begin, begin + 100) for v in bare.row(n % 2000, n // 2000 + 1)]
            mine += timed(lambda new=new: store.append(new))
            theirs += timed(lambda rows=rows: bare.connection.execute(insert, rows))
        bare.close()
    report("bare_100", count, theirs)
    report("append_100", count, mine, theirs / mine)
    return count / mine


def append_c8(url: str, count: int) -> None:
    """Single events from eight threads with hints on, beside the same with hints off, in turns."""
    spent = {True: 0.0, False: 0.0}
    with fresh(url) as (store, schema), ThreadPoolExecutor(8) as pool:
        store.register("Listings", ["carts.item_added"])
        others = {on: open_store(url, schema=schema, hints=on) for on in spent}
        end = others[True].subscribe(lambda _groups: None)
        step = 2000
        for begin in range(0, count, step):
            for on, other in others.items():
                new = [message(f"s{on}{n}") for n in range(begin, begin + step)]
                spent[on] += timed(
                    lambda new=new, other=other: list(pool.map(lambda m: other.append([m]), new))
                )
        end()
        for other in others.values():
            other.close()
    report("c8_silent", count, spent[False])
    report("append_c8", count, spent[True], spent[False] / spent[True])


def joined(store: PostgresStore) -> str:
    """A worker that may claim."""
    worker = new_worker_id()
    store.join(WorkerInfo(id=worker))
    return worker


def put_commands(store: PostgresStore, count: int) -> None:
    """Commands to 2,000 streams, for the group Cart."""
    for begin in range(0, count, 1000):
        store.append(
            [message(f"s{n % 2000}", "carts.add_item") for n in range(begin, begin + 1000)]
        )


def decide_pending(store: PostgresStore, worker: str, spent: Counter[str]) -> int:
    """Every pending command becomes one event; return how many claims found something."""
    rounds = 0
    while True:
        at = time.perf_counter()
        claims = store.claim("Cart", worker)
        spent["claim"] += time.perf_counter() - at
        if not claims:
            return rounds
        rounds += 1
        at = time.perf_counter()
        found = store.read_pending(claims, known_types=["carts.add_item"], limits=ReadLimits())
        spent["read"] += time.perf_counter() - at
        parts = [
            StreamCommit(
                claim=one.claim,
                ack_seq=one.looked_to,
                append=tuple(message(m.stream_id) for m in one.messages),
            )
            for one in found
        ]
        at = time.perf_counter()
        store.commit(worker, parts)
        spent["commit"] += time.perf_counter() - at


def handle(url: str, count: int, reference: float) -> None:
    """Pending commands on 2,000 streams; each becomes one event: the store's share of the work."""
    spent: Counter[str] = Counter()
    with fresh(url) as (store, _):
        store.register("Cart", ["carts.add_item"])
        put_commands(store, count)
        worker = joined(store)
        seconds = timed(lambda: decide_pending(store, worker, spent))
    report("handle", count, seconds, count / seconds / reference)
    print("   ", {name: round(value, 2) for name, value in spent.items()})


FILL = """
WITH made AS (
    INSERT INTO {s}.streams (stream_id, seq)
    SELECT 'f{from_}-' || n, 10 FROM generate_series(1, {streams}) AS n
    RETURNING id
)
INSERT INTO {s}.messages (
    stream, seq, id, causation_id, correlation_id, created_at, version, type, meta, payload
)
SELECT m.id, q.seq, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now(), 1,
    CASE WHEN q.seq % 2 = 0 THEN 'carts.item_added' ELSE 'carts.add_item' END, '{{}}', {payload}
FROM made AS m CROSS JOIN generate_series(1, 10) AS q (seq)
"""


def growth(url: str, sizes: Sequence[int]) -> None:
    """`handle` and an idle claim while the log grows, all of it on drained streams."""
    first: tuple[float, float] | None = None
    with fresh(url) as (store, schema):
        store.register("Cart", ["carts.add_item"])
        worker, there = joined(store), 0
        for size in sizes:
            fill = sql.SQL(FILL).format(
                s=sql.Identifier(schema),
                from_=sql.SQL(str(there)),
                streams=sql.Literal((size - there) // 10),
                payload=sql.Literal(PAYLOAD),
            )
            with store.connection() as connection:
                connection.execute(fill)
                for table in ("streams", "messages"):
                    connection.execute(
                        sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(schema, table))
                    )
                connection.execute("CHECKPOINT")
            there = size
            put_commands(store, 10_000)
            seconds = timed(lambda: decide_pending(store, worker, Counter()))
            idle = timed(lambda: [store.claim("Cart", worker) for _ in range(500)])
            if first is None:
                first = seconds, idle
            report(f"growth_{size}", 10_000, seconds, first[0] / seconds)
            report(f"idle_{size}", 500, idle, idle / first[1])


def held_snapshot(url: str, seconds: float) -> None:
    """`handle` for a while without and with a snapshot that somebody holds, then an idle claim."""
    free = handle_for(url, seconds)
    with psycopg.connect(url) as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM pg_class")
        held = handle_for(url, seconds)
    for name, (handled, spent, idle) in {"free": free, "held": held}.items():
        report(f"snapshot_{name}", handled, spent, handled / spent / (free[0] / free[1]))
        report(f"idle_{name}", 500, idle, idle / free[2])


def handle_for(url: str, seconds: float) -> tuple[int, float, float]:
    """Commands that were handled, the seconds that took, and those of 500 idle claims."""
    handled, spent = 0, 0.0
    with fresh(url) as (store, _):
        store.register("Cart", ["carts.add_item"])
        worker = joined(store)
        while spent < seconds:
            put_commands(store, 4000)
            store.poll(timedelta(seconds=15))
            spent += timed(lambda: decide_pending(store, worker, Counter()))
            handled += 4000
        return handled, spent, timed(lambda: [store.claim("Cart", worker) for _ in range(500)])


def catchup(url: str, count: int, streams: int, reference: float) -> None:
    """A new projector with a sync that does nothing, over events on so many streams."""
    with fresh(url) as (store, _):
        for begin in range(0, count, 1000):
            store.append([message(f"s{n % streams}") for n in range(begin, begin + 1000)])
        store.register("Listings", ["carts.item_added"])
        worker = joined(store)

        def drain() -> None:
            while claims := store.claim("Listings", worker):
                found = store.read_pending(
                    claims, known_types=["carts.item_added"], limits=ReadLimits()
                )
                store.commit(
                    worker,
                    [StreamCommit(claim=o.claim, ack_seq=o.looked_to) for o in found],
                    sync=lambda _connection: None,
                )

        seconds = timed(drain)
    report(f"catchup_{streams}", count, seconds, count / seconds / reference)


def main() -> None:
    """All of it, or the workloads named."""
    url, *wanted = sys.argv[1:]
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT version(), current_setting('fsync'), current_setting('synchronous_commit')"
        ).fetchone()
    print(platform.machine(), platform.python_version(), "psycopg", psycopg.__version__, row)
    workloads: dict[str, Callable[[float], object]] = {
        "append_1": lambda _: append_1(url, 5000),
        "append_c8": lambda _: append_c8(url, 16_000),
        "handle": lambda reference: handle(url, 20_000, reference),
        "catchup": lambda reference: [
            catchup(url, 100_000, streams, reference) for streams in (5000, 20)
        ],
        "growth": lambda _: growth(url, [10_000, 100_000, 1_000_000]),
        "held_snapshot": lambda _: held_snapshot(url, 30.0),
    }
    chosen = wanted or list(workloads)
    reference = append_100(url, 20_000) if {"handle", "catchup"} & {*chosen} else 0.0
    for name in chosen:
        workloads[name](reference)


if __name__ == "__main__":
    main()

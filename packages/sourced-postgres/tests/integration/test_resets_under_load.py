"""A reset of very many streams while others append and workers work (T67).

Twenty thousand by default; `RESET_STREAMS=100000` is what it is about, and takes two minutes.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from pg_cluster import Cluster
from psycopg import sql

from sourced import App, Batch, Event, StateStoredProjector, event
from sourced.runtime import Supervisor
from sourced_postgres import PostgresStore, open_store
from sourced_testing.conformance._given import message

STREAMS = int(os.environ.get("RESET_STREAMS", "20000"))
SLOWEST = 0.5
"""Seconds that an append may take, in ninety-nine of a hundred cases, on a machine that is busy."""

PATIENCE = 300.0


# --- a read model that adds up over streams -------------------------------------------------------


class Counted(Event, type="counted"):
    number: int


@dataclass
class Sum:
    """What a stream adds up to, and what of it has been added to its bucket."""

    total: int = 0
    added: int = 0


TABLES = """
DROP TABLE IF EXISTS by_stream, by_bucket;
CREATE TABLE by_stream (stream text PRIMARY KEY, total bigint NOT NULL);
CREATE TABLE by_bucket (bucket integer PRIMARY KEY, total bigint NOT NULL);
INSERT INTO by_bucket SELECT n, 0 FROM generate_series(0, 7) AS n;
"""

WRITE = """
INSERT INTO by_stream SELECT * FROM unnest(%s::text[], %s::bigint[])
ON CONFLICT (stream) DO UPDATE SET total = excluded.total
"""

ADD = """
UPDATE by_bucket AS b SET total = b.total + n.total
FROM (
    SELECT hashtext(u.stream) & 7 AS bucket, sum(u.number) AS total
    FROM unnest(%s::text[], %s::bigint[]) AS u (stream, number)
    GROUP BY 1
) AS n
WHERE n.bucket = b.bucket
"""

TAKE_BACK = """
WITH gone AS (DELETE FROM by_stream WHERE stream = ANY (%s) RETURNING stream, total)
UPDATE by_bucket AS b SET total = b.total - n.total
FROM (SELECT hashtext(stream) & 7 AS bucket, sum(total) AS total FROM gone GROUP BY 1) AS n
WHERE n.bucket = b.bucket
"""


class Sums(StateStoredProjector[Sum], max_streams=500):
    """A total for each stream, and for eight buckets to which many streams add."""

    def initial_state(self, stream_id: str) -> Sum:
        return Sum()

    @event
    def counted(self, state: Sum, event: Counted) -> None:
        state.total += event.number

    def load_many(self, stream_ids: Sequence[str], connection: Any) -> dict[str, Sum]:
        query = "SELECT stream, total FROM by_stream WHERE stream = ANY (%s)"
        rows = connection.execute(query, [list(stream_ids)]).fetchall()
        return {stream: Sum(total, total) for stream, total in rows}

    def sync_many(self, states: Sequence[Sum], batches: Sequence[Batch]) -> None:
        names = [batch.stream_id for batch in batches]
        connection = batches[0].connection
        connection.execute(WRITE, [names, [state.total for state in states]])
        connection.execute(ADD, [names, [state.total - state.added for state in states]])

    def clear(self, stream_ids: Sequence[str], connection: Any) -> None:
        connection.execute(TAKE_BACK, [list(stream_ids)])


# --- very many streams, all of them handled -------------------------------------------------------

FILL = """
INSERT INTO {streams} (stream_id, seq) SELECT 's' || n, 1 FROM generate_series(1, %(count)s) AS n;
INSERT INTO {messages} (
    stream, seq, id, causation_id, correlation_id, created_at, version, type, meta, payload
)
SELECT s.id, 1, u.id, u.id, u.id, now(), 1, 'counted', '{{}}', '{{"number": 1}}'
FROM {streams} AS s CROSS JOIN LATERAL (SELECT gen_random_uuid() AS id WHERE s.id > 0) AS u;
INSERT INTO by_stream SELECT s.stream_id, 1 FROM {streams} AS s;
UPDATE by_bucket AS b
SET total = (SELECT count(*) FROM by_stream AS s WHERE hashtext(s.stream) & 7 = b.bucket);
ANALYZE;
"""


@pytest.fixture
def app(cluster: Cluster, schema: str, observer: psycopg.Connection) -> Iterator[App]:
    """An app whose group has handled one message in each of very many streams."""
    store = open_store(cluster.url, schema=schema)
    store.install()
    for part in TABLES, FILL:
        for statement in part.split(";\n"):
            names = {each: sql.Identifier(schema, each) for each in ("streams", "messages")}
            text = sql.SQL(statement).format(**names).as_string(None)
            observer.execute(text.replace("%(count)s", str(STREAMS)).encode())
    app = App(store).register(Sums, start="now")
    app.ready()
    yield app
    store.uninstall()
    app.close()


# --- load -----------------------------------------------------------------------------------------


class Appender:
    """Appends to one random stream after the other, and keeps how long each took."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._ended = threading.Event()
        self.took: list[float] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def await_count(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self.took) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while not self._ended.is_set():
            name = f"s{random.randint(1, STREAMS)}"
            began = time.monotonic()
            self._store.append([message(name, "counted", payload='{"number": 1}')])
            self.took.append(time.monotonic() - began)


@contextmanager
def at_work(app: App) -> Iterator[None]:
    """Let workers run in threads."""
    supervisor = Supervisor(app, threads=2)
    running = threading.Thread(target=supervisor.run)
    running.start()
    try:
        yield
    finally:
        supervisor.stop()
        running.join(PATIENCE)


RESETTING = """
import sys
from sourced_postgres import open_store
for progress in open_store(sys.argv[1], schema=sys.argv[2]).reset("Sums"):
    print(progress.done, flush=True)
"""


def reset_half_way(url: str, schema: str) -> int:
    """Let a process reset all streams, and kill it half-way; return how far it was."""
    command = [sys.executable, "-c", RESETTING, url, schema]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as resetting:
        assert resetting.stdout is not None
        for line in resetting.stdout:
            if int(line) >= STREAMS // 2:
                resetting.kill()
                break
        return int(line)


def p99(took: Sequence[float]) -> float:
    return statistics.quantiles(took, n=100)[-1]


def test_a_reset_of_very_many_streams_stops_nobody_and_doubles_nothing(
    app: App, cluster: Cluster, schema: str, observer: psycopg.Connection
) -> None:
    """T67, T42: killed half-way and run again; in the end all is as if it were built anew."""
    store = app.store
    assert isinstance(store, PostgresStore)
    with at_work(app):
        appender = Appender(store)
        appender.await_count(200)
        before = len(appender.took)
        half = reset_half_way(cluster.url, schema)
        done = [progress.done for progress in store.reset("Sums")]
        during = appender.took[before:]
        appender.end()
        await_quiet(app)

    assert STREAMS // 2 <= half < STREAMS
    assert done[-1] >= STREAMS
    assert p99(during) < SLOWEST
    assert read_model(observer) == rebuilt(observer, schema)


def await_quiet(app: App) -> None:
    deadline = time.monotonic() + PATIENCE
    while app.groups.status("Sums").pending:
        assert time.monotonic() < deadline, "the workers do not get done"
        time.sleep(0.2)


def read_model(observer: psycopg.Connection) -> tuple[list[Any], list[Any]]:
    return (
        observer.execute("SELECT stream, total FROM by_stream ORDER BY stream").fetchall(),
        observer.execute("SELECT bucket, total FROM by_bucket ORDER BY bucket").fetchall(),
    )


def rebuilt(observer: psycopg.Connection, schema: str) -> tuple[list[Any], list[Any]]:
    """Return what a read model built from the log alone would be."""
    tables = (sql.Identifier(schema, "messages"), sql.Identifier(schema, "streams"))
    sums = sql.SQL(
        "CREATE TEMPORARY TABLE sums AS SELECT s.stream_id AS stream,"
        " sum((m.payload::json ->> 'number')::bigint)::bigint AS total"
        " FROM {} AS m JOIN {} AS s ON s.id = m.stream GROUP BY s.stream_id"
    )
    observer.execute(sums.format(*tables))
    by_bucket = (
        "SELECT hashtext(stream) & 7 AS bucket, sum(total)::bigint FROM sums GROUP BY 1 ORDER BY 1"
    )
    return (
        observer.execute('SELECT stream, total FROM sums ORDER BY stream COLLATE "C"').fetchall(),
        observer.execute(by_bucket).fetchall(),
    )

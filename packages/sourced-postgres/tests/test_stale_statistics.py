"""Hot functions read what they need and no more, in sessions that planned while all was small.

A session keeps the plans it made at its first calls, and the statistics of tables that come and go
are of some other moment: both say that everything is nearly empty, while a reset has just made work
of a hundred thousand streams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import LiteralString
from uuid import uuid4

import pytest
from psycopg import sql

from sourced._clock import SystemClock
from sourced._records import ScheduledMessage
from sourced._store import (
    Claim,
    Park,
    ReadLimits,
    Retry,
    StreamCommit,
    Tails,
    UnitOfWork,
    UnlessSince,
    WorkerInfo,
)
from sourced_postgres import PostgresStore, open_store
from sourced_testing.conformance._given import message

STREAMS = 40_000
BATCH = 20

TABLES = ("streams", "messages", "deliveries", "schedule", "snapshots")

FILL: LiteralString = """
INSERT INTO {s}.streams (stream_id, seq) SELECT 's' || n, 2 FROM generate_series(1, {n}) AS n;
INSERT INTO {s}.messages (
    stream, seq, id, causation_id, correlation_id, created_at, version, type, meta, payload
)
SELECT t.id, q.seq, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now(), 1, 'added',
    '{{}}', '{{}}'
FROM {s}.streams AS t CROSS JOIN generate_series(1, 2) AS q (seq)
WHERE t.stream_id LIKE 's%';
INSERT INTO {s}.deliveries ("group", stream, next_seq, ready_at)
SELECT g.id, t.id, 1, now() - make_interval(secs => t.id)
FROM {s}.streams AS t CROSS JOIN {s}.groups AS g
WHERE t.stream_id LIKE 's%';
INSERT INTO {s}.schedule (
    message_id, causation_id, correlation_id, due_at, created_at, version, stream_id, type, meta,
    payload
)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now() + interval '1 day', now(), 1,
    's1', 'added', '{{}}', '{{}}'
FROM generate_series(1, {n}) AS n;
"""


class Work:
    """What workers and operators do with a store, on other streams each time."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._round = 0

    def verbs(self) -> dict[str, Callable[[], object]]:
        """One call of each verb."""
        self._round += 1
        store, new = self._store, f"n{self._round}"
        committed, synced, named = (self.claimed(BATCH) for _ in range(3))
        released, (retried, parked) = self.claimed(BATCH), self.claimed(2)
        spare, left = self.claimed(1)[0].stream_id, f"left {self._round}"
        store.join(WorkerInfo(id=left))
        store.claim("G", left, max_streams=BATCH)
        later = ScheduledMessage(
            message=message(new), due_at=SystemClock().now() + timedelta(days=1)
        )
        due = ScheduledMessage(message=message(new), due_at=SystemClock().now())
        store.schedule([due])
        types, now = frozenset({"added"}), message(f"{new} now", type="other")
        return {
            "append one": lambda: store.append([message(spare)]),
            "append many": lambda: store.append([message(one.stream_id) for one in named]),
            "append expecting": lambda: store.append(
                [message(spare)], expect={spare: UnlessSince(99, types)}
            ),
            "claim": lambda: store.claim("G", "w", max_streams=BATCH),
            "read_pending": lambda: store.read_pending(
                committed,
                known_types=["added"],
                limits=ReadLimits(),
                tails=Tails(types=types, after={one.stream_id: 1 for one in committed}),
            ),
            "commit": lambda: store.commit(
                "w", [part(one, types, place) for place, one in enumerate(committed)]
            ),
            "commit with a sync": lambda: store.commit(
                "w",
                [StreamCommit(claim=one, ack_seq=one.next_seq) for one in synced],
                sync=lambda _c: None,
            ),
            "release": lambda: store.release(released),
            "claim named": lambda: store.claim(
                "G", "w", stream_ids=[one.stream_id for one in released]
            ),
            "retry": lambda: store.retry(retried, Retry(after=timedelta(hours=1))),
            "park": lambda: store.park(parked, Park(error="{}")),
            "unpark": lambda: store.unpark("G", [parked.stream_id, retried.stream_id]),
            "skip": lambda: store.skip("G", parked.stream_id, parked.next_seq),
            "leave": lambda: store.leave(left),
            "reset": lambda: list(store.reset("G", [one.stream_id for one in released])),
            "handle_now": lambda: store.handle_now(
                UnitOfWork(
                    handled={("H", now.stream_id): frozenset([now.id])},
                    messages=(now,),
                )
            ),
            "schedule": lambda: store.schedule([later]),
            "cancel": lambda: store.cancel(later.message.id),
            "promote_due": store.promote_due,
            "poll": lambda: store.poll(timedelta(days=1)),
            "reap": lambda: store.reap(timedelta(days=1)),
        }

    def claimed(self, most: int) -> list[Claim]:
        """So many claims on streams that have something to handle."""
        claims = self._store.claim("G", "w", max_streams=most)
        if len(claims) < most:
            self._store.append([message(f"w{uuid4().hex}") for _ in range(most - len(claims))])
            claims += self._store.claim("G", "w", max_streams=most - len(claims))
        assert len(claims) == most
        return claims


def part(claim: Claim, types: frozenset[str], place: int) -> StreamCommit:
    """A commit of one of a batch, which appends, and now and then expects something."""
    expect = {claim.stream_id: UnlessSince(99, types)} if place % 2 else {}
    return StreamCommit(
        claim=claim, ack_seq=claim.next_seq, append=(message(claim.stream_id),), expect=expect
    )


class Database:
    """The tables behind a store that keeps to one session; no vacuum comes by on its own."""

    def __init__(self, store: PostgresStore, schema: str) -> None:
        self._store, self._schema = store, schema
        for table in TABLES:
            self.run("ALTER TABLE {} SET (autovacuum_enabled = off)", table)

    def run(self, statement: LiteralString, table: str) -> None:
        with self._store.connection() as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(self._schema, table)))

    def analyze(self) -> None:
        for table in TABLES:
            self.run("VACUUM ANALYZE {}", table)

    def fill(self) -> None:
        fill = sql.SQL(FILL).format(s=sql.Identifier(self._schema), n=sql.Literal(STREAMS))
        with self._store.connection() as connection:
            connection.execute(fill)


@pytest.fixture(params=["plans of new tables", "plans of one row", "statistics of a few rows"])
def work(request: pytest.FixtureRequest, sourced_postgres: str) -> Iterator[Work]:
    """A store that keeps to one session, filled behind the planner's back."""
    schema = f"t{uuid4().hex[:12]}"
    joiner = "&" if "?" in sourced_postgres else "?"
    url = f"{sourced_postgres}{joiner}schema={schema}"
    store = open_store(url, pool_size=1, hints=False)
    store.install()
    database = Database(store, schema)
    store.register("G", ["added"])
    store.register("H", ["other"])
    store.join(WorkerInfo(id="w"))
    work = Work(store)
    if request.param == "plans of one row":
        store.append([message("one")])
        database.analyze()
    for _ in range(8):
        for call in work.verbs().values():
            call()
    if request.param == "statistics of a few rows":
        database.analyze()
    database.fill()
    yield work
    store.uninstall()
    store.close()


def rows_read(store: PostgresStore) -> int:
    """How many rows of the large tables the store's session has read until now."""
    with store.connection() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT pg_stat_clear_snapshot()")
        (read,) = connection.execute(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))"
            " FROM pg_stat_user_tables WHERE schemaname = %s AND relname = ANY (%s)",
            [store._schema, list(TABLES)],
        ).fetchone() or (0,)
    return int(read)


def test_no_verb_reads_more_rows_than_it_is_about(work: Work) -> None:
    """I10, T58: forty thousand streams became ready since the session made its plans."""
    store = work._store
    read: dict[str, int] = {}
    for verb, call in work.verbs().items():
        before = rows_read(store)
        call()
        read[verb] = rows_read(store) - before

    too_many = {verb: rows for verb, rows in read.items() if rows > 15 * BATCH}
    assert not too_many

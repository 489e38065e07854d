"""Plans of the hot functions on a filled database: index scans only, and the same ones later."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from sourced._store import ReadLimits, StreamCommit, Tails, UnlessSince, WorkerInfo
from sourced_postgres import PostgresStore, open_store
from sourced_testing.conformance._given import message

MESSAGES, STREAMS, DELIVERIES = 1_000_000, 200_000, 50_000

FILL = """
INSERT INTO {s}.streams (stream_id, seq)
SELECT 's' || n, {messages} / {streams} FROM generate_series(1, {streams}) AS n;
INSERT INTO {s}.messages (
    stream, seq, id, causation_id, correlation_id, created_at, version, type, meta, payload
)
SELECT 1 + n % {streams}, 1 + n / {streams}, gen_random_uuid(), gen_random_uuid(),
    gen_random_uuid(), now(), 1, CASE WHEN n % 3 = 0 THEN 'add' ELSE 'added' END, '{{}}', '{{}}'
FROM generate_series(0, {messages} - 1) AS n;
INSERT INTO {s}.deliveries ("group", stream, next_seq, ready_at)
SELECT (SELECT id FROM {s}.groups WHERE name = 'G'), n, 1, now() - make_interval(secs => n)
FROM generate_series(1, {deliveries}) AS n;
INSERT INTO {s}.schedule (
    message_id, causation_id, correlation_id, due_at, created_at, version, stream_id, type, meta,
    payload
)
SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now() + interval '1 day', now(), 1,
    's1', 'add', '{{}}', '{{}}'
FROM generate_series(1, {deliveries}) AS n;
"""


@pytest.fixture(scope="module")
def filled(sourced_postgres: str) -> Iterator[PostgresStore]:
    """A filled store that keeps to one connection, on a server that can show plans."""
    schema = f"t{uuid4().hex[:12]}"
    joiner = "&" if "?" in sourced_postgres else "?"
    store = open_store(f"{sourced_postgres}{joiner}schema={schema}", pool_size=1, hints=False)
    with store.connection() as connection:
        try:
            connection.execute("LOAD 'auto_explain'")
        except psycopg.Error as error:
            store.close()
            pytest.skip(f"this server does not show plans: {error}")
    store.install()
    store.register("G", ["add", "added"])
    store.join(WorkerInfo(id="w"))
    numbers = {"messages": MESSAGES, "streams": STREAMS, "deliveries": DELIVERIES}
    names = {name: sql.Literal(value) for name, value in numbers.items()}
    with store.connection() as connection:
        connection.execute(sql.SQL(FILL).format(s=sql.Identifier(schema), **names))
        for table in ("streams", "messages", "deliveries", "schedule"):
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(schema, table)))
    yield store
    store.uninstall()
    store.close()


@pytest.fixture
def store(filled: PostgresStore) -> PostgresStore:
    """The filled store."""
    return filled


@pytest.fixture
def plans(store: PostgresStore) -> Iterator[list[str]]:
    """The plans of everything that runs on the store's connection from here on."""
    found: list[str] = []
    note = lambda notice: found.append(notice.message_primary or "")  # noqa: E731
    with store.connection() as connection:
        connection.execute("SET auto_explain.log_min_duration = 0")
        connection.execute("SET auto_explain.log_nested_statements = on")
        connection.execute("SET auto_explain.log_level = 'notice'")
        connection.add_notice_handler(note)
    yield found
    with store.connection() as connection:
        connection.remove_notice_handler(note)


def shape(plan: str) -> list[str]:
    """The nodes of a plan, without figures."""
    nodes = re.findall(
        r"^\s*(?:-> )?\s*((?:Parallel )?[A-Z][A-Za-z ]*(?: on \S+| using .*?)?)  \(",
        plan,
        re.MULTILINE,
    )
    return [node.strip() for node in nodes]


def scanned(plans: list[str]) -> set[str]:
    """Which of the large tables were read from end to end."""
    large = {"streams", "messages", "deliveries", "schedule"}
    return {name for plan in plans for name in re.findall(r"Seq Scan on (\w+)", plan)} & large


def act(store: PostgresStore, round_: int) -> dict[str, Callable[[], object]]:
    """One call of each hot verb, on streams of its own each round."""
    claims = store.claim("G", "w", max_streams=10)
    assert len(claims) == 10
    names = [claim.stream_id for claim in claims]
    types = frozenset({"added"})
    parts = [
        StreamCommit(
            claim=claim,
            ack_seq=2,
            append=(message(claim.stream_id), message(f"t{round_}")),
            expect={claim.stream_id: UnlessSince(3, types)} if place % 2 else {},
        )
        for place, claim in enumerate(claims)
    ]
    for place in range(1, 10, 2):
        head = store.read_stream(names[place]).head
        parts[place] = StreamCommit(
            claim=claims[place],
            ack_seq=2,
            append=parts[place].append,
            expect={names[place]: UnlessSince(head, types)},
        )
    return {
        "append one": lambda: store.append([message(f"s{10_000 + round_}")]),
        "append one to a new stream": lambda: store.append([message(f"n{round_}")]),
        "append many": lambda: store.append([message(f"s{12_000 + n}") for n in range(100)]),
        "claim": lambda: store.claim("G", "w"),
        "claim named": lambda: store.claim("G", "w", stream_ids=[f"s{4000 + round_}"]),
        "read_pending": lambda: store.read_pending(
            claims,
            known_types=["add", "added"],
            limits=ReadLimits(),
            tails=Tails(types=types, after=dict.fromkeys(names[:5], 1)),
        ),
        "commit": lambda: store.commit("w", parts),
    }


def test_hot_verbs_use_indexes_only_and_keep_their_plans(
    store: PostgresStore, plans: list[str]
) -> None:
    """I10, T58: on a million messages, up to the twelfth execution."""
    seen: dict[str, list[list[str]]] = {}
    for round_ in range(12):
        for verb, call in act(store, round_).items():
            del plans[:]
            call()
            assert plans, f"no plan of {verb} was shown"
            assert scanned(plans) == set(), f"{verb}:\n" + "\n".join(plans)
            seen.setdefault(verb, []).append([str(shape(plan)) for plan in plans])

    for verb, shapes in seen.items():
        assert shapes[8:] == [shapes[8]] * 4, verb


def test_an_idle_claim_reads_no_more_than_a_few_pages(
    store: PostgresStore, plans: list[str]
) -> None:
    """I10: neither the log, nor drained streams, nor what other groups have to do cost anything."""
    store.register("Idle", ["add"], start="now")
    with store.connection() as connection:
        connection.execute("SET auto_explain.log_analyze = on")
        connection.execute("SET auto_explain.log_buffers = on")
    for _ in range(3):
        assert store.claim("Idle", "w") == []
    del plans[:]

    assert store.claim("Idle", "w") == []

    assert scanned(plans) == set()
    pages = [int(n) for plan in plans for n in re.findall(r"Buffers: shared hit=(\d+)", plan)]
    assert 0 < sum(pages) < 200


PARK = """
INSERT INTO {s}.deliveries ("group", stream, next_seq, ready_at, parked_at)
SELECT (SELECT id FROM {s}.groups WHERE name = 'Parked'), n, 1, now(),
    now() - interval '1 day' - make_interval(secs => n)
FROM generate_series(1, {deliveries}) AS n;
ANALYZE {s}.deliveries;
"""


def test_what_happens_all_the_time_reads_no_more_than_what_has_become_due(
    store: PostgresStore, plans: list[str]
) -> None:
    """I10: neither what is scheduled for later nor what was parked long ago."""
    store.register("Parked", ["add"], start="now")
    names = {"s": sql.Identifier(store._schema), "deliveries": sql.Literal(DELIVERIES)}
    with store.connection() as connection:
        connection.execute(sql.SQL(PARK).format(**names))
        connection.execute("SET auto_explain.log_analyze = on")
        connection.execute("SET auto_explain.log_buffers = on")
    verbs: dict[str, Callable[[], object]] = {
        "promote_due": store.promote_due,
        "trip_breaker": lambda: store.trip_breaker(
            "Parked", more_than=1, within=timedelta(minutes=1)
        ),
        "poll": lambda: store.poll(timedelta(minutes=1)),
    }

    for verb, call in verbs.items():
        for _ in range(8):
            del plans[:]
            call()
            assert scanned(plans) == set(), verb
        pages = [int(n) for plan in plans for n in re.findall(r"Buffers: shared hit=(\d+)", plan)]
        assert 0 < max(pages) < 100, f"{verb}:\n" + "\n".join(plans)

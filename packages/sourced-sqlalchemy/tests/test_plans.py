"""What a verb costs does not grow with the log: its plans, read from SQLite (I10, T58).

Each verb runs on a filled database, once without statistics and once with them, and every statement
it sends is explained. None may walk a table whose size is that of the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from sourced._records import ScheduledMessage
from sourced._store import (
    Claim,
    Park,
    Pending,
    ReadLimits,
    Retry,
    Snapshot,
    StreamCommit,
    Tails,
    UnitOfWork,
    UnlessSince,
    WorkerInfo,
)
from sourced_sqlalchemy import SQLAlchemyStore
from sourced_testing.conformance._given import message

WALKED = ("sourced_messages", "sourced_streams", "sourced_deliveries", "sourced_snapshots")
LEASE = timedelta(seconds=15)
DUE = datetime(2026, 1, 1, tzinfo=UTC)


class Plans:
    """The plans of the statements that were sent to SQLite meanwhile."""

    def __init__(self) -> None:
        self.by_statement: dict[str, list[str]] = {}

    def note(self, connection: Connection, statement: str, values: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            raw: Any = connection.connection.dbapi_connection
            rows = raw.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            self.by_statement[statement] = [row[3] for row in rows]

    def scans(self) -> list[str]:
        return [
            f"{step}   in   {statement}"
            for statement, steps in self.by_statement.items()
            for step in steps
            if step.startswith("SCAN") and any(step.split()[1] == table for table in WALKED)
        ]

    def searches_by_group_alone(self) -> list[str]:
        """Searches among all that is pending in a group: as long as its backlog."""
        return [
            f"{step}   in   {statement}"
            for statement, steps in self.by_statement.items()
            for step in steps
            if step.startswith("SEARCH sourced_deliveries") and step.endswith("(group=?)")
        ]


@contextmanager
def explained(store: SQLAlchemyStore) -> Iterator[Plans]:
    plans = Plans()

    def note(
        connection: Connection, _cursor: object, statement: str, values: Any, *_more: object
    ) -> None:
        many = isinstance(values, list)
        plans.note(connection, statement, values[0] if many else values)

    engines = (store._database._reader, store._database._writer)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield plans
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture(params=["without statistics", "with statistics"])
def filled(request: pytest.FixtureRequest, store: SQLAlchemyStore) -> SQLAlchemyStore:
    """A store with 2,000 streams, most of them drained, and a worker who claims."""
    store.register("G", ["added", "removed"])
    store.register("H", ["priced"])
    for batch in range(20):
        streams = [f"{batch}-{number}" for number in range(100)]
        types = ("added", "priced", "removed")
        store.append([message(name, type) for name in streams for type in types])
    store.join(WorkerInfo(id="w"))
    for _ in range(20):
        store.commit("w", [done(one) for one in pending(store, store.claim("G", "w"))])
    if request.param == "with statistics":
        with store.transaction() as transaction:
            transaction.connection.exec_driver_sql("ANALYZE")
    return store


def pending(store: SQLAlchemyStore, claims: list[Claim]) -> list[Pending]:
    known = ["added", "removed", "priced"]
    tails = Tails(types=frozenset({"priced"}), after={claim.stream_id: 0 for claim in claims})
    return store.read_pending(claims, known_types=known, limits=ReadLimits(), tails=tails)


def done(one: Pending) -> StreamCommit:
    claim = one.claim
    state = Snapshot(group="G", stream_id=claim.stream_id, seq=1, version=1, state="{}")
    return StreamCommit(
        claim=claim,
        ack_seq=claim.next_seq,
        append=(message(claim.stream_id, "priced"), message(f"new-{claim.stream_id}", "priced")),
        schedule=(ScheduledMessage(message=message(), due_at=DUE),),
        expect={claim.stream_id: UnlessSince(1, frozenset({"unheard-of"}))},
        snapshot=state,
    )


def appending(store: SQLAlchemyStore) -> None:
    store.append(
        [message("0-1"), message("brand-new")],
        expect={"0-1": UnlessSince(1, frozenset({"unheard-of"}))},
    )


def claiming(store: SQLAlchemyStore) -> None:
    assert store.claim("G", "w")


def claiming_named(store: SQLAlchemyStore) -> None:
    assert store.claim("G", "w", stream_ids=["19-99", "19-98"])


def reading_pending(store: SQLAlchemyStore) -> None:
    assert pending(store, store.claim("G", "w"))


def committing(store: SQLAlchemyStore) -> None:
    store.commit("w", [done(one) for one in pending(store, store.claim("G", "w"))])


def giving_back(store: SQLAlchemyStore) -> None:
    first, second, *rest = store.claim("G", "w")
    store.retry(first, Retry(after=LEASE))
    store.park(second, Park(error="{}"))
    assert store.release(rest)
    store.trip_breaker("G", more_than=100, within=LEASE)
    store.unpark("G", [first.stream_id])
    store.skip("G", second.stream_id, second.next_seq)


def handling_now(store: SQLAlchemyStore) -> None:
    new = message("elsewhere")
    store.handle_now(UnitOfWork(messages=(new,), handled={("G", "elsewhere"): frozenset({new.id})}))


def keeping_house(store: SQLAlchemyStore) -> None:
    store.claim("G", "w")
    store.heartbeat("w")
    store.poll(LEASE)
    store.schedule([ScheduledMessage(message=message("late"), due_at=store.now())])
    store.promote_due()
    store.reap(LEASE)
    store.leave("w")


def reading_the_log(store: SQLAlchemyStore) -> None:
    first = store.read_stream("0-1", types=["added"], after=1).messages
    store.read_stream("0-1", limit=1)
    store.read_all(after=100, limit=10)
    store.read_all(types=["added"], limit=10)
    store.read_all(backwards=True, limit=10)
    store.read_snapshots("G", ["0-1", "0-2"], version=1)
    known = store.read_all(limit=1).messages[0]
    store.read_one(known.id)
    store.trace(known.id)
    store.inspect.progress("G", "0-1")
    store.inspect.pending(known.correlation_id)
    store.inspect.streams(prefix="0-", limit=10)
    store.inspect.recent_streams(limit=10)
    store.inspect.deliveries(stream_id="19-99")
    assert first == ()


VERBS: list[Callable[[SQLAlchemyStore], None]] = [
    appending,
    claiming,
    claiming_named,
    reading_pending,
    committing,
    giving_back,
    handling_now,
    keeping_house,
    reading_the_log,
]


@pytest.mark.parametrize("verb", VERBS, ids=[verb.__name__ for verb in VERBS])
def test_no_verb_walks_the_history_or_the_backlog(
    filled: SQLAlchemyStore, verb: Callable[[SQLAlchemyStore], None]
) -> None:
    with explained(filled) as plans:
        verb(filled)

    assert plans.by_statement
    assert plans.scans() == []
    assert plans.searches_by_group_alone() == []


def test_a_claim_of_named_streams_looks_them_up_among_whatever_is_ready(
    filled: SQLAlchemyStore,
) -> None:
    with explained(filled) as plans:
        claiming_named(filled)

    steps = [step for steps in plans.by_statement.values() for step in steps]
    assert not [step for step in steps if "claimable" in step]


def test_the_number_of_statements_does_not_grow_with_the_batch(filled: SQLAlchemyStore) -> None:
    few = pending(filled, filled.claim("G", "w", max_streams=2))
    many = pending(filled, filled.claim("G", "w", max_streams=50))

    with explained(filled) as for_few:
        filled.commit("w", [done(one) for one in few])
    with explained(filled) as for_many:
        filled.commit("w", [done(one) for one in many])

    # By text; lists of different lengths differ in it, and are as many.
    assert len(for_many.by_statement) == len(for_few.by_statement)

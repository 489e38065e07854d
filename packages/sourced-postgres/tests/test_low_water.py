"""Claims stay cheap while somebody holds a snapshot open, and overlook nothing for it (T39)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import psycopg
import pytest
from psycopg import sql

from sourced._store import Claim, Release, Retry, StreamCommit
from sourced_postgres import PostgresStore, open_store
from sourced_postgres._low_water import LowWater
from sourced_postgres._rows import Row
from sourced_testing.conformance._given import Given, message

STREAMS = 5_000


# --- on a real server -----------------------------------------------------------------------------


@pytest.fixture
def live_store(url: str) -> Iterator[PostgresStore]:
    """A store by the server's own clock that keeps to one connection, with a group."""
    store = open_store(url, pool_size=1, hints=False)
    store.install()
    store.register("G", ["added"])
    yield store
    store.uninstall()
    store.close()


@pytest.fixture
def given(live_store: PostgresStore) -> Given:
    return Given(live_store, None)  # type: ignore[arg-type]  # no test here turns a clock


@pytest.fixture
def held_snapshot(sourced_postgres: str, live_store: PostgresStore) -> Iterator[None]:
    """Somebody's report, which has been running since before anything was handled."""
    assert live_store.installed()
    with psycopg.connect(sourced_postgres) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM pg_class")
        yield


def handle_many(store: PostgresStore, schema: str, worker: str) -> None:
    for first in range(0, STREAMS, 500):
        store.append([message(f"s{n}") for n in range(first, first + 500)])
    with store.connection() as connection:
        deliveries = sql.Identifier(schema, "deliveries")
        connection.execute(
            sql.SQL("UPDATE {} SET ready_at = ready_at - interval '1 hour'").format(deliveries)
        )
    while claims := store.claim("G", worker, max_streams=500):
        store.commit(worker, [StreamCommit(claim=claim, ack_seq=1) for claim in claims])


def pages_of(store: PostgresStore, call: Callable[[], object]) -> int:
    """How many pages a call reads, nested statements included."""
    plans: list[str] = []
    note = lambda notice: plans.append(notice.message_primary or "")  # noqa: E731
    with store.connection() as connection:
        try:
            connection.execute("LOAD 'auto_explain'")
        except psycopg.Error as error:
            pytest.skip(f"this server does not show plans: {error}")
        for setting, value in {
            "log_min_duration": "0",
            "log_nested_statements": "on",
            "log_analyze": "on",
            "log_buffers": "on",
            "log_level": "notice",
        }.items():
            name = sql.Identifier("auto_explain", setting)
            connection.execute(sql.SQL("SET {} = {}").format(name, value))
        connection.add_notice_handler(note)
    call()
    with store.connection() as connection:
        connection.remove_notice_handler(note)
    assert plans
    top = re.compile(r"Query Text: .*?Buffers: shared hit=(\d+)", re.DOTALL)
    return max(int(found[1]) for plan in plans if (found := top.search(plan)))


def test_a_claim_reads_few_pages_while_somebody_holds_a_snapshot(
    live_store: PostgresStore, given: Given, schema: str, held_snapshot: None
) -> None:
    """T39: what was handled since is dead, and still at the head of the index."""
    worker = given.worker()
    handle_many(live_store, schema, worker)
    live_store.append([message("one more")])
    live_store.claim("G", worker)
    live_store.poll(timedelta(days=1))

    idle = pages_of(live_store, partial(live_store.claim, "G", worker))
    live_store._low_water.forget()
    everything = pages_of(live_store, partial(live_store.claim, "G", worker))

    assert idle * 4 < everything


def test_what_this_process_gives_back_in_its_place_is_claimed_at_once(
    live_store: PostgresStore, given: Given
) -> None:
    worker = given.worker()
    live_store.append([message(f"s{n}") for n in range(6)])
    claims = live_store.claim("G", worker)
    by_name = {claim.stream_id: claim for claim in claims}

    live_store.release([by_name["s0"]])
    live_store.retry(by_name["s1"], Retry(after=timedelta(0)))
    live_store.commit(worker, [StreamCommit(claim=by_name["s2"], then=Release())])

    assert {claim.stream_id for claim in live_store.claim("G", worker)} == {"s0", "s1", "s2"}
    live_store.leave(worker)
    assert len(live_store.claim("G", given.worker())) == 6


def test_what_a_stopped_group_had_ready_is_claimed_when_it_is_started(
    live_store: PostgresStore, given: Given
) -> None:
    worker = given.worker()
    live_store.append([message("a")])
    live_store.stop("G")
    assert live_store.claim("G", worker) == []

    live_store.start("G")

    assert [claim.stream_id for claim in live_store.claim("G", worker)] == ["a"]


def test_what_another_process_gives_back_is_claimed_after_a_poll(
    live_store: PostgresStore, given: Given, url: str
) -> None:
    """T31, I12: no hint tells of it; a drain that polls before its claims overlooks nothing."""
    worker, other = given.worker(), open_store(url, hints=False)
    live_store.append([message("old")])
    (old,) = live_store.claim("G", worker)
    late = open_transaction(url)
    live_store.append([message("new")])
    assert len(live_store.claim("G", worker)) == 1
    assert live_store.claim("G", worker) == []

    other.release([old])
    late()
    live_store.poll(timedelta(days=1))

    assert {claim.stream_id for claim in live_store.claim("G", worker)} == {"old", "late"}
    other.close()


def test_what_another_process_gives_back_is_claimed_soon_where_nobody_polls(
    live_store: PostgresStore, given: Given, url: str
) -> None:
    worker, other = given.worker(), open_store(url, hints=False)
    live_store.append([message("old")])
    (old,) = live_store.claim("G", worker)
    live_store.append([message("new")])
    assert len(live_store.claim("G", worker)) == 1

    other.release([old])

    assert claimed_within(live_store, worker, seconds=10) == {"old"}
    other.close()


def open_transaction(url: str) -> Callable[[], None]:
    """Append in a caller's transaction; what is returned commits it."""
    store = open_store(url, hints=False)
    entered = store.transaction()
    entered.__enter__().append([message("late")])

    def commit() -> None:
        entered.__exit__(None, None, None)
        store.close()

    return commit


def claimed_within(store: PostgresStore, worker: str, seconds: float) -> set[str]:
    """The streams that are claimed until there are any, or the time is over."""
    found: list[Claim] = []
    deadline = time.monotonic() + seconds
    while not found and time.monotonic() < deadline:
        found += store.claim("G", worker)
    return {claim.stream_id for claim in found}


# --- the marks themselves -------------------------------------------------------------------------


class Index:
    """Moments at which deliveries of a group became ready, and a clock that a test turns."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.ready: list[datetime] = []
        self.looks: list[datetime | None] = []
        self.marks = LowWater(lambda: self.seconds)

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def add(self, ago: float = 0) -> None:
        self.ready.append(self.now() - timedelta(seconds=ago))

    def claim(self, most: int = 1) -> int:
        return len(self.marks.claim("G", partial(self.look, most)))

    def poll(self) -> None:
        oldest = min((at for at in self.ready if at <= self.now()), default=None)
        self.marks.poll(lambda: [("G", oldest), (None, self.now())])

    def look(self, most: int, since: datetime | None) -> list[Row]:
        self.looks.append(since)
        seen = sorted(at for at in self.ready if since is None or at >= since)[:most]
        for at in seen:
            self.ready.remove(at)
        return [(None,) * 7 + (at,) for at in seen]


@pytest.fixture
def index() -> Index:
    return Index()


def test_an_old_backlog_is_claimed_from_its_oldest_on(index: Index) -> None:
    for ago in (50, 40, 30, 20):
        index.add(ago)

    claimed = [index.claim() for _ in range(5)]

    assert claimed == [1, 1, 1, 1, 0]


def test_only_the_first_of_many_claims_looks_at_everything(index: Index) -> None:
    for _ in range(10):
        index.seconds += 0.05
        index.add()
        assert index.claim(most=1) == 1

    assert [since is None for since in index.looks] == [True] + [False] * 9


def test_claims_that_get_less_than_they_asked_for_look_no_further_either(index: Index) -> None:
    for _ in range(10):
        index.seconds += 0.05
        index.add()
        assert [index.claim(most=2), index.claim(most=2)] == [1, 0]

    assert [since is None for since in index.looks] == [True] + [False] * 19


def test_a_poll_tells_claims_of_what_is_older_than_they_would_look(index: Index) -> None:
    index.add()
    index.claim(most=2)
    index.add(ago=30)  # a caller's transaction, which took its time
    assert index.claim(most=2) == 0

    index.poll()

    assert index.claim(most=2) == 1


def test_claims_between_polls_never_look_at_everything(index: Index) -> None:
    for _ in range(10):
        index.poll()
        for _ in range(10):
            index.seconds += 0.1
            index.claim()

    assert None not in index.looks


def test_what_a_poll_saw_before_something_was_given_back_is_not_believed(index: Index) -> None:
    def look() -> list[Row]:
        index.marks.forget(["G"])  # another thread gives something back
        return [("G", None), (None, index.now())]

    index.marks.poll(look)
    index.add(ago=30)

    assert index.claim() == 1


def test_a_claim_that_began_before_a_poll_takes_nothing_of_it_back(index: Index) -> None:
    index.add()
    index.claim()

    def look(since: datetime | None) -> list[Row]:
        index.add()
        rows = index.look(1, since)
        index.add(ago=30)
        index.poll()  # another thread polls
        return rows

    index.marks.claim("G", look)

    assert index.claim() == 1


def test_where_nobody_polls_claims_look_at_everything_now_and_then(index: Index) -> None:
    index.add()
    for _ in range(50):
        index.claim()
        index.seconds += 0.1

    assert sum(since is None for since in index.looks) == 3


def test_what_is_forgotten_while_a_claim_is_under_way_stays_forgotten(index: Index) -> None:
    index.add()

    def look(since: datetime | None) -> list[Row]:
        index.marks.forget(["G"])  # another thread gives something back
        return index.look(1, since)

    index.marks.claim("G", look)
    index.add(ago=30)

    assert index.claim() == 1

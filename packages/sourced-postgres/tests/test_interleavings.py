"""What must hold between transactions that overlap, driven step by step on a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from sourced._faults import injected
from sourced._store import (
    Claim,
    ExpectedSeq,
    Keep,
    Park,
    ReadLimits,
    Retry,
    StreamCommit,
    UnitOfWork,
    UnlessSince,
    WorkerInfo,
)
from sourced.errors import (
    ClaimLostError,
    CommitRefusedError,
    IsolationError,
    SourcedError,
    StoreUnavailableError,
)
from sourced_postgres import PostgresStore, _store, open_store
from sourced_testing import FakeClock
from sourced_testing.conformance._given import LEASE, Given, message
from sourced_testing.conformance._race import Running, halted, together


@pytest.fixture
def schema(kept_schema: str) -> str:
    """One schema for all tests of this module."""
    return kept_schema


@pytest.fixture
def store(emptied_store: PostgresStore) -> PostgresStore:
    """The store in it, emptied."""
    return emptied_store


@pytest.fixture
def given(store: PostgresStore, clock: FakeClock) -> Given:
    """Short ways to bring the store into a state."""
    return Given(store, clock)


@pytest.fixture
def late(store: PostgresStore, url: str, schema: str, clock: FakeClock) -> Iterator[PostgresStore]:
    """A store whose connections can be told apart in the server's views."""
    assert store.installed()
    late = open_store(url, clock=clock, application_name=f"late {schema}")
    yield late
    late.close()


@pytest.fixture
def observer(sourced_postgres: str, schema: str) -> Iterator[psycopg.Connection]:
    """A connection that looks at `late`'s, and knows them by its own name."""
    with psycopg.connect(
        sourced_postgres, autocommit=True, application_name=f"late {schema} is seen"
    ) as connection:
        yield connection


@pytest.fixture
def own(sourced_postgres: str) -> Iterator[psycopg.Connection]:
    """A connection on which a test begins and ends transactions itself."""
    with psycopg.connect(sourced_postgres, application_name="own") as connection:
        yield connection
        connection.rollback()


def await_waiting(observer: psycopg.Connection) -> None:
    """Return when a connection of `late` waits for a lock of somebody else's transaction."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        (count,) = observer.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name || ' is seen' = current_setting('application_name')"
            " AND wait_event_type = 'Lock'"
            " AND cardinality(pg_blocking_pids(pid)) > 0"
        ).fetchone() or (0,)
        if count:
            return
    raise AssertionError("nobody waits for a lock")


@contextmanager
def standing(call: Callable[[], Any], at: str) -> Iterator[Running[Any]]:
    """Let a call stand still at a fault point, its transaction open; the hook goes after that."""
    running = Running(call, at)
    with injected(running.reached):
        running.start()
    try:
        yield running
    finally:
        running.outcome()


# --- acks, appends, claims ------------------------------------------------------------------------


def test_an_append_that_waits_for_the_ack_makes_a_new_delivery(
    store: PostgresStore, late: PostgresStore, observer: psycopg.Connection, given: Given
) -> None:
    """T61, one way: the ack has seen nothing more; the append finds the delivery gone."""
    given.group()
    given.appended("a")
    claim = given.claimed()

    with standing(partial(given.acked, claim, 1), "commit.before_commit") as acking:
        appending = Running(lambda: late.append([message("a")]))
        appending.start()
        await_waiting(observer)
        assert acking.outcome().error is None

    assert appending.outcome().value.groups == {"G"}
    assert given.drained() == [("a", 2)]


def test_an_ack_that_waits_for_the_append_sees_its_message(
    store: PostgresStore, late: PostgresStore, observer: psycopg.Connection, given: Given
) -> None:
    """T61, the other way: the ack's statement began before the append's commit."""
    given.group()
    given.appended("a")
    claim = given.claimed()

    with standing(lambda: store.append([message("a")]), "append.before_commit") as appending:
        part = StreamCommit(claim=claim, ack_seq=1)
        acking = Running(lambda: late.commit(claim.worker, [part]))
        acking.start()
        await_waiting(observer)
        assert appending.outcome().value.groups == frozenset()

    assert acking.outcome().value.groups == {"G"}
    assert given.row().next_seq == 2
    assert given.drained() == [("a", 2)]


def test_a_decision_that_waits_for_another_is_checked_against_it(
    store: PostgresStore, late: PostgresStore, observer: psycopg.Connection, given: Given
) -> None:
    """T59: for heads, which the lock itself returns, and for types, which are read after it."""
    given.appended("a")
    for expectation in (ExpectedSeq(1), UnlessSince(1, frozenset({"added"}))):
        head = len(given.stream())
        expected = (
            type(expectation)(head)
            if isinstance(expectation, ExpectedSeq)
            else (UnlessSince(head, expectation.types))
        )
        with standing(lambda: store.append([message("a")]), "append.before_commit") as first:
            second = Running(partial(late.append, [message("a")], expect={"a": expected}))
            second.start()
            await_waiting(observer)
            assert first.outcome().error is None

        assert type(second.outcome().error).__name__ == "ConcurrencyError"


def test_a_claim_passes_over_what_is_being_drained_and_takes_what_is_refilled(
    store: PostgresStore, late: PostgresStore, observer: psycopg.Connection, given: Given
) -> None:
    """T69: it never waits, and reads messages by a snapshot newer than its lock."""
    given.group()
    given.appended("a")
    worker = given.worker()
    claim = given.claimed()

    with standing(partial(given.acked, claim, 1), "commit.before_commit") as acking:
        refilling = Running(lambda: late.append([message("a")]))
        refilling.start()
        await_waiting(observer)
        assert store.claim("G", worker) == []
        assert acking.outcome().error is None
    assert refilling.outcome().error is None
    (again,) = store.claim("G", worker)
    with halted(lambda: late.append([message("a")]), "append.after"):
        (found,) = store.read_pending([again], known_types=["added"], limits=ReadLimits())

    assert again.epoch > claim.epoch
    assert [one.seq for one in found.messages] == [2, 3]


def test_a_release_waits_for_whoever_looks_at_its_claim(
    store: PostgresStore,
    late: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
    schema: str,
) -> None:
    """T56: passed over, the stream would stay with a worker that lives and has let go of it."""
    given.group()
    given.appended("a")
    claim = given.claimed()
    look = sql.SQL("SELECT {}(id, 0, 500) FROM {}").format(
        sql.Identifier(schema, "move_on"), sql.Identifier(schema, "groups")
    )

    own.execute(look)
    releasing = Running(lambda: late.release([claim]))
    releasing.start()
    await_waiting(observer)
    own.commit()

    assert releasing.outcome().value == 1
    assert given.drained() == [("a", 1)]


@pytest.mark.parametrize("how", ["leave", "release"])
def test_who_waits_for_one_claim_while_giving_back_several_holds_up_no_append(
    store: PostgresStore,
    late: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
    schema: str,
    how: str,
) -> None:
    """I8: all are locked before any is changed, and a fan-out waits for what is changed only."""
    given.group("G")
    given.group("H")
    given.appended("a")
    worker = given.worker()
    claims = [claim for group in ("G", "H") for claim in store.claim(group, worker)]
    hold = sql.SQL('SELECT FROM {} WHERE "group" = 2 FOR NO KEY UPDATE').format(
        sql.Identifier(schema, "deliveries")
    )

    own.execute(hold)
    giving = Running(lambda: late.leave(worker) if how == "leave" else late.release(claims))
    giving.start()
    await_waiting(observer)
    appending = Running(lambda: store.append([message("a")]))
    appending.start()
    assert appending.outcome().value.groups == frozenset()
    own.commit()

    assert giving.outcome().error is None
    assert [row.state for row in store.inspect.deliveries()] == ["ready", "ready"]


def test_a_claim_that_is_lost_while_it_is_decided_on_is_not_kept(
    store: PostgresStore, late: PostgresStore, given: Given
) -> None:
    """I3: the reaper needs no stream, so the stream's lock does not keep a claim."""
    given.group("G", "add")
    given.appended("a", "add", "add")
    claim = given.claimed()
    given.clock.advance(60)
    kept = StreamCommit(claim=claim, ack_seq=1, then=Keep(), append=(message("a"),))

    deciding_on = partial(store.commit_locked, claim, lambda _transaction: kept)
    with standing(deciding_on, "commit.locked") as deciding:
        assert late.reap(LEASE) == 1
        (others,) = late.claim("G", given.worker())
        refused = deciding.outcome().error

    assert isinstance(refused, CommitRefusedError)
    assert isinstance(refused.failures["a"], ClaimLostError)
    assert given.acked(others, 2).messages == ()
    assert [one.type for one in given.stream()] == ["add", "add"]


def test_two_writers_of_the_same_streams_in_opposite_order_never_deadlock(
    store: PostgresStore, other_store: PostgresStore, given: Given
) -> None:
    """T53: of streams that exist and of new ones, a thousand times."""

    def write(through: PostgresStore, *names: str) -> None:
        for n in range(500):
            through.append([message(name.format(n // 5)) for name in names])

    ended = together(
        partial(write, store, "a", "new-{}", "b", "also-new-{}"),
        partial(write, other_store, "also-new-{}", "b", "new-{}", "a"),
    )

    assert [one.error for one in ended] == [None, None]
    assert [one.seq for one in given.stream("a")] == list(range(1, 1001))
    assert store.inspect.status().streams == 202


# --- the log --------------------------------------------------------------------------------------


def test_a_message_that_commits_late_is_missed_by_nobody(
    store: PostgresStore, own: psycopg.Connection, given: Given
) -> None:
    """T9: position n is open, n + 1 is committed: groups do not wait, the log's readers do."""
    given.group()
    given.appended("z")
    (early,) = store.bind(own).append([message("a")]).messages
    (later,) = given.appended("b")
    assert early.position < later.position

    page = store.read_all()
    handled = given.drained()

    assert [one.stream_id for one in page.messages] == ["z"]
    assert page.next_after < early.position
    assert [f"pid {own.info.backend_pid}" in text for text in page.waiting_for] == [True]
    assert "own" in page.waiting_for[0]
    assert handled == [("z", 1), ("b", 1)]

    own.commit()
    rest = store.read_all(after=page.next_after)

    assert [one.id for one in rest.messages] == [early.id, later.id]
    assert rest.waiting_for == ()
    assert given.drained() == [("a", 1)]


def test_holes_of_appends_that_rolled_back_hold_up_nobody(
    store: PostgresStore, own: psycopg.Connection, given: Given
) -> None:
    """T10: nobody holds the lock, so a hole is final at once."""
    given.appended("a")
    for _ in range(3):
        store.bind(own).append([message("b")])
        own.rollback()
    (last,) = given.appended("a")

    page = store.read_all()

    assert [one.seq for one in page.messages] == [1, 2]
    assert (page.next_after, page.waiting_for) == (last.position, ())


def test_holes_are_passed_although_somebody_always_appends(
    store: PostgresStore, other_store: PostgresStore, own: psycopg.Connection, given: Given
) -> None:
    """T10: who began to append after the page was asked for has drawn positions behind it."""
    store.bind(own).append([message("b")])
    own.rollback()
    done = threading.Event()

    def keep_appending() -> None:
        while not done.is_set():
            other_store.append([message("busy")])

    writers = [Running(keep_appending) for _ in range(3)]
    for one in writers:
        one.start()
    (mark,) = given.appended("a")
    deadline, after = time.monotonic() + 20, 0
    while after < mark.position and time.monotonic() < deadline:
        after = store.read_all(after=after, limit=10_000).next_after
    done.set()

    assert [one.outcome().error for one in writers] == [None] * 3
    assert after >= mark.position


def test_a_transaction_that_appends_nothing_holds_up_nobody(
    store: PostgresStore, own: psycopg.Connection, given: Given
) -> None:
    """T11: idle for as long as it likes, whatever it has written of its own."""
    given.group()
    own.execute("CREATE TEMPORARY TABLE mine (n integer)")
    store_position = given.appended("a")[0].position
    given.appended("b")

    page = store.read_all()

    assert len(page.messages) == 2
    assert page.next_after > store_position
    assert page.waiting_for == ()
    assert len(given.drained()) == 2


def test_a_transaction_that_only_appended_to_its_end_names_itself_in_waiting(
    store: PostgresStore, own: psycopg.Connection, given: Given
) -> None:
    """T11: what was drawn last and is not visible is a hole too."""
    given.appended("a")
    store.bind(own).append([message("b")])

    page = store.read_all()

    assert len(page.messages) == 1
    assert len(page.waiting_for) == 1


# --- registering ----------------------------------------------------------------------------------


def test_a_registration_waits_for_open_appends_and_holds_up_no_others(
    store: PostgresStore,
    late: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
) -> None:
    """T62: appends that queue behind it go on within its lock timeout."""
    (open_one,) = store.bind(own).append([message("a")]).messages
    registering = Running(lambda: late.register("G", ["added"]))
    registering.start()
    await_waiting(observer)

    longest = 0.0
    for n in range(20):
        began = time.monotonic()
        store.append([message(f"b{n}")])
        longest = max(longest, time.monotonic() - began)
    assert not registering.ended_within(0)
    own.commit()

    assert registering.outcome().value.created
    assert longest < 2  # the lock timeout of 100 ms, and a machine that has other things to do
    assert sorted(given.drained()) == sorted([("a", 1), *((f"b{n}", 1) for n in range(20))])
    assert open_one.seq == 1


def test_a_registration_that_cannot_get_through_names_who_is_in_the_way(
    store: PostgresStore, own: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T62: it leaves nothing behind, and can be tried again."""
    monkeypatch.setattr(_store, "_REGISTER_PATIENCE", 0.2)
    store.bind(own).append([message("a")])

    with pytest.raises(StoreUnavailableError, match=str(own.info.backend_pid)):
        store.register("G", ["added"])
    own.rollback()

    assert store.inspect.groups() == ()
    assert store.register("G", ["added"]).created


def test_a_delivery_that_moves_on_waits_for_an_append_and_sees_its_message(
    store: PostgresStore,
    late: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
    schema: str,
) -> None:
    """I2: the append saw the delivery and made no other."""
    given.group("G", "added", "removed")
    given.appended("a", "removed")
    unsubscribe = sql.SQL("SELECT {}('G', '{{removed}}', '', '', '')").format(
        sql.Identifier(schema, "unsubscribe")
    )
    (key,) = own.execute(unsubscribe).fetchone() or (0,)
    own.commit()

    with standing(lambda: store.append([message("a")]), "append.before_commit") as appending:
        moving = Running(lambda: late._move_on(key))
        moving.start()
        await_waiting(observer)
        assert appending.outcome().value.groups == frozenset()

    assert moving.outcome().value
    assert given.row().next_seq == 2
    assert given.drained() == [("a", 2)]


# --- operators' verbs beside one another ----------------------------------------------------------


@pytest.fixture
def impatient(url: str, clock: FakeClock) -> Iterator[PostgresStore]:
    """A store whose verbs wait for a lock for a second, not for good."""
    impatient = open_store(url, clock=clock, lock_timeout=timedelta(seconds=1))
    yield impatient
    impatient.close()


def lock(own: psycopg.Connection, schema: str, table: str) -> None:
    """Lock all rows of a table until the transaction ends."""
    statement = sql.SQL("SELECT FROM {} FOR NO KEY UPDATE")
    own.execute(statement.format(sql.Identifier(schema, table)))


@pytest.mark.parametrize(
    ("table", "verb"),
    [
        ("streams", lambda store: store.skip("G", "a", 1)),
        ("streams", lambda store: list(store.reset("G"))),
        ("deliveries", lambda store: store.skip("G", "a", 1)),
        ("deliveries", lambda store: store.unpark("G")),
    ],
    ids=["skip", "reset", "skip of a delivery", "unpark"],
)
def test_a_verb_that_waits_for_a_stream_holds_up_no_stop_of_its_group(
    late: PostgresStore,
    impatient: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
    schema: str,
    table: str,
    verb: Callable[[PostgresStore], object],
) -> None:
    """I8, T51: the group's row is shared by those who only need the group to stay."""
    given.group()
    given.appended("a")
    given.store.park(given.claimed(), Park(error="{}"))
    lock(own, schema, table)
    waiting = Running(lambda: verb(late))
    waiting.start()
    await_waiting(observer)

    impatient.stop("G")
    impatient.start("G")
    tripped = impatient.trip_breaker("G", more_than=0, within=LEASE)
    own.rollback()

    assert tripped
    assert waiting.outcome().error is None
    assert given.group_status("G").status == "stopped"


def test_a_fill_that_waits_for_a_stream_holds_up_no_stop_and_fills_nothing_then(
    late: PostgresStore,
    impatient: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
    schema: str,
) -> None:
    """I8: under the group's lock it looks again whether the group is filling."""
    given.appended("a")
    lock(own, schema, "streams")
    filling = Running(partial(late.register, "G", ["added"]))
    filling.start()
    await_waiting(observer)

    impatient.stop("G")
    own.rollback()

    assert filling.outcome().error is None
    assert given.delivery() is None
    impatient.start("G")
    late.register("G", ["added"])
    assert given.drained() == [("a", 1)]


def left_over(store: PostgresStore) -> list[tuple[Any, ...]]:
    """Rows of groups that are no more."""
    query = sql.SQL(
        "SELECT 'delivery', d.\"group\" FROM {s}.deliveries AS d"
        ' WHERE NOT EXISTS (SELECT FROM {s}.groups AS g WHERE g.id = d."group")'
        " UNION ALL SELECT 'subscription', b.\"group\" FROM {s}.subscriptions AS b"
        ' WHERE NOT EXISTS (SELECT FROM {s}.groups AS g WHERE g.id = b."group")'
    )
    with store.connection() as connection:
        return connection.execute(query.format(s=sql.Identifier(store._schema))).fetchall()


def test_a_removal_waits_for_a_reset_and_takes_its_deliveries_along(
    store: PostgresStore,
    late: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
    schema: str,
) -> None:
    """I2: a delivery of a group that is gone would never be handled, nor shown."""
    given.group()
    given.appended("a")
    given.drained()
    reset = sql.SQL("SELECT {}('G', ARRAY(SELECT s.id FROM {} AS s))")
    own.execute(reset.format(sql.Identifier(schema, "reset"), sql.Identifier(schema, "streams")))

    removing = Running(partial(late.remove, "G"))
    removing.start()
    await_waiting(observer)
    own.commit()

    assert removing.outcome().error is None
    assert left_over(store) == []


def test_an_unsubscription_waits_for_a_reset_and_moves_its_deliveries_on(
    late: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
    schema: str,
) -> None:
    """I2: otherwise one would stand where the group has nothing to handle."""
    given.group("G", "added", "removed")
    given.appended("a", "removed")
    given.drained()
    reset = sql.SQL("SELECT {}('G', ARRAY(SELECT s.id FROM {} AS s))")
    own.execute(reset.format(sql.Identifier(schema, "reset"), sql.Identifier(schema, "streams")))

    unsubscribing = Running(partial(late.unsubscribe, "G", ["removed"]))
    unsubscribing.start()
    await_waiting(observer)
    own.commit()

    assert unsubscribing.outcome().error is None
    assert given.delivery() is None


def test_a_removal_beside_a_registration_of_the_group_leaves_nothing_behind(
    store: PostgresStore,
    late: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I2: the group is announced again, and appended to, before its row is gone."""
    given.group()
    given.appended("a")
    move_on, moved = late._move_on, threading.Event()

    def register_behind(key: int) -> bool:
        found = move_on(key)
        if not moved.is_set():
            moved.set()
            store.register("G", ["added"])
            store.bind(own).append([message("b")])
        return found

    monkeypatch.setattr(late, "_move_on", register_behind)
    removing = Running(partial(late.remove, "G"))
    removing.start()
    await_waiting(observer)
    own.commit()

    assert removing.outcome().error is None
    assert store.inspect.groups() == ()
    assert left_over(store) == []


# --- renaming -------------------------------------------------------------------------------------


def test_a_claim_that_is_being_made_under_the_old_name_is_freed_by_the_renaming(
    late: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    schema: str,
    given: Given,
) -> None:
    """T1: otherwise an old worker would hold the stream, which it cannot commit, while it lives."""
    given.group("Old")
    given.appended("a")
    worker = given.worker()
    claim = sql.SQL("SELECT stream_id FROM {}('Old', %s, 10)")
    claimed = own.execute(claim.format(sql.Identifier(schema, "claim")), [worker]).fetchall()

    renaming = Running(partial(late.register, "New", ["added"], was=["Old"]))
    renaming.start()
    await_waiting(observer)
    own.commit()

    assert claimed == [("a",)]
    assert renaming.outcome().error is None
    assert given.row("New").state == "ready"
    assert given.drained("New") == [("a", 1)]


def test_a_renaming_locks_claims_in_the_order_of_everybody(
    store: PostgresStore,
    late: PostgresStore,
    own: psycopg.Connection,
    observer: psycopg.Connection,
    given: Given,
    schema: str,
) -> None:
    """I8: or it and a worker that leaves could wait for each other."""
    given.appended("a", "other"), given.appended("b", "other")
    given.group("Old")
    given.appended("b"), given.appended("a")
    worker = given.worker()
    for stream_id in ("b", "a"):  # against the order: as a scan finds them
        given.claimed("Old", worker, stream_id)
    names = {name: sql.Identifier(schema, name) for name in ("deliveries", "streams")}
    first = sql.SQL(
        "SELECT d.stream FROM {deliveries} AS d JOIN {streams} AS s ON s.id = d.stream"
        " WHERE s.stream_id = %s FOR NO KEY UPDATE OF d SKIP LOCKED"
    ).format(**names)
    assert own.execute(first, ["a"]).fetchall() != []

    def rename() -> None:
        rename = sql.SQL("SELECT {}('New', ARRAY['Old'])")
        with late.connection() as connection:
            connection.execute(rename.format(sql.Identifier(schema, "rename_group")))

    renaming = Running(rename)
    renaming.start()
    await_waiting(observer)
    free = observer.execute(first, ["b"]).fetchall()
    own.rollback()

    assert renaming.outcome().error is None
    assert len(free) == 1
    assert given.row("New").worker is None


def test_nothing_is_claimed_under_a_name_that_is_being_changed(
    store: PostgresStore, own: psycopg.Connection, schema: str, given: Given
) -> None:
    """T1: nor is the renaming waited for; one that fails changes nothing."""
    given.group("Old")
    given.group("Other")
    given.appended("a")
    worker = given.worker()
    rename = sql.SQL("SELECT {}('New', ARRAY['Old'])")

    own.execute(rename.format(sql.Identifier(schema, "rename_group")))
    meanwhile = store.claim("Old", worker), store.claim("Other", worker)
    own.rollback()

    assert [len(claims) for claims in meanwhile] == [0, 1]
    assert len(store.claim("Old", worker)) == 1


# --- isolation, and what waits for nothing --------------------------------------------------------


@pytest.mark.parametrize(
    "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
)
def test_a_callers_transaction_of_another_isolation_level_is_refused(
    store: PostgresStore, own: psycopg.Connection, level: psycopg.IsolationLevel
) -> None:
    """T68: an append would not see a group that registered meanwhile."""
    own.isolation_level = level
    bound = store.bind(own)

    for verb in (
        lambda: bound.append([message("a")]),
        lambda: bound.schedule([]),
    ):
        with pytest.raises(IsolationError):
            verb()
    assert own.execute("SELECT 1").fetchone() == (1,)


def writing_verbs(store: PostgresStore) -> dict[str, Callable[[], object]]:
    """Every verb that writes, on a group G, a stream a and a worker w that need not be there."""
    claim = Claim(
        group="G", stream_id="a", worker="w", epoch=1, next_seq=1, attempts=1, replay_until=0
    )
    now = message("a")
    return {
        "append": lambda: store.append([message("a")]),
        "schedule": lambda: store.schedule([]),
        "handle_now": lambda: store.handle_now(
            UnitOfWork(messages=(now,), handled={("G", "a"): frozenset({now.id})})
        ),
        "register": lambda: store.register("G", ["more"]),
        "unsubscribe": lambda: store.unsubscribe("G", ["added"]),
        "remove": lambda: store.remove("G"),
        "stop": lambda: store.stop("G"),
        "start": lambda: store.start("G"),
        "trip_breaker": lambda: store.trip_breaker("G", more_than=1, within=LEASE),
        "reset": lambda: list(store.reset("G")),
        "join": lambda: store.join(WorkerInfo(id="w")),
        "heartbeat": lambda: store.heartbeat("w"),
        "leave": lambda: store.leave("w"),
        "reap": lambda: store.reap(LEASE),
        "claim": lambda: store.claim("G", "w"),
        "commit": lambda: store.commit("w", [StreamCommit(claim=claim, ack_seq=1)]),
        "release": lambda: store.release([claim]),
        "retry": lambda: store.retry(claim, Retry(error="{}")),
        "park": lambda: store.park(claim, Park(error="{}")),
        "unpark": lambda: store.unpark("G"),
        "skip": lambda: store.skip("G", "a", 1),
        "cancel": lambda: store.cancel(now.id),
        "promote_due": store.promote_due,
    }


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_every_writing_verb_refuses_a_role_whose_transactions_are_of_another_level(
    store: PostgresStore, given: Given, url: str, level: str
) -> None:
    """T68: the level that a role or a database is given counts as one that the caller chose."""
    given.group()
    setting = level.replace(" ", "\\ ")
    other = open_store(f"{url}&options={quote(f'-c default_transaction_isolation={setting}')}")
    told: dict[str, str] = {}

    for name, verb in writing_verbs(other).items():
        try:
            verb()
        except SourcedError as error:
            told[name] = f"{type(error).__name__}: {error}"
        else:
            told[name] = "accepted"
    other.close()

    expected = f"IsolationError: the transaction is {level}"
    assert {name: text for name, text in told.items() if not text.startswith(expected)} == {}


def test_a_connection_that_commits_by_itself_is_not_joined(
    store: PostgresStore, observer: psycopg.Connection
) -> None:
    with pytest.raises(IsolationError, match="autocommit"):
        store.bind(observer)


def test_only_claims_need_not_wait_for_the_disk(
    store: PostgresStore, given: Given, schema: str
) -> None:
    """I3: the setting ends with the claim's own transaction."""
    given.group()
    given.appended("a")
    claim = sql.SQL("SELECT * FROM {}('G', {}, 1)").format(
        sql.Identifier(schema, "claim"), sql.Literal(given.worker())
    )
    with store.connection() as connection:
        connection.execute("SET synchronous_commit = on")
        with connection.transaction():
            connection.execute(claim)
            inside = connection.execute("SHOW synchronous_commit").fetchone()
        after = connection.execute("SHOW synchronous_commit").fetchone()

    assert (inside, after) == (("off",), ("on",))


def test_a_reaper_passes_over_a_claim_that_is_being_committed(
    store: PostgresStore, other_store: PostgresStore, given: Given
) -> None:
    """I8: it never waits, and the commit wins."""
    given.group()
    given.appended("a")
    claim = given.claimed()
    given.clock.advance(60)

    with standing(partial(given.acked, claim, 1), "commit.before_commit") as acking:
        assert other_store.reap(LEASE) == 0
        assert acking.outcome().error is None

    assert given.delivery() is None


def test_a_commit_that_waits_for_the_reaper_finds_its_claim_lost(
    store: PostgresStore, late: PostgresStore, observer: psycopg.Connection, given: Given
) -> None:
    """I3: its claims are checked under their locks, not by what it saw before it waited."""
    given.group()
    given.appended("a")
    claim = given.claimed()
    given.clock.advance(60)

    with standing(partial(store.reap, LEASE), "reap.before_commit") as reaping:
        part = StreamCommit(claim=claim, ack_seq=1, append=(message("out"),))
        committing = Running(lambda: late.commit(claim.worker, [part]))
        committing.start()
        await_waiting(observer)
        assert reaping.outcome().value == 1

    refused = committing.outcome().error
    assert isinstance(refused, CommitRefusedError)
    assert isinstance(refused.failures["a"], ClaimLostError)
    assert given.stream("out") == []
    assert given.row().suspect

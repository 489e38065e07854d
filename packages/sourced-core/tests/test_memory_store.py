"""What is special to the memory store: undo, one lock for all threads, hints, bounded cost."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from sourced._faults import injected
from sourced._records import ScheduledMessage
from sourced._store import (
    Claim,
    ExpectedSeq,
    Keep,
    Park,
    ReadLimits,
    Retry,
    Snapshot,
    StreamCommit,
    UnitOfWork,
)
from sourced.errors import (
    CommitRefusedError,
    DuplicateMessageError,
    SchemaError,
    UsageError,
)
from sourced.memory import MemoryStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given, message
from sourced_testing.conformance._race import Running, together

CORRELATION = UUID(int=7)
LEASE = timedelta(seconds=15)


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def given(store: MemoryStore, clock: FakeClock) -> Given:
    return Given(store, clock)


class PulledPlugError(BaseException):
    """What no `except Exception` holds up."""


def seen(store: MemoryStore) -> dict[str, Any]:
    """Return all that can be seen of a store, by every index that it keeps."""
    inspect = store.inspect
    return {
        "log": store.read_all(),
        "log by type": [store.read_all(types=["added"]), store.read_all(types=["removed"])],
        "backwards": store.read_all(backwards=True, types=["added", "removed"]),
        "streams": inspect.streams(),
        "recent": inspect.recent_streams(),
        "stream by type": store.read_stream("a", types=["added"]),
        "pending": inspect.pending(CORRELATION),
        "groups": inspect.groups(),
        "deliveries": inspect.deliveries(),
        "workers": inspect.workers(),
        "schedule": inspect.schedule(),
        "operations": inspect.operations(),
        "snapshots": store.read_snapshots("G", ["a", "b"], version=1),
        "status": inspect.status(),
        "poll": store.poll(LEASE),
    }


# --- undo -----------------------------------------------------------------------------------------


def in_the_middle(given: Given) -> Given:
    """Bring a store into a state in which every table has rows."""
    store = given.store
    given.group()
    store.append([message(stream, correlation_id=CORRELATION) for stream in "aabcd"])
    given.retrying(stream_id="c")
    given.parked(stream_id="d")
    given.due(after=0)
    worker = given.worker("ada")
    given.acked(given.claimed(worker=worker, stream_id="a"), 1, Keep())
    state = Snapshot(group="G", stream_id="b", seq=1, version=1, state="{}")
    given.acked(given.claimed(worker=worker, stream_id="b"), 1, snapshot=state)
    store.unpark("G", ["c"])
    return given


def a_commit(given: Given) -> Callable[[], object]:
    """Prepare a commit of outputs to a new and a known stream, a schedule, a snapshot, an ack."""
    claim = given.claimed(stream_id="c")
    state = Snapshot(group="G", stream_id="a", seq=9, version=1, state="{}")
    later = ScheduledMessage(message=message("later"), due_at=given.store.now())
    part = StreamCommit(
        claim=claim,
        ack_seq=claim.next_seq,
        append=(message("new", "removed", correlation_id=CORRELATION), message("b")),
        schedule=(later,),
        snapshot=state,
    )
    return lambda: given.store.commit(claim.worker, [part])


def a_unit(given: Given) -> Callable[[], object]:
    """Prepare a unit over a new stream and a known one."""
    new = message("new")
    state = Snapshot(group="G", stream_id="a", seq=9, version=1, state="{}")
    work = UnitOfWork(
        messages=(new, message("b", correlation_id=CORRELATION)),
        handled={("G", "new"): frozenset({new.id})},
        snapshots=(state,),
    )
    return lambda: given.store.handle_now(work)


def an_append(given: Given) -> Callable[[], object]:
    """Prepare an append to a new stream and a known one."""
    new = [message("b"), message("new", correlation_id=CORRELATION)]
    return lambda: given.store.append(new)


VERBS: dict[str, Callable[[Given], Callable[[], object]]] = {
    "append.before_commit": an_append,
    "commit.before_commit": a_commit,
    "handle_now.before_commit": a_unit,
    "schedule.after_move": lambda given: given.store.promote_due,
    "reap.before_commit": lambda given: partial(given.store.reap, timedelta(seconds=-1)),
}


@pytest.mark.parametrize("point", VERBS)
def test_what_is_broken_off_leaves_every_index_as_it_was(
    store: MemoryStore, given: Given, point: str
) -> None:
    in_the_middle(given)
    call = VERBS[point](given)
    before = seen(store)
    inside: list[dict[str, Any]] = []

    def pull_the_plug(reached: str) -> None:
        if reached == point:
            inside.append(seen(store))
            raise PulledPlugError

    with pytest.raises(PulledPlugError), injected(pull_the_plug):
        call()

    assert inside != [before]
    assert seen(store) == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_sync_that_raises_takes_everything_back(
    store: MemoryStore, given: Given, error: type[BaseException]
) -> None:
    in_the_middle(given)
    claim = given.claimed(stream_id="c")
    before = seen(store)

    def fail(_connection: object) -> None:
        raise error

    part = StreamCommit(claim=claim, ack_seq=1, append=(message("new"),))
    with pytest.raises(error):
        store.commit(claim.worker, [part], sync=fail)

    assert seen(store) == before


def test_what_a_refused_stream_wrote_does_not_refuse_those_after_it(
    store: MemoryStore, given: Given
) -> None:
    given.group("G", "add")
    given.appended("a", "add")
    given.appended("b", "add")
    first, second = store.claim("G", given.worker())
    stored = store.append([message("z")]).messages[0]
    later = ScheduledMessage(message=message("z", id=stored.id), due_at=store.now())
    refused = StreamCommit(claim=first, ack_seq=1, append=(message("x"),), schedule=(later,))
    other = StreamCommit(
        claim=second, ack_seq=1, append=(message("x"),), expect={"x": ExpectedSeq(0)}
    )

    with pytest.raises(CommitRefusedError) as raised:
        store.commit(first.worker, [refused, other])

    assert list(raised.value.failures) == ["a"]
    assert store.commit(first.worker, [other]).messages[0].seq == 1


# --- messages that do not fit ---------------------------------------------------------------------


def test_a_due_message_that_cannot_be_appended_is_set_aside_and_stops_nobody(
    store: MemoryStore, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T64: as after a restart with a lower limit."""
    given.group()
    large = message("a", payload='{"text": "too long by now"}')
    small = [message("a"), message("a")]
    store.schedule([ScheduledMessage(message=m, due_at=store.now()) for m in [large, *small]])
    monkeypatch.setattr(store, "_limit", 10)

    promoted = store.promote_due()

    assert (promoted.moved, promoted.failed) == (2, 1)
    assert [one.id for one in given.stream("a")] == [one.id for one in small]
    (aside,) = store.inspect.schedule()
    assert aside.message == large
    assert "more than the 10" in (aside.error or "")
    assert store.promote_due().failed == 0
    assert not store.poll(LEASE).due
    assert store.cancel(large.id)


def test_a_unit_does_not_handle_a_message_before_an_older_one_that_it_leaves_to_workers(
    store: MemoryStore, given: Given
) -> None:
    """I4: the older one would be handled after the younger."""
    given.group()
    left, handled = message("a"), message("a")
    work = UnitOfWork(messages=(left, handled), handled={("G", "a"): frozenset({handled.id})})

    with pytest.raises(UsageError, match="in order"):
        store.handle_now(work)

    assert given.log() == []


# --- the caller's transaction ---------------------------------------------------------------------


def test_a_verb_refused_in_a_transaction_takes_back_its_own_writes_alone(
    store: MemoryStore, given: Given
) -> None:
    in_the_middle(given)
    (known,) = given.appended("z")

    with store.transaction() as transaction:
        transaction.append([message("b")])
        before = seen(store)
        new = message("new")
        later = ScheduledMessage(message=message("l", id=known.id), due_at=store.now())
        with pytest.raises(DuplicateMessageError):
            transaction.handle_now(UnitOfWork(messages=(new,), handled={}, schedule=(later,)))
        after = seen(store)

    assert after == before
    assert seen(store) == before


def test_a_transaction_that_has_ended_is_refused(store: MemoryStore) -> None:
    with store.transaction() as transaction:
        transaction.append([message("a")])

    with pytest.raises(UsageError, match="has ended"):
        transaction.append([message("a")])
    with pytest.raises(UsageError, match="has ended"):
        transaction.read_stream("a")


def test_the_stores_own_verbs_do_not_write_inside_a_transaction(
    store: MemoryStore, given: Given
) -> None:
    with store.transaction() as transaction:
        transaction.append([message("a")])
        with pytest.raises(UsageError, match="use its own verbs"):
            store.append([message("a")])
        with pytest.raises(UsageError), store.transaction():
            pass
        assert store.read_stream("a").head == 1

    assert len(given.stream("a")) == 1


def test_bind_says_that_there_are_no_connections(store: MemoryStore) -> None:
    with pytest.raises(UsageError, match=r"store\.transaction\(\)"):
        store.bind(object())


def test_connection_is_none(store: MemoryStore) -> None:
    with store.connection() as connection:
        assert connection is None


# --- threads --------------------------------------------------------------------------------------


def test_a_sync_reads_the_store_but_does_not_write_through_it(
    store: MemoryStore, given: Given
) -> None:
    given.group()
    given.appended("a", "added", "removed")
    claim = given.claimed()
    heads: list[int] = []

    def reads(_connection: object) -> None:
        heads.append(store.read_stream("a").head)

    def writes(_connection: object) -> None:
        store.append([message("a")])

    with pytest.raises(CommitRefusedError) as refused:
        given.acked(claim, 1, sync=writes)
    given.acked(claim, 1, sync=reads)

    assert isinstance(refused.value.failures["a"], UsageError)
    assert "outcomes" in str(refused.value)
    assert heads == [2]
    assert given.delivery() is None


@pytest.mark.parametrize("verb", ["append", "read_stream"])
def test_nobody_else_writes_or_reads_while_a_sync_runs(
    store: MemoryStore, given: Given, verb: str
) -> None:
    given.group()
    given.appended("a")
    claim = given.claimed()
    order: list[str] = []

    def other() -> None:
        store.append([message("a")]) if verb == "append" else store.read_stream("a")
        order.append(verb)

    def sync(_connection: object) -> None:
        running.start()
        running.ended_within(0.05)  # it gets the chance to end first, and must not
        order.append("sync")

    running = Running(other)
    given.acked(claim, 1, sync=sync)

    assert running.outcome().error is None
    assert order == ["sync", verb]


def test_many_threads_handle_every_message_once_and_in_order(
    store: MemoryStore, given: Given
) -> None:
    given.group()
    streams, messages = [f"s{n}" for n in range(8)], 25
    handled: dict[str, list[int]] = {stream: [] for stream in streams}

    def append(stream: str) -> None:
        for _ in range(messages):
            store.append([message(stream)])

    def work() -> None:
        worker = given.worker()
        while sum(map(len, handled.values())) < messages * len(streams):
            claims = store.claim("G", worker, max_streams=3)
            for pending in store.read_pending(claims, known_types=["added"]):
                handled[pending.claim.stream_id] += [one.seq for one in pending.messages]
                given.acked(pending.claim, pending.looked_to)

    ended = together(*[partial(append, stream) for stream in streams], *[work] * 4)

    assert [each.error for each in ended] == [None] * 12
    assert set(map(tuple, handled.values())) == {tuple(range(1, messages + 1))}
    assert store.inspect.deliveries() == ()


# --- hints ----------------------------------------------------------------------------------------


def test_hints_are_given_after_the_lock_is_let_go(store: MemoryStore, given: Given) -> None:
    given.group()
    found: list[int] = []

    def look(_groups: frozenset[str]) -> None:
        thread = threading.Thread(target=lambda: found.append(store.read_stream("a").head))
        thread.start()
        thread.join(20)

    store.subscribe(look)
    store.append([message("a")])

    assert found == [1]


def test_a_subscriber_that_raises_breaks_neither_the_verb_nor_the_others(
    store: MemoryStore, given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    given.group()
    hints: list[frozenset[str]] = []

    def fail(_groups: frozenset[str]) -> None:
        raise ValueError("broken")

    store.subscribe(fail)
    store.subscribe(hints.append)
    with caplog.at_level(logging.ERROR, logger="sourced"):
        store.append([message("a")])

    assert hints == [{"G"}]
    assert len(given.stream("a")) == 1
    assert "hints" in caplog.text


def test_a_hint_that_is_lost_loses_nothing_else(store: MemoryStore, given: Given) -> None:
    given.group()
    hints: list[frozenset[str]] = []
    store.subscribe(hints.append)

    def lose(point: str) -> None:
        if point == "notify.lost":
            raise ValueError("lost")

    with injected(lose):
        store.append([message("a")])

    assert hints == []
    assert store.poll(LEASE).ready == {"G"}


def test_what_is_taken_back_gives_no_hint(store: MemoryStore, given: Given) -> None:
    given.group()
    hints: list[frozenset[str]] = []
    store.subscribe(hints.append)

    with suppress(PulledPlugError), store.transaction() as transaction:
        transaction.append([message("a")])
        raise PulledPlugError
    store.append([message("a", "removed")])

    assert hints == []


def test_one_callback_subscribed_twice_is_called_until_both_have_ended(
    store: MemoryStore, given: Given
) -> None:
    given.group()
    hints: list[frozenset[str]] = []
    end_first, end_second = store.subscribe(hints.append), store.subscribe(hints.append)

    store.append([message("a")])
    end_first()
    end_first()
    store.append([message("b")])
    end_second()
    store.append([message("c")])

    assert len(hints) == 3


@pytest.mark.parametrize(
    ("verb", "hinted"),
    [
        (lambda given, _claim: given.store.unpark("G"), True),
        (lambda given, _claim: list(given.store.reset("G")), True),
        (lambda given, claim: given.store.release([claim]), True),
        (lambda given, claim: given.store.leave(claim.worker), True),
        (lambda given, _claim: given.store.reap(timedelta(seconds=-1)), True),
        (lambda given, claim: given.store.retry(claim, Retry()), True),
        (lambda given, claim: given.store.retry(claim, Retry(after=LEASE)), False),
        (lambda given, claim: given.store.park(claim, Park(error="{}")), False),
        (lambda given, _claim: given.store.stop("G"), False),
    ],
    ids=["unpark", "reset", "release", "leave", "reap", "retry", "retry later", "park", "stop"],
)
def test_whatever_makes_a_delivery_ready_gives_a_hint_and_nothing_else_does(
    store: MemoryStore, given: Given, verb: Callable[[Given, Claim], object], hinted: bool
) -> None:
    given.group()
    given.appended("a")
    given.parked()
    given.appended("b")
    claim = given.claimed(stream_id="b")
    hints: list[frozenset[str]] = []
    store.subscribe(hints.append)

    verb(given, claim)

    assert bool(hints) == hinted


# --- life -----------------------------------------------------------------------------------------


def test_an_uninstalled_store_says_that_it_must_be_installed(store: MemoryStore) -> None:
    store.append([message("a")])
    store.uninstall()

    with pytest.raises(SchemaError, match="install"):
        store.append([message("a")])
    with pytest.raises(SchemaError, match="install"):
        store.inspect.status()
    assert store.install()
    assert store.inspect.status().messages == 0


# --- cost -----------------------------------------------------------------------------------------


def cost(call: Callable[[], object]) -> int:
    """Return how many calls, of Python or C, a call makes: the same on every machine."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event.endswith("call")

    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls


def costs_of_a_round(clock: FakeClock, drained: int, length: int) -> dict[str, int]:
    """Return the costs of the verbs of the hot path, next to so many streams and messages."""
    given = Given(MemoryStore(clock=clock), clock)
    store = given.store
    given.group()
    store.append([message(f"drained-{n}") for n in range(drained)])
    store.append([message("long") for _ in range(length)])
    worker = given.worker()
    while claims := store.claim("G", worker):
        found = store.read_pending(claims, known_types=["added"], limits=ReadLimits(messages=999))
        store.commit(worker, [StreamCommit(claim=p.claim, ack_seq=p.looked_to) for p in found])
    store.append([message("long"), message("other")])
    costs: dict[str, int] = {}
    claims = []
    new = [message("long"), message("new")]
    costs["append"] = cost(lambda: store.append(new))
    costs["claim"] = cost(lambda: claims.extend(store.claim("G", worker)))
    costs["read"] = cost(lambda: store.read_pending(claims, known_types=["added"]))
    part = StreamCommit(claim=claims[0], ack_seq=length + 1, append=(message("new"),))
    costs["commit"] = cost(lambda: store.commit(worker, [part]))
    costs["poll"] = cost(lambda: store.poll(LEASE))
    return costs


def test_cost_grows_neither_with_drained_streams_nor_with_the_log_or_the_stream(
    clock: FakeClock,
) -> None:
    """I10."""
    assert costs_of_a_round(clock, drained=2, length=5) == costs_of_a_round(
        clock, drained=2000, length=5000
    )

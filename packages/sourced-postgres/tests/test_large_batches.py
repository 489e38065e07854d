"""Ids and due messages in large batches, by several connections at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from sourced import App, Event
from sourced._ids import new_id
from sourced._records import NewMessage, ScheduledMessage
from sourced._store import StreamCommit
from sourced.errors import CommitRefusedError, DuplicateMessageError
from sourced_postgres import PostgresStore, open_store
from sourced_testing import FakeClock
from sourced_testing.conformance._given import LEASE, Given, message
from sourced_testing.conformance._race import Running, together

STREAMS, MESSAGES = 300, 2_000


@pytest.fixture
def given(store: PostgresStore, clock: FakeClock) -> Given:
    """Short ways to bring the store into a state."""
    return Given(store, clock)


def batch(repeated: UUID, *, at: int = 1_400) -> list[NewMessage]:
    """Return many messages over many streams, one of which has a certain id."""
    new = [message(f"s{number % STREAMS}") for number in range(MESSAGES)]
    new[at] = message(new[at].stream_id, id=repeated)
    return new


# --- one id twice ---------------------------------------------------------------------------------


def test_an_id_that_is_stored_refuses_a_large_batch_as_a_whole(
    store: PostgresStore, given: Given
) -> None:
    """T24: it is named with its place, and no stream has moved."""
    (stored,) = given.appended("a")
    given.appended("s7")

    with pytest.raises(DuplicateMessageError) as refused:
        store.append(batch(stored.id))

    assert (refused.value.message_id, refused.value.stream_id, refused.value.seq) == (
        stored.id,
        "a",
        1,
    )
    assert store.inspect.status().messages == 2
    assert store.append([message("s7")]).messages[0].seq == 2


@pytest.mark.parametrize("lands", [True, False])
def test_an_id_that_is_being_written_is_waited_for(
    store: PostgresStore, other_store: PostgresStore, sourced_postgres: str, lands: bool
) -> None:
    """T24: the large batch is refused if the other one commits, and lands if it does not."""
    new = message("z")
    store.now()
    with psycopg.connect(sourced_postgres) as own:
        store.bind(own).append([new])
        running = Running(partial(other_store.append, batch(new.id)))
        running.start()
        await_waiting(store)
        if lands:
            own.commit()
        else:
            own.rollback()
        late = running.outcome()

    if lands:
        assert isinstance(late.error, DuplicateMessageError)
        assert (late.error.stream_id, late.error.seq) == ("z", 1)
        assert store.inspect.status().messages == 1
    else:
        assert late.error is None
        assert store.inspect.status().messages == MESSAGES


def await_waiting(store: PostgresStore) -> None:
    """Return when somebody waits for a transaction to end."""
    with store.connection() as connection:
        while True:
            found = connection.execute(
                "SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
            ).fetchone()
            if found is not None:
                return


def test_an_output_whose_id_is_stored_costs_the_other_streams_of_its_batch_nothing(
    store: PostgresStore, given: Given
) -> None:
    """T24: it is named among fifty."""
    given.group()
    (stored,) = given.appended("a")
    store.append([message(f"s{number}") for number in range(49)])
    worker = given.worker()
    parts = [
        StreamCommit(
            claim=claim,
            ack_seq=1,
            append=(
                message("out", id=stored.id if claim.stream_id == "s30" else None),
                message("out"),
            ),
        )
        for claim in store.claim("G", worker)
    ]

    with pytest.raises(CommitRefusedError) as refused:
        store.commit(worker, parts)
    done = store.commit(worker, [part for part in parts if part.claim.stream_id != "s30"])

    assert list(refused.value.failures) == ["s30"]
    assert isinstance(refused.value.failures["s30"], DuplicateMessageError)
    assert [one.seq for one in done.messages] == list(range(1, 99))
    assert store.inspect.status().deliveries == 2  # `out`, and what was refused


class Happened(Event, type="large.happened"):
    pass


def test_senders_that_repeat_one_id_at_once_get_the_same_receipt(
    store: PostgresStore, opened_apps: list[App]
) -> None:
    """T24: one of them recorded it, whoever was first."""
    ids = [new_id() for _ in range(50)]

    def send_all(app: App) -> list[tuple[str, int | None]]:
        receipts = [app.dispatch(Happened(), to="a", id=each) for each in ids]
        return [(receipt.stream_id, receipt.seq) for receipt in receipts]

    ended = [one.value for one in together(*(partial(send_all, app) for app in opened_apps))]

    assert ended == [ended[0]] * len(opened_apps)
    assert sorted(seq for _, seq in ended[0] if seq is not None) == list(range(1, 51))
    assert store.inspect.status().messages == 50


@pytest.fixture
def opened_apps(store: PostgresStore, url: str, clock: FakeClock) -> Iterator[list[App]]:
    """Apps of several processes."""
    store.now()
    apps = [App(open_store(url, clock=clock), clock=clock) for _ in range(4)]
    yield apps
    for app in apps:
        app.close()


# --- due messages ---------------------------------------------------------------------------------


@contextmanager
def housekeepers(url: str, clock: FakeClock, count: int) -> Iterator[list[PostgresStore]]:
    """Stores of several processes, which take messages of up to a hundred bytes."""
    stores = [open_store(url, clock=clock, max_message_bytes=100) for _ in range(count)]
    yield stores
    for one in stores:
        one.close()


def test_housekeepers_that_promote_at_once_move_each_message_once_and_in_order(
    store: PostgresStore, given: Given, url: str, clock: FakeClock, schema: str
) -> None:
    """T64: what is in the log already is dropped; what cannot be appended stops nobody."""
    given.group()
    now = store.now()
    due = [message(f"s{number % 40}") for number in range(1_500)]
    large = message("s1", payload=f'{{"text": "{"x" * 200}"}}')
    store.schedule(
        [
            ScheduledMessage(message=each, due_at=now - timedelta(seconds=number // 100))
            for number, each in enumerate([*due[:700], large, *due[700:]])
        ]
    )
    (known,) = given.appended("s2")
    schedule_what_is_stored(store, schema, known.id)

    with housekeepers(url, clock, 4) as others:
        ended = together(*(partial(promote_all, other) for other in others))
    moved, dropped, failed = map(sum, zip(*(one.value for one in ended), strict=True))

    assert (moved, dropped, failed) == (1_500, 1, 1)
    by_due = [each for first in range(1_500, -1, -100) for each in due_within(due, first)]
    assert [each.id for each in given.log()] == [known.id, *(each.id for each in by_due)]
    (aside,) = store.inspect.schedule()
    assert (aside.message.id, "PayloadError" in (aside.error or "")) == (large.id, True)
    for number in range(40):
        stream = given.stream(f"s{number}")
        assert [one.seq for one in stream] == list(range(1, len(stream) + 1))
    assert len(given.drained()) == 1_501


def due_within(due: list[NewMessage], first: int) -> list[NewMessage]:
    """Return the messages of one second, by their place among all; the large one had place 700."""
    places = range(first, first + 100)
    return [
        each
        for place, each in enumerate([*due[:700], None, *due[700:]])
        if place in places and each
    ]


def schedule_what_is_stored(store: PostgresStore, schema: str, known: UUID) -> None:
    """Let a message wait for its time though it is in the log: an import may have brought it."""
    statement = sql.SQL(
        "INSERT INTO {0} (message_id, causation_id, correlation_id, due_at, created_at, version,"
        " stream_id, type, meta, payload) SELECT %s, causation_id, correlation_id, due_at,"
        " created_at, version, stream_id, type, meta, payload FROM {0} LIMIT 1"
    )
    with store.connection() as connection:
        connection.execute(statement.format(sql.Identifier(schema, "schedule")), [known])


def promote_all(store: PostgresStore) -> tuple[int, int, int]:
    """Promote in small portions until nothing is due; return how many were moved, and so on."""
    moved = dropped = failed = 0
    while store.poll(LEASE).due:
        promoted = store.promote_due(limit=50)
        moved, dropped = moved + promoted.moved, dropped + promoted.dropped
        failed += promoted.failed
    return moved, dropped, failed

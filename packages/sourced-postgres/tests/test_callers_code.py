"""What a sync or load may leave behind: constraints that are checked late, other kinds of rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from sourced import App, Batch, ErrorPolicy, Event, StateStoredProjector, event
from sourced._store import StreamCommit, WorkerInfo
from sourced.errors import CommitRefusedError
from sourced_postgres import PostgresStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import message


class Came(Event, type="callers_code.came"):
    customer: int


class Late:
    """Tables of which one refers to the other, checked when a transaction ends, as Django's do."""

    def __init__(self, url: str, schema: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._customers, self._orders = (sql.Identifier(f"{n}_{schema}") for n in ("c", "o"))
        self._run("CREATE TABLE {0} (id int PRIMARY KEY); INSERT INTO {0} VALUES (1)")
        self._run(
            "CREATE TABLE {1} (id text, customer int REFERENCES {0} DEFERRABLE INITIALLY DEFERRED)"
        )

    def order(self, connection: psycopg.Connection, name: str, customer: int) -> None:
        insert = sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(self._orders)
        connection.execute(insert, [name, customer])

    def lock_customer(self, connection: psycopg.Connection) -> None:
        lock = sql.SQL("SELECT 1 FROM {} WHERE id = 1 FOR UPDATE").format(self._customers)
        connection.execute(lock)

    def orders(self) -> int:
        count = sql.SQL("SELECT count(*) FROM {}").format(self._orders)
        (found,) = self._connection.execute(count).fetchone() or (0,)
        return int(found)

    def drop(self) -> None:
        self._run("DROP TABLE {1}, {0}")
        self._connection.close()

    def _run(self, statement: str) -> None:
        text: Any = statement
        self._connection.execute(sql.SQL(text).format(self._customers, self._orders))


@pytest.fixture
def late(store: PostgresStore, sourced_postgres: str, schema: str) -> Iterator[Late]:
    assert store.installed()
    late = Late(sourced_postgres, schema)
    yield late
    late.drop()


class OrderRows(StateStoredProjector[int]):
    """A row for each event."""

    def __init__(self, late: Late) -> None:
        self.late = late

    def initial_state(self, stream_id: str) -> int:
        return 0

    def load(self, stream_id: str, connection: psycopg.Connection) -> None:
        connection.row_factory = dict_row  # type: ignore[assignment]  # as people do

    @event
    def came(self, state: int, event: Came) -> int:
        return event.customer

    def write(self, state: int, batch: Batch) -> None:
        batch.connection.row_factory = dict_row
        self.late.order(batch.connection, batch.stream_id, state)


class Orders(OrderRows, group="Orders"):
    """Stream by stream."""

    def sync(self, state: int, batch: Batch) -> None:
        self.write(state, batch)


class OrdersTogether(OrderRows, group="OrdersTogether"):
    """Many streams at once."""

    def sync_many(self, states: Sequence[int], batches: Sequence[Batch]) -> None:
        for state, batch in zip(states, batches, strict=True):
            self.write(state, batch)


@pytest.mark.parametrize("projector", [Orders, OrdersTogether])
def test_a_row_that_is_found_wrong_at_the_end_parks_its_stream_alone(
    store: PostgresStore, clock: FakeClock, late: Late, projector: type[OrderRows]
) -> None:
    """T63, T48: what a sync puts off is checked as part of it, whoever is committed with it."""
    app = App(store, clock=clock, errors=ErrorPolicy(retries=1))
    app.register(projector(late))
    for number in range(20):
        app.append(Came(customer=99 if number == 7 else 1), to=f"s{number}")

    app.drain()
    clock.advance(minutes=5)
    app.drain()

    (left,) = store.inspect.deliveries(group=projector.__name__)
    assert (left.stream_id, left.state) == ("s7", "parked")
    assert "ForeignKeyViolation" in (left.error or "")
    assert late.orders() == 19


def test_a_late_check_that_waits_for_a_row_holds_no_stream(
    store: PostgresStore, late: Late, sourced_postgres: str
) -> None:
    """Locks of the store's are taken behind the check."""
    store.register("G", ["added"])
    store.join(WorkerInfo(id="w"))
    store.append([message("a")])
    (claim,) = store.claim("G", "w")
    commit = StreamCommit(claim=claim, ack_seq=1, sync=lambda each: late.order(each, "a", 1))

    with ThreadPoolExecutor(1) as pool, psycopg.connect(sourced_postgres) as holder:
        late.lock_customer(holder)
        committing = pool.submit(store.commit, "w", [commit])
        until_waiting(sourced_postgres, holder)
        with psycopg.connect(sourced_postgres, options="-c lock_timeout=5s") as other:
            store.bind(other).append([message("a", "unhandled")])
        assert not committing.done()
        holder.commit()
        committing.result()

    assert late.orders() == 1


def until_waiting(url: str, holder: psycopg.Connection) -> None:
    """Return when somebody waits for what the holder has locked."""
    query = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
    with psycopg.connect(url, autocommit=True) as observer:
        deadline = time.monotonic() + 20
        while not observer.execute(query, [holder.info.backend_pid]).fetchall():
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.01)


def test_a_commit_under_the_lock_blames_a_late_check_on_its_stream(
    store: PostgresStore, late: Late
) -> None:
    store.register("G", ["added"])
    store.join(WorkerInfo(id="w"))
    store.append([message("a")])
    (claim,) = store.claim("G", "w")
    wrong = StreamCommit(claim=claim, ack_seq=1, sync=lambda each: late.order(each, "a", 99))

    with pytest.raises(CommitRefusedError) as refused:
        store.commit_locked(claim, lambda _: wrong)

    assert isinstance(refused.value.failures["a"], psycopg.errors.ForeignKeyViolation)


def test_how_code_of_the_users_wants_its_rows_is_forgotten_behind_it(
    store: PostgresStore, clock: FakeClock, late: Late
) -> None:
    app = App(store, clock=clock)
    app.register(Orders(late))

    for number in range(3):
        app.append(Came(customer=1), to=f"s{number}")
        assert app.drain().handled == 1
        with store.connection() as connection:
            connection.row_factory = dict_row  # type: ignore[assignment]

    assert late.orders() == 3
    assert store.inspect.deliveries(group="Orders") == ()

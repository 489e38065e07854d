"""Transactions of the caller's: rows and messages commit together, whatever the driver does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session
from sqlalchemy.orm import sessionmaker as make_sessions

from sourced._store import ExpectedSeq, StreamCommit
from sourced.errors import (
    CommitRefusedError,
    ConcurrencyError,
    IsolationError,
    StoreUnavailableError,
    UsageError,
)
from sourced_sqlalchemy import SQLAlchemyStore, open_store
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given, message


class Model(DeclarativeBase):
    pass


class Order(Model):
    __tablename__ = "orders"

    name: Mapped[str] = mapped_column(primary_key=True)


def as_made_by_default(url: str) -> Engine:
    return create_engine(url)


def with_begin_by_event(url: str) -> Engine:
    engine = create_engine(url)

    @event.listens_for(engine, "connect")
    def leave_it_to_us(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def with_transactions_of_pep_249(url: str) -> Engine:
    if not hasattr(sqlite3, "LEGACY_TRANSACTION_CONTROL"):
        pytest.skip("sqlite3 has had this mode since Python 3.12")
    return create_engine(url, connect_args={"autocommit": False})


ENGINES = [as_made_by_default, with_begin_by_event, with_transactions_of_pep_249]


@pytest.fixture(params=ENGINES, ids=[make.__name__ for make in ENGINES])
def engine(request: pytest.FixtureRequest, store: SQLAlchemyStore, url: str) -> Iterator[Engine]:
    """An engine of the caller's own on the store's file, in each way that SQLAlchemy documents."""
    assert store.installed()
    engine: Engine = request.param(url)
    Model.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def plain_engine(store: SQLAlchemyStore, url: str) -> Iterator[Engine]:
    """An engine as `create_engine` makes it."""
    assert store.installed()
    engine = create_engine(url)
    Model.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def given(store: SQLAlchemyStore, clock: FakeClock) -> Given:
    return Given(store, clock)


def orders(engine: Engine) -> list[str]:
    with Session(engine) as session:
        return sorted(order.name for order in session.query(Order))


# --- a connection ---------------------------------------------------------------------------------


def test_rows_and_messages_of_a_connection_commit_together(
    store: SQLAlchemyStore, given: Given, engine: Engine
) -> None:
    with engine.connect() as connection:
        store.bind(connection).append([message("a")])
        connection.execute(text("INSERT INTO orders (name) VALUES ('one')"))

        connection.commit()

    assert (len(given.stream("a")), orders(engine)) == (1, ["one"])


def test_messages_of_a_connection_roll_back_though_nothing_was_written_before_them(
    store: SQLAlchemyStore, given: Given, engine: Engine
) -> None:
    """By default sqlite3 begins nothing before a savepoint, whose release would commit."""
    with engine.connect() as connection:
        store.bind(connection).append([message("a")])

        connection.rollback()

    assert given.stream("a") == []


def test_messages_after_a_read_of_the_callers_roll_back_with_it(
    store: SQLAlchemyStore, given: Given, engine: Engine
) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT count(*) FROM orders")).scalar()
        store.bind(connection).append([message("a")])

        connection.rollback()

    assert given.stream("a") == []


def test_a_refusal_leaves_the_transaction_usable(
    store: SQLAlchemyStore, given: Given, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO orders (name) VALUES ('one')"))
        bound = store.bind(connection)
        with pytest.raises(ConcurrencyError):
            bound.append([message("a")], expect={"a": ExpectedSeq(7)})

        bound.append([message("b")])

    assert (len(given.log()), orders(engine)) == (1, ["one"])


def test_verbs_see_what_the_transaction_wrote_and_others_do_not(
    store: SQLAlchemyStore, engine: Engine
) -> None:
    with engine.begin() as connection:
        bound = store.bind(connection)
        bound.append([message("a")])

        assert (bound.read_stream("a").head, store.read_stream("a").head) == (1, 0)


def test_a_transaction_that_read_before_somebody_wrote_is_told_to_run_again(
    store: SQLAlchemyStore, engine: Engine
) -> None:
    """SQLite cannot give the write lock to a snapshot that is no longer the newest."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM orders").scalar()
        if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr] # sqlite3's
            pytest.skip("this driver has not begun, so that the verb begins with the newest")
        store.append([message("a")])

        with pytest.raises(StoreUnavailableError, match="roll it back and run it again"):
            store.bind(connection).append([message("b")])


def test_a_connection_that_commits_every_statement_is_refused(
    store: SQLAlchemyStore, plain_engine: Engine
) -> None:
    connecting = plain_engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    with connecting as connection, pytest.raises(IsolationError, match="AUTOCOMMIT"):
        store.bind(connection).append([message("a")])

    assert store.read_stream("a").head == 0


def test_a_connection_to_another_file_is_refused(store: SQLAlchemyStore, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/other.db")

    with engine.connect() as connection, pytest.raises(UsageError, match=r"other\.db"):
        store.bind(connection)

    engine.dispose()


def test_what_is_no_connection_is_refused(store: SQLAlchemyStore, plain_engine: Engine) -> None:
    with pytest.raises(UsageError, match="cannot bind to Engine"):
        store.bind(plain_engine)


def test_a_store_in_memory_joins_its_own_connections_only(clock: FakeClock) -> None:
    store = open_store("sqlite://", clock=clock)
    store.install()
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(UsageError, match="only its own"):
        store.bind(connection)
    engine.dispose()

    with store.transaction() as transaction:
        store.bind(transaction.connection).append([message("a")])

    assert store.read_stream("a").head == 1


# --- a session ------------------------------------------------------------------------------------


def test_rows_and_messages_of_a_session_commit_together(
    store: SQLAlchemyStore, given: Given, engine: Engine
) -> None:
    with Session(engine) as session:
        session.add(Order(name="one"))
        store.bind(session).append([message("a")])
        session.commit()

    assert (len(given.stream("a")), orders(engine)) == (1, ["one"])


def test_rows_and_messages_of_a_session_roll_back_together(
    store: SQLAlchemyStore, given: Given, engine: Engine
) -> None:
    with Session(engine) as session:
        store.bind(session).append([message("a")])
        session.add(Order(name="one"))
        session.flush()
        session.rollback()

    assert (given.stream("a"), orders(engine)) == ([], [])


def test_a_bound_session_goes_on_in_its_next_transaction(
    store: SQLAlchemyStore, given: Given, engine: Engine
) -> None:
    with Session(engine) as session:
        bound = store.bind(session)
        bound.append([message("a")])
        session.rollback()
        bound.append([message("b")])
        session.commit()

    assert [each.stream_id for each in given.log()] == ["b"]


def test_a_scoped_session_is_a_session(
    store: SQLAlchemyStore, given: Given, plain_engine: Engine
) -> None:
    sessions = scoped_session(make_sessions(plain_engine))

    store.bind(sessions).append([message("a")])
    sessions.commit()
    sessions.remove()

    assert len(given.stream("a")) == 1


# --- the store's own transactions -----------------------------------------------------------------


def test_the_connection_of_a_transaction_takes_the_callers_rows(
    store: SQLAlchemyStore, given: Given, plain_engine: Engine
) -> None:
    with store.transaction() as transaction:
        transaction.connection.execute(Order.__table__.insert().values(name="one"))  # type: ignore[attr-defined] # a Table
        transaction.append([message("a")])

    assert (len(given.stream("a")), orders(plain_engine)) == (1, ["one"])


def test_what_the_caller_raises_in_a_transaction_comes_out_as_it_was(
    store: SQLAlchemyStore, given: Given
) -> None:
    def failing() -> None:
        with store.transaction() as transaction:
            transaction.append([message("a")])
            raise sqlite3.OperationalError("mine")

    with pytest.raises(sqlite3.OperationalError, match="mine") as raised:
        failing()

    assert (given.log(), raised.value.__cause__) == ([], None)


def test_a_verb_of_the_store_inside_its_open_transaction_is_an_error_and_no_deadlock(
    store: SQLAlchemyStore, other_store: SQLAlchemyStore
) -> None:
    with store.transaction():
        with pytest.raises(UsageError, match="inside an open transaction"):
            store.append([message("a")])
        with pytest.raises(UsageError, match="inside an open transaction"):
            other_store.append([message("a")])


def test_a_transaction_that_has_ended_takes_no_more(store: SQLAlchemyStore) -> None:
    with store.transaction() as transaction:
        pass

    with pytest.raises(UsageError, match="has ended"):
        transaction.append([message("a")])


def test_a_sync_may_use_the_verbs_of_its_own_transaction(
    store: SQLAlchemyStore, given: Given
) -> None:
    """What it appends counts for the seqs and expectations of the commit."""
    given.group()
    given.appended("a")
    claim = given.claimed()

    given.acked(
        claim,
        1,
        sync=lambda connection: store.bind(connection).append([message("a", "noted")]),
        append=(message("a", "answered"),),
    )

    assert [each.type for each in given.stream("a")] == ["added", "noted", "answered"]


def test_a_sync_that_commits_is_refused_and_named(given: Given) -> None:
    given.group()
    given.appended("a")
    claim = given.claimed()

    with pytest.raises(CommitRefusedError, match="leave that to the store") as refused:
        given.acked(claim, 1, sync=lambda connection: connection.commit())

    assert isinstance(refused.value.failures["a"], UsageError)
    assert given.row().worker == claim.worker


def test_what_the_batchs_sync_raises_keeps_its_context(
    store: SQLAlchemyStore, given: Given
) -> None:
    given.group()
    given.appended("a")
    claim = given.claimed()

    def sync(connection: Connection) -> None:
        try:
            connection.execute(text("SELECT * FROM nowhere"))
        except DBAPIError:
            raise KeyError("mine")  # noqa: B904 - the context is what is tested

    with pytest.raises(KeyError, match="mine") as raised:
        store.commit(claim.worker, [StreamCommit(claim=claim, ack_seq=1)], sync=sync)

    assert "nowhere" in str(raised.value.__context__)

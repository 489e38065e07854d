"""Hints between processes: by NOTIFY after the commit, coalesced, bounded, never needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import psycopg
import pytest
from psycopg import sql

from sourced_postgres import PostgresStore, open_store
from sourced_postgres._hints import Notifier
from sourced_testing.conformance._given import LEASE, message


@pytest.fixture
def writer(url: str) -> Iterator[PostgresStore]:
    """A store that goes by the database's clock, as in production."""
    writer = open_store(url)
    writer.install()
    yield writer
    writer.uninstall()
    writer.close()


@pytest.fixture
def reader(writer: PostgresStore, url: str) -> Iterator[PostgresStore]:
    """Another one, as in another process."""
    assert writer.installed()
    reader = open_store(url)
    yield reader
    reader.close()


def test_a_hint_reaches_other_processes(writer: PostgresStore, reader: PostgresStore) -> None:
    """T31: with the group that has work, after the commit."""
    writer.register("G", ["added"])
    heard: SimpleQueue[frozenset[str]] = SimpleQueue()
    end = reader.subscribe(heard.put)

    writer.append([message("a")])

    while "G" not in heard.get(timeout=10):
        pass
    assert reader.poll(LEASE).ready == {"G"}
    end()


def test_a_store_passes_over_its_own_notifications(
    writer: PostgresStore, reader: PostgresStore
) -> None:
    """T34: whoever wrote has called its subscribers already."""
    writer.register("G", ["added"])
    heard: list[frozenset[str]] = []
    writer.subscribe(heard.append)
    writer.append([message("a")])
    writer.append([message("b", "nobody's")])
    other = threading.Event()
    end = reader.subscribe(lambda _groups: other.set())
    writer.append([message("c")])

    assert other.wait(10)
    assert heard == [frozenset({"G"})] * 2
    end()


def test_a_transaction_that_is_rolled_back_gives_no_hint(writer: PostgresStore) -> None:
    """Nobody looks for work that is not there."""
    writer.register("G", ["added"])
    heard: list[frozenset[str]] = []
    writer.subscribe(heard.append)

    def append_and_roll_back() -> None:
        with writer.transaction() as transaction:
            transaction.append([message("a")])
            raise psycopg.Rollback

    append_and_roll_back()
    before = list(heard)
    with writer.transaction() as transaction:
        transaction.append([message("a")])

    assert before == []
    assert heard == [{"G"}]


def test_the_payload_is_bounded_whatever_the_number_of_groups(
    writer: PostgresStore, reader: PostgresStore, schema: str
) -> None:
    """T33: too many groups are all groups."""
    with writer.connection() as connection:
        insert = sql.SQL(
            "INSERT INTO {} (name, status, reason, since)"
            " SELECT 'g' || n, 'active', '', now() FROM generate_series(1, 3000) AS n"
        )
        connection.execute(insert.format(sql.Identifier(schema, "groups")))
        subscribe = sql.SQL("INSERT INTO {} (type, \"group\") SELECT 'added', id FROM {}")
        connection.execute(
            subscribe.format(
                sql.Identifier(schema, "subscriptions"), sql.Identifier(schema, "groups")
            )
        )
    heard: SimpleQueue[frozenset[str]] = SimpleQueue()
    end = reader.subscribe(heard.put)

    assert len(writer.append([message("a")]).groups) == 3000

    while len(heard.get(timeout=10)) < 3000:
        pass
    end()


def test_an_append_that_makes_no_delivery_notifies_nobody(
    writer: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T34: what waits behind an older message needs no hint."""
    sent: list[frozenset[str]] = []
    monkeypatch.setattr(writer._notifier, "notify", sent.append)
    writer.register("G", ["added"])
    del sent[:]

    writer.append([message("a")])
    writer.append([message("a"), message("b", "nobody's")])

    assert sent == [frozenset({"G"})]


def test_notifications_are_coalesced_and_rare_in_a_rush() -> None:
    """T34: what comes while one is sent goes with the next one."""
    sent: list[frozenset[str]] = []
    first, go, last = threading.Event(), threading.Event(), threading.Event()

    def send(groups: frozenset[str]) -> None:
        sent.append(groups)
        first.set()
        assert go.wait(10)
        if "last" in groups:
            last.set()

    notifier = Notifier(send)
    notifier.notify(frozenset({"a"}))
    assert first.wait(10)
    for n in range(1000):
        notifier.notify(frozenset({f"g{n}"}))
    notifier.notify(frozenset({"last"}))
    go.set()

    assert last.wait(10)
    assert [len(groups) for groups in sent] == [1, 1001]
    notifier.close()


def test_a_notification_that_cannot_be_sent_is_forgotten() -> None:
    """T31: the next one is sent all the same."""
    sent = threading.Event()

    def send(groups: frozenset[str]) -> None:
        if "a" in groups:
            raise OSError("no connection")
        sent.set()

    notifier = Notifier(send)
    notifier.notify(frozenset({"a"}))
    while not sent.is_set():
        notifier.notify(frozenset({"b"}))
        sent.wait(0.05)
    notifier.close()

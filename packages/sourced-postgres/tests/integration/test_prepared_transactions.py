"""Transactions prepared for a commit in two phases: they outlive connection and server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from pg_cluster import Cluster

from sourced.errors import StoreUnavailableError
from sourced_postgres import PostgresStore, _store
from sourced_testing.conformance._given import Given, message


@pytest.fixture
def prepared(cluster: Cluster, store: PostgresStore) -> Iterator[str]:
    """The name of a transaction that has appended to `slow` and is prepared."""
    cluster.restart(max_prepared_transactions="5")
    with cluster.connect() as own:
        own.execute("BEGIN")
        store.bind(own).append([message("slow")])
        own.execute("PREPARE TRANSACTION 'shop-17'")
    yield "shop-17"
    with cluster.connect() as own, suppress(psycopg.errors.UndefinedObject):
        own.execute("ROLLBACK PREPARED 'shop-17'")
    cluster.restart()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_read_all_stops_before_a_prepared_transaction_and_names_it(
    store: PostgresStore, given: Given, cluster: Cluster, prepared: str, is_restarted: bool
) -> None:
    """T9, T11: no connection holds the appends' lock then, and its messages may still come."""
    if is_restarted:
        cluster.restart(max_prepared_transactions="5")
    (later,) = given.appended("b")

    page = store.read_all()
    with cluster.connect() as own:
        own.execute(f"COMMIT PREPARED '{prepared}'".encode())
    rest = store.read_all(after=page.next_after)

    assert page.messages == ()
    assert page.next_after < later.position - 1
    (told,) = page.waiting_for
    assert "'shop-17'" in told
    assert "prepared" in told
    assert " s ago" in told
    assert [one.stream_id for one in rest.messages] == ["slow", "b"]
    assert rest.waiting_for == ()


def test_read_all_goes_past_a_prepared_transaction_that_was_rolled_back(
    store: PostgresStore, given: Given, cluster: Cluster, prepared: str
) -> None:
    """T10: then its hole is final."""
    (later,) = given.appended("b")

    with cluster.connect() as own:
        own.execute(f"ROLLBACK PREPARED '{prepared}'".encode())
    page = store.read_all()

    assert page.messages == (later,)
    assert page.waiting_for == ()


def test_a_registration_that_a_prepared_transaction_holds_up_names_it(
    store: PostgresStore, prepared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T62: it can be ended by its name only."""
    monkeypatch.setattr(_store, "_REGISTER_PATIENCE", 0.0)

    with pytest.raises(StoreUnavailableError, match=prepared):
        store.register("G", ["added"])

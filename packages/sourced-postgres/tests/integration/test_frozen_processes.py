"""Processes frozen with SIGSTOP, between any two of their round trips."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from pg_child import handle
from pg_processes import Effects, child, heads
from tcp_proxy import Proxy

from sourced._store import WorkerInfo
from sourced_postgres import PostgresStore
from sourced_testing.conformance._given import Given, message
from sourced_testing.conformance._race import Running

STREAMS = ["a", "b", "c"]
LIMIT = 1.5
"""Of the frozen process's transactions, in seconds."""

TRIPS = [
    "connect", "greet", "join", "claim", "read", "begin and check",
    "sync a: total", "sync a: row", "sync b: total", "sync b: row", "sync c: total", "sync c: row",
    "commit", "claim nothing", "connect again", "greet again", "heartbeat",
]  # fmt: skip
"""What a process waits for that handles three streams in one batch."""

COMMITTED = TRIPS.index("commit") + 1


@pytest.fixture
def given(given: Given) -> Given:
    """Two messages in each of three streams."""
    given.group()
    for stream_id in STREAMS * 2:
        given.appended(stream_id)
    given.store.now()
    return given


@pytest.fixture
def effects(observer: psycopg.Connection) -> Effects:
    return Effects(observer)


@pytest.fixture
def frozen_url(proxied_url: str) -> str:
    return f"{proxied_url}&transaction_limit={LIMIT}"


def test_these_are_all_round_trips_of_a_process_that_handles_a_batch(
    given: Given, effects: Effects, proxy: Proxy, frozen_url: str
) -> None:
    with child(proxy, frozen_url, "work", "victim") as undisturbed:
        code, said = undisturbed.end()

    assert (code, said) == (0, {"handled": 6, "refused": [], "alive": True})
    assert undisturbed.trips == len(TRIPS)
    assert effects.total() == 6


@pytest.mark.parametrize("trip", range(1, len(TRIPS) + 1), ids=TRIPS)
def test_a_frozen_process_holds_up_nobody_and_does_nothing_any_more(
    trip: int,
    store: PostgresStore,
    given: Given,
    effects: Effects,
    proxy: Proxy,
    frozen_url: str,
    schema: str,
    observer: psycopg.Connection,
) -> None:
    """T66, T14, T15, T18: appends go on at once, its streams when its lease is over."""
    with child(proxy, frozen_url, "work", "victim", strike=(trip, signal.SIGSTOP)) as frozen:
        frozen.await_struck()

        appending = timed(lambda: store.append([message(name) for name in STREAMS]))
        given.lease_over()
        store.join(WorkerInfo(id="heir"))
        handling = timed(lambda: handle(store, "heir"))
        frozen.thaw()
        _, said = frozen.end()

    assert appending < LIMIT
    assert handling < LIMIT + 5  # the machine has other things to do
    everything = sorted((name, seq) for name in STREAMS for seq in (1, 2, 3))
    assert sorted(effects.rows()) == everything
    assert effects.total() == len(everything)
    assert store.inspect.status().deliveries == 0
    assert heads(observer, schema) == [(name, 3, 3, 3) for name in STREAMS]
    check_what_it_was_told(trip, said)


def timed(call: Callable[[], object]) -> float:
    """Return how many seconds a call took; one that does not end is an error."""
    began = time.monotonic()
    running = Running(call)
    running.start()
    assert running.outcome().error is None
    return time.monotonic() - began


def check_what_it_was_told(trip: int, said: Any) -> None:
    """It handled all of it before it was frozen, or none of it; and its heartbeat tells it."""
    claimed = TRIPS.index("claim") < trip < COMMITTED
    if trip >= COMMITTED:
        assert (said["handled"], said["refused"]) == (6, [])
    elif claimed:
        assert said["handled"] == 0
        assert said["refused"] in (["ClaimLostError"], ["StoreUnavailableError"])
    else:
        assert (said["handled"], said["refused"]) == (0, [])
    joined_after_the_end_of_its_lease = trip <= TRIPS.index("join")
    has_heartbeat_behind_it = trip == len(TRIPS)
    assert said["alive"] == (joined_after_the_end_of_its_lease or has_heartbeat_behind_it)


def test_what_a_zombie_gives_back_is_nobodys_claim(
    store: PostgresStore, given: Given, proxy: Proxy, frozen_url: str
) -> None:
    """T17: its release and its retries leave those who hold the streams now alone."""
    claimed = TRIPS.index("claim") + 1
    with child(
        proxy, frozen_url, "give_back", "victim", strike=(claimed, signal.SIGSTOP)
    ) as zombie:
        zombie.await_struck()
        given.lease_over()
        held = [given.claimed(stream_id=name) for name in STREAMS]
        zombie.thaw()
        _, said = zombie.end()

    assert said == {"given_back": 0, "lost": STREAMS}
    assert {given.row(stream_id=claim.stream_id).worker for claim in held} == {
        claim.worker for claim in held
    }
    for claim in held:
        given.acked(claim, 2)
    assert store.inspect.status().deliveries == 0

"""Processes killed with SIGKILL, at each of their round trips: nothing is lost, doubled or held."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable

import psycopg
import pytest
from pg_child import ROLES, handle
from pg_processes import Effects, child, heads
from tcp_proxy import Proxy

from sourced._store import WorkerInfo
from sourced_postgres import PostgresStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given, message

STREAMS = 25
"""Three chunks of a fill or a reset."""

Fresh = Callable[[], Given]


@pytest.fixture
def fresh(store: PostgresStore, clock: FakeClock) -> Fresh:
    """Make the store anew, with a message in each of many streams, one of which somebody holds."""

    def make() -> Given:
        store.uninstall()
        store.install()
        given = Given(store, clock)
        given.group()
        store.append([message(f"s{number}") for number in range(STREAMS)])
        given.claimed(stream_id="s9")
        store.now()
        return given

    return make


@pytest.mark.parametrize("role", sorted(ROLES.keys() - {"work", "give_back", "reset"}))
def test_a_process_killed_at_any_round_trip_loses_doubles_and_holds_up_nothing(
    role: str,
    fresh: Fresh,
    store: PostgresStore,
    proxy: Proxy,
    proxied_url: str,
    schema: str,
    observer: psycopg.Connection,
) -> None:
    """T25, T28, I1, I2, I12: killed when the server has answered and it does not know."""
    trip, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL and trip < ENOUGH:
        trip += 1
        given, effects = fresh(), Effects(observer)

        with child(proxy, proxied_url, role, strike=(trip, signal.SIGKILL)) as victim:
            code, _ = victim.end()

        store.append([message("s0")])  # nobody is held up
        check_heads(observer, schema, f"{role}, round trip {trip}")
        work_off(given)
        log = Counter((each.stream_id, each.seq) for each in given.log())
        assert set(log.values()) == {1}
        assert Counter(effects.rows("G")) == log
        assert Counter(effects.rows("late")) == log

    assert trip > 2, "it was never struck"


ENOUGH = 20
"""Round trips of a process that handles many streams, two by two: connect to commit, twice."""


def test_a_reset_killed_at_any_round_trip_is_finished_by_the_next(
    fresh: Fresh,
    store: PostgresStore,
    proxy: Proxy,
    proxied_url: str,
    schema: str,
    observer: psycopg.Connection,
) -> None:
    """T67, T25: everything is handled once more, and once only."""
    trip, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        trip += 1
        given, effects = fresh(), Effects(observer)
        work_off(given)

        with child(proxy, proxied_url, "reset", strike=(trip, signal.SIGKILL)) as victim:
            code, _ = victim.end()

        check_heads(observer, schema, f"round trip {trip}")
        for _ in store.reset("G", chunk=10):
            pass
        work_off(given)
        log = Counter((each.stream_id, each.seq) for each in given.log())
        assert Counter(effects.rows("G")) == log + log

    assert trip > 3, "it was never struck"


def work_off(given: Given) -> None:
    """Finish what was begun, as the next processes do."""
    given.store.register("late", ["added"])
    given.lease_over()
    given.store.promote_due()
    for group in ("G", "late"):
        given.store.join(WorkerInfo(id=f"heir of {group}"))
        handle(given.store, f"heir of {group}", group)
    assert given.store.inspect.status().deliveries == 0


def check_heads(observer: psycopg.Connection, schema: str, where: str) -> None:
    """T25: a stream's head is its last seq, and there is no hole before it."""
    for stream_id, head, last, count in heads(observer, schema):
        assert head == last == count, f"{stream_id}: {where}"

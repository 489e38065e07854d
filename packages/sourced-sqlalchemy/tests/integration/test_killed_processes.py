"""A process killed with SIGKILL, at any point: nothing is lost or doubled, nobody is held up."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from runpy import run_path

import pytest
from sqlalchemy import text

from sourced._store import WorkerInfo
from sourced_sqlalchemy import SQLAlchemyStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import LEASE, Given, message

CHILD = Path(__file__).with_name("child.py")
STREAMS = 600

POINTS = [
    ("append", "append.before_commit"),
    ("append", "append.after"),
    ("append", "notify.lost"),
    ("register", "register.after_subscribe"),
    ("register", "register.mid"),
    ("claim_and_commit", "claim.after"),
    ("claim_and_commit", "commit.after_sync"),
    ("claim_and_commit", "commit.before_commit"),
    ("claim_and_commit", "commit.connection_lost"),
    ("handle_now", "handle_now.before_commit"),
    ("promote", "schedule.after_move"),
    ("reset", "reset.mid"),
    ("reap", "reap.before_commit"),
    ("beat", "heartbeat.lost"),
]


@pytest.fixture
def given(busy_store: SQLAlchemyStore, clock: FakeClock) -> Given:
    return Given(busy_store, clock)


def crash(url: str, verb: str, point: str) -> None:
    """Let a process of its own do something and die there."""
    command = [sys.executable, str(CHILD), "crash", url, verb, point]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stdout + ended.stderr


@pytest.mark.parametrize(("verb", "point"), POINTS)
def test_what_was_going_on_is_there_whole_or_not_at_all(
    busy_store: SQLAlchemyStore, given: Given, url: str, verb: str, point: str
) -> None:
    """I1, I2, T25: heads are the last seqs, and nothing is pending that no row announces."""
    crash(url, verb, point)

    log = given.log()
    for stream in {each.stream_id for each in log}:
        seqs = [each.seq for each in log if each.stream_id == stream]
        assert seqs == list(range(1, busy_store.read_stream(stream, limit=1).head + 1))
    assert [each.position for each in log] == list(range(1, len(log) + 1))
    new = {"append.before_commit": 0, "append.after": 3, "notify.lost": 3}.get(point, 0)
    assert len(log) == STREAMS + new


@pytest.mark.parametrize(("verb", "point"), POINTS)
def test_nobody_is_held_up_by_the_dead(
    busy_store: SQLAlchemyStore, given: Given, url: str, verb: str, point: str
) -> None:
    """Appends and other streams go on at once; what it held is free after lease + one reap."""
    crash(url, verb, point)

    busy_store.append([message("s0")])
    held = given.group_status().claimed
    freed = given.lease_over()

    assert freed == held
    assert given.group_status().claimed == 0
    assert busy_store.poll(LEASE).ready == {"G"}


@pytest.mark.parametrize(("verb", "point"), POINTS)
def test_every_message_takes_effect_exactly_once(
    busy_store: SQLAlchemyStore, given: Given, url: str, verb: str, point: str
) -> None:
    """T28: what the dead process began is finished by the next, and never done a second time."""
    crash(url, verb, point)
    before = effects(busy_store)

    busy_store.register("late", ["added"])
    given.lease_over()
    busy_store.promote_due()
    handled = {group: work_off(busy_store, group) for group in ("G", "late")}

    log = Counter((each.stream_id, each.seq) for each in given.log())
    assert set(log.values()) == {1}
    late = Counter((stream, seq) for group, stream, seq in effects(busy_store) if group == "late")
    assert late == log
    own = Counter((stream, seq) for group, stream, seq in effects(busy_store) if group == "G")
    assert own == log
    assert handled["G"] + len(before) == len(log)
    assert busy_store.inspect.status().deliveries == 0


def effects(store: SQLAlchemyStore) -> list[tuple[str, str, int]]:
    with store.connection() as connection:
        rows = connection.execute(text('SELECT "group", stream, seq FROM effects'))
        return [(group, stream, seq) for group, stream, seq in rows]


def work_off(store: SQLAlchemyStore, group: str) -> int:
    """Handle all that is left, suspects alone, as the runtime does."""
    handle = run_path(str(CHILD))["handle"]
    worker = f"heir of {group}"
    store.join(WorkerInfo(id=worker))
    handled: int = handle(store, group, worker)
    store.leave(worker)
    return handled

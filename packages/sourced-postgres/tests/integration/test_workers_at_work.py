"""The real runtime in processes of its own: killed, frozen, with a wrong clock or no server."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import psycopg
import pytest
from pg_audit import problems
from pg_cluster import Cluster
from pg_processes import Worker
from pg_workload import TABLES, Deed, Deeds, ledgers_of, send, workload

from sourced import App
from sourced._inspect import DeliveryStatus, WorkerStatus
from sourced.errors import StoreUnavailableError

LEASE, POLL = 2.0, 0.2
SLACK = 3.0
"""Seconds that the machine may need for other things."""

PATIENCE = 60.0


@pytest.fixture
def url(cluster: Cluster, schema: str) -> str:
    """A store that goes by the server's clock; what is frozen holds no row up for long."""
    return f"{cluster.url}?schema={schema}&transaction_limit={LEASE}"


@pytest.fixture
def app(url: str, observer: psycopg.Connection) -> Iterator[App]:
    """The app of the workload, installed and without workers."""
    observer.execute("DROP TABLE IF EXISTS load_rows, load_totals, load_summaries")
    observer.execute(TABLES)
    app = workload(url, lease=LEASE, poll=POLL)
    app.install()
    yield app
    app.store.uninstall()
    app.close()


Start = Callable[..., Worker]


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    """Start processes that are gone at the end."""
    started: list[Worker] = []

    def start_one(*options: str) -> Worker:
        settings = ("--lease", str(LEASE), "--poll", str(POLL))
        started.append(Worker("serve", url, *settings, *options))
        return started[-1]

    yield start_one
    for worker in started:
        worker.kill()


def until(holds: Callable[[], object], what: str) -> float:
    """Wait until something holds; return how many seconds that took."""
    began = time.monotonic()
    while True:
        try:
            if holds():
                return time.monotonic() - began
        except StoreUnavailableError:
            pass
        assert time.monotonic() - began < PATIENCE, f"never: {what}"
        time.sleep(0.02)


def deliveries(app: App, group: str = "Deeds") -> tuple[DeliveryStatus, ...]:
    return app.store.inspect.deliveries(group=group)


def held(app: App) -> DeliveryStatus | None:
    """Return the deed that a worker holds."""
    return next((each for each in deliveries(app) if each.state == "claimed"), None)


def row_of(app: App, worker_id: str | None) -> WorkerStatus:
    return next(each for each in app.store.inspect.workers() if each.id == worker_id)


# --- killed ---------------------------------------------------------------------------------------


def test_what_a_killed_worker_held_is_taken_over_within_lease_and_poll(
    app: App, start: Start
) -> None:
    """T28, T56: before its first heartbeat, with the pid and host of the one that takes over."""
    same = ("--pid", "7")
    victim = start("--hangs", *same)
    app.dispatch(Deed(kind="hangs"), to="deed")
    until(lambda: held(app), "a worker holds the deed")
    heir = start(*same)
    until(lambda: len(app.store.inspect.workers()) == 2, "both are there")
    holder = held(app)
    assert holder is not None
    rows = app.store.inspect.workers()
    assert {(row.pid, row.host) for row in rows} == {(7, "box")}

    victim.kill()
    taken = until(lambda: not deliveries(app), "the deed is done")

    assert taken < LEASE + POLL * 1.25 + SLACK
    assert heir.is_alive


def test_a_worker_killed_before_its_first_heartbeat_is_no_special_case(
    app: App, start: Start
) -> None:
    """T28: its row was written before its first claim."""
    app.dispatch(Deed(kind="hangs"), to="deed")
    victim = start("--hangs")
    until(lambda: held(app), "a worker holds the deed")
    victim.kill()
    holder = held(app)
    assert holder is not None
    row = row_of(app, holder.worker)
    start()

    taken = until(lambda: not deliveries(app), "the deed is done")

    assert row.seen_at - row.started_at < timedelta(seconds=LEASE / 4)
    assert taken < LEASE + POLL * 1.25 + SLACK


def test_a_message_that_kills_its_process_is_parked_and_nothing_else_is(
    app: App, start: Start
) -> None:
    """T21: after its retries; though streams were claimed together with it each time."""
    names = [f"deed-{number}" for number in range(10)]
    for name in names:
        app.dispatch(Deed(kind="good"), to=name)
    app.dispatch(Deed(kind="kills"), to="deed-5")
    app.dispatch(Deed(kind="good"), to="deed-5")
    deaths = 0

    worker = start()
    deadline = time.monotonic() + PATIENCE
    while [each.state for each in deliveries(app)] != ["parked"]:
        assert time.monotonic() < deadline, deliveries(app)
        if not worker.is_alive:
            deaths += 1
            worker = start()
        time.sleep(0.02)

    (parked,) = deliveries(app)
    assert (parked.stream_id, parked.next_seq) == ("deed-5", 2)
    assert deaths == 4  # with all that was in hand; then known, the first try and two retries
    assert app.store.inspect.groups(["Deeds"])[0].pending == 0
    assert worker.is_alive


# --- frozen ---------------------------------------------------------------------------------------


def test_a_worker_that_was_frozen_and_declared_dead_goes_on_under_another_name(
    app: App, start: Start, cluster: Cluster, schema: str
) -> None:
    """T14, T15: what it held was done by another meanwhile, once."""
    frozen, other = start(), start()
    until(lambda: len(app.store.inspect.workers()) == 2, "both are there")
    ledgers = ledgers_of("x")
    for number in range(1, 11):
        for ledger in ledgers:
            send(app, ledger, number)
        if number == 3:
            frozen.signal(signal.SIGSTOP)
    until(lambda: len(app.store.inspect.workers()) != 2, "one was declared dead")
    until(lambda: is_quiet(app), "the other has done it all")
    frozen.signal(signal.SIGCONT)
    until(lambda: len(app.store.inspect.workers()) == 2, "it has another name")

    other.kill()
    for ledger in ledgers:
        send(app, ledger, 11)
    until(lambda: is_quiet(app), "it has done the rest")

    with cluster.connect() as connection:
        assert list(problems(connection, schema, dict.fromkeys(ledgers, 11))) == []


def is_quiet(app: App) -> bool:
    status = app.store.inspect.status()
    return status.deliveries == 0 and status.scheduled == 0


# --- clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-600, 600])
def test_a_worker_whose_clock_is_off_steals_nothing(app: App, start: Start, off: int) -> None:
    """T36: it has looked for longer than a lease at what a living worker holds."""
    start("--hangs")
    app.dispatch(Deed(kind="hangs"), to="deed")
    until(lambda: held(app), "a worker holds the deed")
    before = held(app)
    assert before is not None
    start("--clock-off", str(off))
    until(lambda: len(app.store.inspect.workers()) == 2, "both are there")
    (wrong,) = [each for each in app.store.inspect.workers() if each.id != before.worker]

    until(
        lambda: row_of(app, wrong.id).seen_at - wrong.started_at > timedelta(seconds=LEASE * 1.5),
        "it has been there for longer than a lease",
    )
    app.dispatch(Deed(kind="good"), to="another")
    until(lambda: len(deliveries(app)) == 1, "what is ready is done at once")

    after = held(app)
    assert after is not None
    assert (after.worker, after.epoch) == (before.worker, before.epoch)


@pytest.mark.parametrize("off", [-600, 600])
def test_a_worker_whose_clock_is_off_keeps_nothing(app: App, start: Start, off: int) -> None:
    """T36: what it held is free when its lease is over, by the database's clock."""
    wrong = start("--hangs", "--clock-off", str(off))
    app.dispatch(Deed(kind="hangs"), to="deed")
    until(lambda: held(app), "it holds the deed")
    start()
    until(lambda: len(app.store.inspect.workers()) == 2, "both are there")

    wrong.kill()
    taken = until(lambda: not deliveries(app), "the deed is done")

    assert taken < LEASE + POLL * 1.25 + SLACK


# --- without a server -----------------------------------------------------------------------------


def test_no_process_ends_and_nothing_is_lost_when_the_server_is_restarted(
    app: App, start: Start, cluster: Cluster, schema: str
) -> None:
    """T32: idle, busy, and after a crash."""
    workers = [start(), start()]
    until(lambda: len(app.store.inspect.workers()) == 2, "both are there")
    ledgers = ledgers_of("x")
    cluster.restart("fast")
    for number in range(1, 13):
        for ledger in ledgers:
            send(app, ledger, number)
        if number == 4:
            cluster.restart("fast")
        if number == 8:
            cluster.restart("immediate")
    until(lambda: is_quiet(app), "all is done")

    assert [worker.is_alive for worker in workers] == [True, True]
    with cluster.connect() as connection:
        assert list(problems(connection, schema, dict.fromkeys(ledgers, 12))) == []
    assert [worker.stop() for worker in workers] == [0, 0]
    assert app.store.inspect.workers() == ()


# --- whatever the cause ---------------------------------------------------------------------------


def nobody_works(app: App, start: Start) -> None:
    pass


def a_handler_hangs(app: App, start: Start) -> None:
    start("--hangs")


def a_process_is_frozen(app: App, start: Start) -> None:
    worker = start()
    until(app.store.inspect.workers, "it is there")
    worker.signal(signal.SIGSTOP)


def the_group_is_stopped(app: App, start: Start) -> None:
    app.groups.stop(Deeds, reason="for a test")


@pytest.mark.parametrize(
    "cause", [nobody_works, a_handler_hangs, a_process_is_frozen, the_group_is_stopped]
)
def test_work_that_nobody_acks_is_seen_to_wait_whatever_the_cause(
    app: App, start: Start, cause: Callable[[App, Start], None]
) -> None:
    """T57: what a check of progress goes by."""
    waited = timedelta(seconds=LEASE / 2)
    cause(app, start)
    app.dispatch(Deed(kind="hangs"), to="deed")
    began = app.store.now()

    until(lambda: app.store.now() - began > waited, "some time has passed")

    (group,) = app.store.inspect.groups(["Deeds"])
    assert group.pending == 1
    assert group.oldest_ready_at is not None
    assert app.store.now() - group.oldest_ready_at > waited

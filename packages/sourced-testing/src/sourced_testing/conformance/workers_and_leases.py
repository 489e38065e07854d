"""Workers and leases: who lives, who is dead, and what becomes of what the dead held."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from sourced._store import Done, Store, WorkerInfo
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import LEASE, Given, Suite, message
from sourced_testing.conformance._race import crashing, race

__all__ = ["LeaseConformance", "PollConformance"]


class LeaseConformance(Suite):
    """What `join`, `heartbeat`, `leave` and `reap` promise."""

    def test_a_worker_that_joins_can_be_seen(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I12: since when, and when it was last seen."""
        given.group()
        given.appended("a")
        handles = {"G": frozenset({"added", "removed"}), "H": frozenset[str]()}
        worker = WorkerInfo(
            id="w", name="web-1", host="box", pid=7, code_version="abc", handles=handles
        )
        store.join(worker)
        joined = store.now()
        clock.advance(5)
        store.heartbeat("w")
        store.claim("G", "w")

        (seen,) = store.inspect.workers()

        assert (seen.id, seen.name, seen.host, seen.pid) == ("w", "web-1", "box", 7)
        assert (seen.code_version, seen.handles, seen.claims) == ("abc", handles, 1)
        assert (seen.started_at, seen.seen_at) == (joined, joined + timedelta(seconds=5))

    def test_a_heartbeat_says_whether_the_worker_is_alive(self, store: Store, given: Given) -> None:
        """T15: one that was declared dead has lost its claims."""
        worker = given.worker()

        assert store.heartbeat(worker)
        assert not store.heartbeat("never joined")
        given.lease_over()
        assert not store.heartbeat(worker)
        assert store.inspect.workers() == ()

    def test_reap_frees_the_claims_of_the_dead_and_of_nobody_else(
        self, store: Store, given: Given
    ) -> None:
        """I12, T28: equal hosts and pids tell nothing; attempts stay as counted."""
        given.group()
        for stream_id in ("a", "b", "c"):
            given.appended(stream_id)
        dead, living = given.worker(), given.worker()
        given.claimed("G", dead, "a")
        given.claimed("G", dead, "b")
        alive = given.claimed("G", living, "c")

        freed = given.lease_over(living=[living])

        assert freed == 2
        for stream_id in ("a", "b"):
            row = given.row("G", stream_id)
            assert (row.state, row.worker, row.attempts, row.suspect) == ("ready", None, 1, True)
            assert row.ready_at == store.now()
        assert [worker.id for worker in store.inspect.workers()] == [living]
        assert given.acked(alive, 1).kept == {}

    def test_a_lease_ends_only_after_its_whole_length(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I9: by the store's clock."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        clock.advance(LEASE.total_seconds())

        assert store.reap(LEASE) == 0
        assert not store.poll(LEASE).overdue
        clock.advance(0.000001)
        assert store.poll(LEASE).overdue
        assert store.reap(LEASE) == 1
        assert not store.poll(LEASE).overdue
        assert given.row().worker != claim.worker

    def test_a_worker_that_lives_keeps_its_claims_as_long_as_it_likes(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I12: the lease is of the worker, not of the claim."""
        given.group()
        given.appended("a")
        claim = given.claimed()

        for _ in range(20):
            clock.advance(LEASE.total_seconds())
            assert store.heartbeat(claim.worker)
            assert store.reap(LEASE) == 0

        assert given.acked(claim, 1).kept == {}

    def test_leave_frees_claims_and_counts_no_attempt(self, store: Store, given: Given) -> None:
        """T28: a worker that ends in order is not suspected of anything."""
        given.group()
        given.appended("a")
        claim = given.claimed()

        store.leave(claim.worker)

        row = given.row()
        assert (row.state, row.worker, row.attempts, row.suspect) == ("ready", None, 0, False)
        assert store.inspect.workers() == ()
        assert not store.heartbeat(claim.worker)
        assert given.drained() == [("a", 1)]

    def test_a_message_that_kills_is_known_after_its_attempts(
        self, store: Store, given: Given
    ) -> None:
        """T21: what was claimed with it is handled, though it was held by the same worker."""
        given.group()
        for stream_id in ("a", "killer", "b"):
            given.appended(stream_id)
        attempts, handled = [], []

        for _ in range(12):
            worker = given.worker()
            claims = store.claim("G", worker)
            if any(claim.stream_id == "killer" for claim in claims):
                attempts += [c.attempts for c in claims if c.stream_id == "killer"]
                given.lease_over()
                continue
            for claim in claims:
                given.acked(claim, claim.next_seq)
                handled.append(claim.stream_id)

        assert sorted(handled) == ["a", "b"]
        assert attempts == list(range(1, len(attempts) + 1))
        assert len(attempts) > 2
        assert given.row("G", "killer").suspect

    def test_what_is_handled_while_suspect_is_handled_message_by_message(
        self, given: Given
    ) -> None:
        """T21: so that the message in hand when the next one dies is known."""
        given.group()
        given.appended("a", "added", "added", "added")
        given.dead()
        claim = given.claimed()
        given.acked(claim, 1, Done())
        given.dead()

        claim = given.claimed()

        assert (claim.next_seq, claim.attempts, claim.suspect) == (2, 2, True)

    def test_a_crash_while_reaping_frees_nothing(self, store: Store, given: Given) -> None:
        """I12: the next one does it."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        given.clock.advance(60)

        with crashing("reap.before_commit"):
            store.reap(LEASE)

        assert given.row().worker == claim.worker
        assert store.reap(LEASE) == 1
        assert given.drained() == [("a", 1)]

    def test_a_heartbeat_that_races_with_the_reaper_tells_the_truth(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T15: alive means that the claims are still held."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        given.clock.advance(60)

        reaped, alive = race(
            lambda: store.reap(LEASE),
            "reap.before_commit",
            lambda: other.heartbeat(claim.worker),
        )

        assert reaped.error is None
        assert alive.value == (given.row().worker == claim.worker)

    def test_a_worker_that_claims_while_it_is_declared_dead_leaves_no_claim_behind(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """I12: no row of a worker, no claim; or the next reap frees it."""
        given.group()
        given.appended("a")
        worker = given.worker()
        given.clock.advance(60)

        reaped, claimed = race(
            lambda: store.reap(LEASE),
            "reap.before_commit",
            lambda: other.claim("G", worker),
        )
        store.reap(LEASE)

        assert (reaped.error, claimed.error) == (None, None)
        assert given.row().worker is None
        assert given.drained() == [("a", 1)]

    @pytest.mark.parametrize("seconds", [-600, 600])
    def test_a_second_reaper_finds_nothing_to_do(
        self, store: Store, other: Store, given: Given, seconds: int
    ) -> None:
        """T36, I9: whatever the messages' producers take for the time."""
        given.group()
        store.append([message("a", created_at=store.now() + timedelta(seconds=seconds))])
        given.claimed()
        given.clock.advance(60)

        first, second = race(
            partial(store.reap, LEASE), "reap.before_commit", partial(other.reap, LEASE)
        )

        assert first.value + second.value == 1
        assert given.drained() == [("a", 1)]


class PollConformance(Suite):
    """What `poll` promises."""

    def test_poll_names_the_groups_that_have_something_ready(
        self, store: Store, given: Given
    ) -> None:
        """T31: everything works without hints."""
        given.group("Ready")
        given.group("Held")
        given.group("Parked")
        given.group("Waiting")
        given.group("Stopped")
        given.group("Idle", "removed")
        given.appended("a")
        given.claimed("Held")
        given.parked("Parked")
        given.retrying("Waiting", seconds=60)
        store.stop("Stopped")

        poll = store.poll(timedelta(hours=1))

        assert poll.ready == {"Ready"}
        assert (poll.due, poll.overdue) == (False, False)
        assert poll.next_at == store.now() + timedelta(seconds=60)

    def test_poll_of_an_idle_store_finds_nothing(self, store: Store, given: Given) -> None:
        """I10: nothing to do, nothing to wait for."""
        given.group()
        given.appended("a")
        given.drained()

        poll = store.poll(LEASE)

        assert (poll.ready, poll.due, poll.overdue, poll.next_at) == (
            frozenset(),
            False,
            False,
            None,
        )

    def test_poll_finds_a_retry_when_its_time_has_come(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I9: `next_at` says when to look again."""
        given.group()
        given.appended("a")
        given.retrying(seconds=60)
        until = store.poll(LEASE).next_at
        assert until is not None

        clock.advance_to(until)

        assert store.poll(LEASE * 10).ready == {"G"}

    def test_poll_sees_that_a_worker_is_overdue(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I12: then somebody reaps."""
        worker = given.worker()
        clock.advance(60)
        assert store.poll(LEASE).overdue

        store.heartbeat(worker)

        assert not store.poll(LEASE).overdue

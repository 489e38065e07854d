"""Inspecting: lag, locks, parked streams, what is pending, as frozen snapshots."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sourced._ids import new_id
from sourced._inspect import StoreStatus
from sourced._store import Store
from sourced.errors import UnknownGroupError
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import MOMENT, Given, Suite, error_text, message
from sourced_testing.conformance._race import crashing

__all__ = ["InspectConformance"]


class InspectConformance(Suite):
    """What `store.inspect` promises."""

    def test_lag_is_what_the_group_would_still_handle(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T60: messages of its types beyond its progress, and the age of the oldest."""
        given.group("G", "added")
        given.group("H", "removed")
        since = store.now()
        given.appended("a", "added", "removed", "added")
        clock.advance(10)
        given.appended("b", "added")
        given.appended("c", "removed")

        g, h = store.inspect.groups()

        assert (g.name, g.pending, g.pending_is_exact, g.pending_streams) == ("G", 3, True, 2)
        assert (h.name, h.pending, h.pending_streams) == ("H", 2, 2)
        assert (g.oldest_ready_at, h.oldest_ready_at) == (since, since)
        given.acked(given.claimed("G"), 1)
        assert given.group_status("G").pending == 2

    def test_lag_is_zero_if_and_only_if_nothing_is_pending(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T60: what waits, is held, or belongs to a stopped group is pending."""
        given.group()
        given.appended("a", "removed")
        assert given.group_status().pending == 0
        given.appended("a", "added")

        seen = [given.group_status().pending]
        given.retrying(seconds=60)
        seen.append(given.group_status().pending)
        clock.advance(60)
        claim = given.claimed()
        seen.append(given.group_status().pending)
        store.stop("G")
        seen.append(given.group_status().pending)
        given.acked(claim, 2)

        assert seen == [1, 1, 1, 1]
        status = given.group_status()
        assert (status.pending, status.pending_streams, status.oldest_ready_at) == (0, 0, None)

    def test_a_group_counts_its_streams_by_state(self, store: Store, given: Given) -> None:
        """T48: parked is not pending."""
        given.group()
        for stream_id in ("claimed", "retrying", "parked", "ready"):
            given.appended(stream_id, "added", "added")
        given.claimed(stream_id="claimed")
        given.retrying(stream_id="retrying")
        given.parked(stream_id="parked")

        (status,) = store.inspect.groups(["G", "nobody"])

        assert (status.claimed, status.retrying, status.parked) == (1, 1, 1)
        assert (status.pending, status.pending_streams) == (6, 3)

    def test_deliveries_are_listed_by_group_and_stream(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T48: and filtered by either and by state."""
        given.group("H")
        given.group("G")
        given.appended("b", "added", "removed")
        given.appended("a", "added")
        given.parked("G", "b")
        worker = given.worker("web-1")
        given.claimed("H", worker, "a")

        rows = store.inspect.deliveries()

        assert [(row.group, row.stream_id, row.state) for row in rows] == [
            ("G", "a", "ready"),
            ("G", "b", "parked"),
            ("H", "a", "claimed"),
            ("H", "b", "ready"),
        ]
        assert (rows[1].head, rows[1].error, rows[1].parked_at) == (
            2,
            error_text("broken"),
            store.now(),
        )
        assert (rows[2].worker_name, rows[2].worker_alive) == ("web-1", True)
        assert store.inspect.deliveries(group="G") == rows[:2]
        assert store.inspect.deliveries(stream_id="b") == (rows[1], rows[3])
        assert store.inspect.deliveries(states=["parked", "claimed"]) == (rows[1], rows[2])
        assert store.inspect.deliveries(limit=1) == rows[:1]
        assert clock.now() == store.now()

    def test_streams_are_listed_by_id(self, store: Store, given: Given) -> None:
        """In pages, by prefix."""
        given.appended("cart-2")
        *_, last = given.appended("cart-1", "added", "removed")
        given.appended("order_1")
        given.appended("order-1")

        one, two = store.inspect.streams(prefix="cart-")

        assert (one.stream_id, one.seq, one.last_type, one.last_position) == (
            "cart-1",
            2,
            "removed",
            last.position,
        )
        assert one.last_at == MOMENT
        assert two.stream_id == "cart-2"
        assert store.inspect.streams(prefix="cart-", limit=1) == (one,)
        assert store.inspect.streams(prefix="cart-", after="cart-1") == (two,)
        assert [each.stream_id for each in store.inspect.streams(prefix="order_")] == ["order_1"]
        assert [each.stream_id for each in store.inspect.streams()] == [
            "cart-1",
            "cart-2",
            "order-1",
            "order_1",
        ]

    def test_recent_streams_are_those_appended_to_last(self, store: Store, given: Given) -> None:
        """Newest first, each once."""
        for stream_id in ("a", "b", "c", "a"):
            given.appended(stream_id)

        recent = store.inspect.recent_streams(limit=2)

        assert [(one.stream_id, one.seq) for one in recent] == [("a", 2), ("c", 1)]

    def test_workers_are_listed_by_start(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T28: with how much they hold."""
        given.group()
        given.appended("a")
        given.appended("b")
        first = given.worker("one")
        clock.advance(1)
        second = given.worker("two")
        store.claim("G", second)

        found = store.inspect.workers()

        assert [(one.id, one.name, one.claims) for one in found] == [
            (first, "one", 0),
            (second, "two", 2),
        ]

    def test_pending_says_what_a_correlation_waits_for_and_why(
        self, store: Store, given: Given
    ) -> None:
        """T60: exact, because deliveries say what is pending."""
        for group in ("Done", "Held", "Parked", "Ready", "Stopped", "Waiting"):
            given.group(group)
        (earlier,) = given.appended("a")
        given.drained("Done")
        cause = message("a")
        (first,) = store.append([cause]).messages
        store.append([message("b", "removed", correlation_id=cause.id), message("b"), message("a")])
        given.drained("Done")
        given.claimed("Held", given.worker("web-1"))
        given.parked("Parked")
        given.retrying("Waiting", seconds=60)
        store.stop("Stopped")

        found = store.inspect.pending(cause.id)

        assert [(one.group, one.state, one.worker_name) for one in found] == [
            ("Held", "claimed", "web-1"),
            ("Parked", "parked", ""),
            ("Ready", "ready", ""),
            ("Stopped", "stopped", ""),
            ("Waiting", "retrying", ""),
        ]
        assert {(one.stream_id, one.seq, one.type, one.message_id) for one in found} == {
            ("a", 2, "added", cause.id)
        }
        assert [one.group for one in store.inspect.pending(earlier.id)] == [
            one.group for one in found
        ]
        assert found[4].until == store.now() + timedelta(seconds=60)
        assert store.inspect.pending(cause.id, groups=["Held", "Done"]) == found[:1]
        assert store.inspect.pending(cause.id, limit=2) == found[:2]
        assert store.inspect.pending(cause.id, from_position=first.position) == found
        assert store.inspect.pending(cause.id, from_position=first.position + 1) == ()
        assert store.inspect.pending(new_id()) == ()

    def test_pending_counts_what_a_filling_group_will_come_by(
        self, store: Store, given: Given
    ) -> None:
        """T60, T62: nobody who waits for a result may be told that all is done."""
        (early,) = given.appended("a")
        with crashing("register.after_subscribe"):
            store.register("G", ["added"])
        (late,) = given.appended("b")

        found = [*store.inspect.pending(early.id), *store.inspect.pending(late.id)]

        assert [(one.stream_id, one.group, one.state) for one in found] == [
            ("a", "G", "filling"),
            ("b", "G", "filling"),
        ]

    def test_progress_says_how_far_a_group_is(self, store: Store, given: Given) -> None:
        """T49: `next_seq - 1` where something is pending, the head where nothing is."""
        given.group()
        given.appended("a", "removed", "added", "removed")
        before = store.inspect.progress("G", "a")
        claim = given.claimed()
        held = store.inspect.progress("G", "a")
        given.acked(claim, 2)
        after = store.inspect.progress("G", "a")
        nowhere = store.inspect.progress("G", "nowhere")

        assert (before.seq, before.head, before.state, before.group_status) == (
            1,
            3,
            "ready",
            "active",
        )
        assert held.state == "claimed"
        assert (after.seq, after.head, after.state) == (3, 3, "drained")
        assert (nowhere.seq, nowhere.head, nowhere.state) == (0, 0, "drained")
        with pytest.raises(UnknownGroupError):
            store.inspect.progress("nobody", "a")

    def test_status_is_the_size_of_the_store(self, store: Store, given: Given) -> None:
        """Counts of everything."""
        assert store.inspect.status() == StoreStatus(
            streams=0, messages=0, last_position=0, deliveries=0, scheduled=0
        )
        given.group()
        given.appended("a", "added", "added")
        *_, last = given.appended("b", "removed")
        given.due()

        assert store.inspect.status() == StoreStatus(
            streams=2, messages=3, last_position=last.position, deliveries=1, scheduled=1
        )

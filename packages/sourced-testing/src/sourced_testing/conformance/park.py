"""Parking: a stream is set aside, the others go on, an operator mends it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sourced._store import Store
from sourced.errors import BusyError, NotFoundError, UnknownGroupError
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import OPERATOR, Given, Suite, error_text, message

__all__ = ["ParkConformance"]

_MINUTE = timedelta(minutes=1)


class ParkConformance(Suite):
    """What `park`, `unpark`, `skip` and the breaker promise."""

    def test_a_parked_stream_stands_and_the_others_go_on(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T48, T19, I4: whatever is appended behind it, however long it takes."""
        given.group()
        given.appended("a", "added", "added")
        given.parked()
        given.appended("a", "added")
        given.appended("b", "added")
        clock.advance(days=30)

        handled = given.drained()

        assert handled == [("b", 1)]
        row = given.row()
        assert (row.state, row.next_seq, row.error) == ("parked", 1, error_text("broken"))
        assert store.poll(timedelta(days=60)).ready == frozenset()

    def test_a_parked_stream_counts_as_parked_and_not_as_pending(self, given: Given) -> None:
        """T48, T60: lag is what the group would still handle."""
        given.group()
        given.appended("a", "added", "added")
        given.parked()
        given.appended("b", "added")

        status = given.group_status()

        assert (status.parked, status.pending, status.pending_streams) == (1, 1, 1)

    def test_unpark_handles_everything_behind_in_order_and_goes_on_live(
        self, store: Store, given: Given
    ) -> None:
        """T49: no gap, no overlap, none of it a replay."""
        given.group()
        given.appended("a", "added", "removed", "added")
        given.parked()
        given.appended("a", "added")

        assert store.unpark("G", ["a"], by=OPERATOR) == 1
        given.appended("a", "added")

        row = given.row()
        assert (row.state, row.attempts, row.error, row.parked_at) == ("ready", 0, None, None)
        assert row.ready_at == store.now()
        assert given.replayed() == [("a", seq, False) for seq in (1, 3, 4, 5)]

    def test_unpark_also_hurries_what_waits_for_a_retry(self, store: Store, given: Given) -> None:
        """T49: all of the group, but not what is held or ready, and no other group's."""
        given.group("G")
        given.group("H")
        for stream_id in ("parked", "retrying", "held", "ready"):
            given.appended(stream_id)
        given.parked("G", "parked")
        given.parked("H", "parked")
        given.retrying("G", "retrying")
        held = given.claimed("G", stream_id="held")

        unparked = store.unpark("G")

        assert unparked == 2
        states = {row.stream_id: row.state for row in store.inspect.deliveries(group="G")}
        assert states == {
            "parked": "ready",
            "retrying": "ready",
            "held": "claimed",
            "ready": "ready",
        }
        assert given.row("H", "parked").state == "parked"
        assert given.acked(held, 1).kept == {}

    def test_unpark_leaves_a_suspect_suspect(self, store: Store, given: Given) -> None:
        """T21: it may kill again."""
        given.group()
        given.appended("a")
        given.dead()
        given.parked()

        store.unpark("G", ["a"])

        assert given.claimed().suspect

    def test_unpark_of_streams_that_are_not_parked_is_nothing(
        self, store: Store, given: Given
    ) -> None:
        """And of an unknown group an error."""
        given.group()

        assert store.unpark("G", ["a"]) == 0
        with pytest.raises(UnknownGroupError):
            store.unpark("nobody")

    def test_unpark_is_written_down(self, store: Store, given: Given) -> None:
        """T50: as a retry, by whom and why."""
        given.group()
        given.appended("a")
        given.parked()

        store.unpark("G", ["a"], by=OPERATOR)

        (found,) = store.inspect.operations()
        assert (found.verb, found.actor, found.reason) == ("retry", "ada", "because")

    # skip

    def test_skip_passes_over_one_message_and_the_stream_goes_on(
        self, store: Store, given: Given
    ) -> None:
        """T50: it leaves a row that says who did it and why."""
        given.group()
        given.appended("a", "added", "removed", "added")
        given.parked()

        store.skip("G", "a", 1, by=OPERATOR)

        row = given.row()
        assert (row.state, row.next_seq, row.attempts, row.error) == ("ready", 3, 0, None)
        (found,) = store.inspect.operations()
        assert (found.verb, found.actor, found.host, found.reason) == (
            "skip",
            "ada",
            "desk",
            "because",
        )
        assert "a" in found.target
        assert found.before != found.after
        assert given.drained() == [("a", 3)]

    def test_skip_of_the_last_message_leaves_no_delivery(self, store: Store, given: Given) -> None:
        """I2: progress is the head."""
        given.group()
        given.appended("a", "added", "removed")
        given.retrying()

        store.skip("G", "a", 1)

        assert given.delivery() is None
        assert store.inspect.progress("G", "a").seq == 2

    def test_skip_refuses_any_other_message_than_the_next(self, store: Store, given: Given) -> None:
        """I4: neither a later one nor one that is done."""
        given.group()
        given.appended("a", "added", "added")
        given.acked(given.claimed(), 1)
        given.appended("a", "added")

        for seq in (1, 3, 4):
            with pytest.raises(NotFoundError):
                store.skip("G", "a", seq)
        with pytest.raises(NotFoundError):
            store.skip("G", "nowhere", 1)
        with pytest.raises(UnknownGroupError):
            store.skip("nobody", "a", 1)

        assert given.row().next_seq == 2
        assert store.inspect.operations() == ()

    def test_skip_refuses_a_stream_that_a_worker_holds(self, store: Store, given: Given) -> None:
        """I3: it may be handling that very message."""
        given.group()
        given.appended("a")
        claim = given.claimed()

        with pytest.raises(BusyError) as busy:
            store.skip("G", "a", 1)

        assert busy.value.reason == "held"
        assert given.acked(claim, 1).kept == {}

    # the breaker

    def test_the_breaker_stops_a_group_with_too_many_parked_streams(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T51: more than so many within a while, once, and it says why."""
        given.group()
        store.append([message(f"s{n}") for n in range(4)])
        given.parked(stream_id="s0")
        clock.advance(120)
        given.parked(stream_id="s1")
        given.parked(stream_id="s2")

        assert not store.trip_breaker("G", more_than=2, within=_MINUTE)
        assert given.group_status().status == "active"
        given.parked(stream_id="s3")
        assert store.trip_breaker("G", more_than=2, within=_MINUTE)
        assert not store.trip_breaker("G", more_than=2, within=_MINUTE)

        assert given.group_status().status == "stopped"
        assert given.group_status().reason != ""
        assert [one.verb for one in store.inspect.operations()] == ["stop"]
        assert store.claim("G", given.worker()) == []

"""Replaying: whether a message was handled before is known per stream and per message."""

from __future__ import annotations

from sourced._store import Store
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import Given, Suite, message

__all__ = ["ReplayConformance"]


class ReplayConformance(Suite):
    """Which messages are replaying."""

    def test_a_message_behind_others_progress_is_not_replaying(
        self, store: Store, given: Given
    ) -> None:
        """T1, I6: A holds positions 1 and 3, B holds 2; A is handled first; B is live."""
        given.group()
        store.append([message("a"), message("b"), message("a")])
        claim = given.claimed(stream_id="a")
        given.acked(claim, 2)

        assert given.replayed() == [("b", 1, False)]

    def test_a_message_that_failed_while_others_advanced_is_not_replaying(
        self, clock: FakeClock, given: Given
    ) -> None:
        """T2, I6: its command still runs."""
        given.group()
        given.appended("b")
        given.retrying(stream_id="b", seconds=60)
        given.appended("a", "added", "added")
        assert given.replayed() == [("a", 1, False), ("a", 2, False)]
        clock.advance(60)

        assert given.replayed() == [("b", 1, False)]

    def test_after_a_reset_exactly_what_was_handled_is_replaying(
        self, store: Store, given: Given
    ) -> None:
        """T3, I6: per stream, also where work is pending; what is appended meanwhile is live."""
        given.group()
        given.appended("done", "added", "added")
        given.drained()
        given.appended("half", "added", "added", "added")
        given.acked(given.claimed(stream_id="half"), 2)
        given.appended("new", "added")

        list(store.reset("G"))
        given.appended("done", "added")

        assert sorted(given.replayed()) == [
            ("done", 1, True),
            ("done", 2, True),
            ("done", 3, False),
            ("half", 1, True),
            ("half", 2, True),
            ("half", 3, False),
            ("new", 1, False),
        ]

    def test_a_second_reset_in_the_middle_of_a_replay_forgets_nothing(
        self, store: Store, given: Given
    ) -> None:
        """T3, I6: what was handled before the first reset is still replaying."""
        given.group()
        given.appended("a", *["added"] * 3)
        given.drained()
        list(store.reset("G"))
        given.acked(given.claimed(), 1)
        given.appended("a", "added")

        list(store.reset("G"))

        assert given.replayed() == [
            ("a", 1, True),
            ("a", 2, True),
            ("a", 3, True),
            ("a", 4, False),
        ]

    def test_the_replay_mark_lasts_until_the_stream_is_drained(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I6: through acks, retries, deaths and parking."""
        given.group()
        given.appended("a", *["added"] * 4)
        given.drained()
        list(store.reset("G"))

        given.acked(given.claimed(), 1)
        given.retrying()
        clock.advance(60)
        given.dead()
        given.parked()
        store.unpark("G")

        assert given.replayed() == [("a", seq, True) for seq in (2, 3, 4)]
        given.appended("a")
        assert given.replayed() == [("a", 5, False)]

    def test_groups_replay_independently(self, store: Store, given: Given) -> None:
        """I6: a reset of one group is nothing to another."""
        given.group("G")
        given.group("H")
        given.appended("a")
        given.drained("G")

        list(store.reset("G"))

        assert given.replayed("H") == [("a", 1, False)]
        assert given.replayed("G") == [("a", 1, True)]

    def test_what_was_handled_by_passing_over_is_replaying(
        self, store: Store, given: Given
    ) -> None:
        """I6: progress is what has been acked, skipped or passed over."""
        given.group("G", "added")
        given.appended("a", "removed", "added", "removed")
        given.drained()
        store.register("G", ["added", "removed"])

        list(store.reset("G"))

        assert given.replayed() == [("a", seq, True) for seq in (1, 2, 3)]

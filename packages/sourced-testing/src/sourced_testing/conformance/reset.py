"""Resetting: a group handles again what it has handled, in chunks of streams."""

from __future__ import annotations

from functools import partial

import pytest

from sourced._store import Keep, ResetProgress, Retry, Store
from sourced.errors import BusyError, CommitRefusedError, UnknownGroupError
from sourced_testing.conformance._given import OPERATOR, Given, Suite, error_text, message
from sourced_testing.conformance._race import crashing, race

__all__ = ["ResetConformance"]


class ResetConformance(Suite):
    """What `reset` promises."""

    def test_reset_starts_each_stream_at_its_first_handled_message(
        self, store: Store, given: Given
    ) -> None:
        """T3: ready now, unclaimed, nothing kept of failures, marked as restarted."""
        given.group()
        given.appended("a", "removed", "added", "added")
        given.acked(given.claimed(), 2)
        given.dead()
        given.parked()

        list(store.reset("G"))

        row = given.row()
        assert (row.state, row.next_seq, row.replay_until, row.restarted) == ("ready", 2, 2, True)
        assert (row.worker, row.attempts, row.suspect) == (None, 0, False)
        assert (row.parked_at, row.error, row.ready_at) == (None, None, store.now())

    def test_reset_takes_a_claim_away(self, store: Store, given: Given) -> None:
        """I3: what its holder did is refused; a new claim draws a higher epoch."""
        given.group()
        given.appended("a")
        old = given.claimed()

        list(store.reset("G"))

        with pytest.raises(CommitRefusedError):
            given.acked(old, 1)
        drawn = given.row().epoch
        assert drawn > old.epoch
        assert given.claimed().epoch > drawn

    def test_reset_passes_over_streams_without_a_message_of_the_groups_types(
        self, store: Store, given: Given
    ) -> None:
        """I2: there is nothing to handle."""
        given.group()
        given.appended("a", "removed")
        given.appended("b", "added")

        progress = list(store.reset("G"))

        assert [row.stream_id for row in store.inspect.deliveries()] == ["b"]
        assert progress[-1] == ResetProgress(done=1, total=1)

    def test_reset_of_named_streams_leaves_the_others(self, store: Store, given: Given) -> None:
        """T3: also unknown ones are nothing."""
        given.group()
        for stream_id in ("a", "b", "c"):
            given.appended(stream_id)
        given.drained()

        list(store.reset("G", ["a", "c", "nowhere"]))

        assert sorted(given.replayed()) == [("a", 1, True), ("c", 1, True)]

    def test_restarted_is_set_until_the_first_ack(self, store: Store, given: Given) -> None:
        """T67: so that a projector starts from its initial state exactly once."""
        given.group()
        given.appended("a", "added", "added", "added")
        list(store.reset("G"))

        claim = given.claimed()
        assert claim.restarted
        store.retry(claim, Retry(error=error_text("broken")))
        claim = given.claimed()
        assert claim.restarted
        kept = given.acked(claim, 1, Keep()).kept["a"]
        assert not kept.restarted
        given.acked(kept, 2)

        assert not given.claimed().restarted

    def test_reset_goes_in_chunks_and_tells_its_progress(self, store: Store, given: Given) -> None:
        """T67: one transaction each, done as the iterator is consumed."""
        given.group()
        for n in range(5):
            given.appended(f"s{n}")
        given.drained()

        resetting = store.reset("G", chunk=2)
        assert store.inspect.status().deliveries == 0
        seen = [
            (progress.done, progress.total, store.inspect.status().deliveries)
            for progress in resetting
        ]

        assert seen == [(2, 5, 2), (4, 5, 4), (5, 5, 5)]

    def test_a_reset_that_died_half_way_is_finished_by_running_it_again(
        self, store: Store, given: Given
    ) -> None:
        """T67, T3: streams that were reset before it died replay no less and no more."""
        given.group()
        for n in range(4):
            given.appended(f"s{n}", "added", "added")
        given.drained()
        with crashing("reset.mid"):
            list(store.reset("G", chunk=2))
        assert store.inspect.status().deliveries == 2
        given.acked(given.claimed(stream_id="s0"), 1)
        given.appended("s0", "added")

        list(store.reset("G", chunk=2))

        assert sorted(given.replayed()) == sorted(
            [(f"s{n}", seq, True) for n in range(4) for seq in (1, 2)] + [("s0", 3, False)]
        )

    def test_a_reset_among_appends_marks_each_stream_at_one_instant(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T67: over 1,200 streams, with appends and acks between its chunks."""
        given.group()
        store.append([message(f"s{n:04}") for n in range(1200)])
        given.drained(max_streams=1200)

        for n, _ in enumerate(store.reset("G", chunk=400)):
            other.append([message("s0000"), message("s1199"), message(f"new{n}")])
        handled = given.replayed(max_streams=2000)

        again = [(one.stream_id, one.seq) for one in handled if one.replaying]
        live = [(one.stream_id, one.seq) for one in handled if not one.replaying]
        assert sorted(again) == [(f"s{n:04}", 1) for n in range(1200)]
        assert sorted(live) == sorted(
            [("s0000", seq) for seq in (2, 3, 4)]
            + [("s1199", seq) for seq in (2, 3, 4)]
            + [(f"new{n}", 1) for n in range(3)]
        )

    def test_an_append_that_races_with_a_reset_is_live_and_not_lost(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T3, I8: the reset waits for the stream or the append does."""
        given.group()
        given.appended("a")
        given.drained()

        appended, reset = race(
            lambda: store.append([message("a")]),
            "append.before_commit",
            lambda: list(other.reset("G")),
        )

        assert (appended.error, reset.error) == (None, None)
        assert given.replayed() == [("a", 1, True), ("a", 2, False)]

    def test_a_commit_that_races_with_a_reset_is_refused_or_replayed(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T3, I3: its message is replaying if and only if it was committed."""
        given.group()
        given.appended("a", "added", "added")
        claim = given.claimed()

        committed, reset = race(
            partial(given.acked, claim, 1),
            "commit.before_commit",
            lambda: list(other.reset("G")),
        )

        assert reset.error is None
        done = committed.error is None
        assert done or isinstance(committed.error, CommitRefusedError)
        assert given.replayed() == [("a", 1, done), ("a", 2, False)]

    def test_a_stopped_group_can_be_reset(self, store: Store, given: Given) -> None:
        """T3: it replays when it is started."""
        given.group()
        given.appended("a")
        given.drained()
        store.stop("G")

        list(store.reset("G"))
        store.start("G")

        assert given.replayed() == [("a", 1, True)]

    def test_reset_of_a_filling_or_unknown_group_is_refused(
        self, store: Store, given: Given
    ) -> None:
        """T62: what it has not been given yet cannot be handled again."""
        given.appended("a")
        with crashing("register.after_subscribe"):
            store.register("G", ["added"])

        with pytest.raises(BusyError) as busy:
            list(store.reset("G"))
        with pytest.raises(UnknownGroupError):
            list(store.reset("nobody"))

        assert busy.value.reason == "filling"

    def test_a_group_that_vanishes_during_its_reset_ends_it(
        self, store: Store, given: Given
    ) -> None:
        """T67: every chunk looks again, also at a group of the same name that is filling."""
        given.group()
        for n in range(4):
            given.appended(f"s{n}")
        resetting = store.reset("G", chunk=1)
        next(resetting)
        again = store.reset("G", chunk=1)
        next(again)

        store.remove("G")
        with pytest.raises(UnknownGroupError):
            next(resetting)
        with crashing("register.after_subscribe"):
            store.register("G", ["added"])
        with pytest.raises(BusyError):
            next(again)

        assert store.inspect.deliveries() == ()

    def test_reset_is_written_down_when_it_begins(self, store: Store, given: Given) -> None:
        """T50: once, by whom and why; asking for the iterator alone does nothing."""
        given.group()
        for n in range(3):
            given.appended(f"s{n}")

        resetting = store.reset("G", by=OPERATOR, chunk=1)
        before = store.inspect.operations()
        list(resetting)

        assert before == ()
        (found,) = store.inspect.operations()
        assert (found.verb, found.actor, found.reason) == ("reset", "ada", "because")

"""Acking: what becomes of a claim when its stream is committed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sourced._store import (
    Done,
    Keep,
    Park,
    Release,
    Retry,
    Store,
    StreamCommit,
)
from sourced.errors import (
    UsageError,
)
from sourced_testing.conformance._given import Given, Suite, error_text, message
from sourced_testing.conformance._race import race

__all__ = ["AckConformance"]


class AckConformance(Suite):
    """What becomes of a claim when its stream is committed."""

    def test_done_deletes_the_delivery_when_nothing_is_pending(
        self, store: Store, given: Given
    ) -> None:
        """I2, I10: messages of other types do not count."""
        given.group()
        given.appended("a", "added", "removed")

        done = given.acked(given.claimed(), 1)

        assert given.delivery() is None
        assert (done.kept, done.groups) == ({}, frozenset())
        assert store.inspect.progress("G", "a").seq == 2

    def test_done_leaves_the_rest_ready_and_unharmed(self, store: Store, given: Given) -> None:
        """T20, I4: at the next handled message, attempts 0, nothing kept of the failure."""
        given.group()
        given.appended("a", "added", "removed", "added")
        given.retrying(seconds=5)
        given.clock.advance(5)
        claim = given.claimed()
        assert claim.attempts == 2

        done = given.acked(claim, 1)

        row = given.row()
        assert (row.state, row.next_seq, row.attempts, row.error) == ("ready", 3, 0, None)
        assert row.ready_at == store.now()
        assert done.groups == {"G"}
        assert given.claimed().attempts == 1

    def test_done_after_a_death_is_no_longer_suspect(self, store: Store, given: Given) -> None:
        """T21: the message that was in hand did no harm this time."""
        given.group()
        given.appended("a", "added", "added")
        given.dead()
        claim = given.claimed()
        assert (claim.suspect, claim.attempts) == (True, 2)

        given.acked(claim, 1)

        assert (given.row().suspect, given.row().attempts) == (False, 0)
        assert store.inspect.progress("G", "a").seq == 1

    def test_what_is_acked_in_parts_is_handled_once_and_in_order(
        self, store: Store, given: Given
    ) -> None:
        """I4: nothing behind the ack is passed over."""
        given.group()
        given.appended("a", *["added"] * 5)
        worker = given.worker()
        seen = []

        for upto in (1, 3, 4):
            claim = given.claimed("G", worker)
            seen.append(given.seqs(claim))
            given.acked(claim, upto)

        assert seen == [[1, 2, 3, 4, 5], [2, 3, 4, 5], [4, 5]]
        assert given.drained() == [("a", 5)]

    def test_keep_holds_the_claim_for_the_rest(self, store: Store, given: Given) -> None:
        """I3: same worker, same epoch, the rest on its first attempt."""
        given.group()
        given.appended("a", "added", "added")
        given.retrying(seconds=0)
        claim = given.claimed()
        assert claim.attempts == 2

        done = given.acked(claim, 1, Keep())

        assert done.kept == {"a": replace(claim, next_seq=2, attempts=1)}
        row = given.row()
        assert (row.state, row.worker, row.epoch, row.next_seq, row.attempts, row.error) == (
            "claimed",
            claim.worker,
            claim.epoch,
            2,
            1,
            None,
        )
        assert store.claim("G", given.worker()) == []
        given.acked(done.kept["a"], 2)
        assert given.delivery() is None

    def test_keep_gives_the_claim_back_when_nothing_is_pending(
        self, store: Store, given: Given
    ) -> None:
        """I2: as `Done` does."""
        given.group()
        given.appended("a", "added", "removed")

        done = given.acked(given.claimed(), 1, Keep())

        assert done.kept == {}
        assert given.delivery() is None
        assert store.inspect.status().deliveries == 0

    def test_keep_of_a_suspect_stays_suspect(self, given: Given) -> None:
        """T21: it is handled message by message until it is given back."""
        given.group()
        given.appended("a", "added", "added")
        given.dead()

        done = given.acked(given.claimed(), 1, Keep())

        assert done.kept["a"].suspect

    def test_release_after_an_ack_leaves_the_rest_ready(self, store: Store, given: Given) -> None:
        """I4: what is done is kept, the rest is anybody's."""
        given.group()
        given.appended("a", "added", "added")

        given.acked(given.claimed(), 1, Release())

        row = given.row()
        assert (row.state, row.next_seq, row.attempts) == ("ready", 2, 0)
        assert store.claim("G", given.worker())[0].attempts == 1

    def test_release_without_an_ack_counts_no_attempt(self, store: Store, given: Given) -> None:
        """T8: a claim given back untouched."""
        given.group()
        given.appended("a")
        claim = given.claimed()

        store.commit(claim.worker, [StreamCommit(claim=claim, then=Release())])

        assert (given.row().state, given.row().attempts) == ("ready", 0)
        assert given.claimed().attempts == 1

    def test_retry_after_an_ack_keeps_what_was_handled(self, store: Store, given: Given) -> None:
        """T2, I4: the failing message has had one attempt."""
        given.group()
        given.appended("a", "added", "added", "added")
        later = store.now() + timedelta(seconds=7)

        given.acked(given.claimed(), 1, Retry(at=later, error=error_text("broken")))

        row = given.row()
        assert (row.state, row.next_seq, row.attempts, row.error, row.ready_at) == (
            "retrying",
            2,
            1,
            error_text("broken"),
            later,
        )

    def test_park_after_an_ack_keeps_what_was_handled(self, store: Store, given: Given) -> None:
        """T48, I4: the failing message has had one attempt."""
        given.group()
        given.appended("a", "added", "added")

        given.acked(given.claimed(), 1, Park(error=error_text("broken")))

        row = given.row()
        assert (row.state, row.next_seq, row.attempts, row.error, row.parked_at) == (
            "parked",
            2,
            1,
            error_text("broken"),
            store.now(),
        )

    @pytest.mark.parametrize(
        "then", [Retry(after=timedelta(seconds=1)), Park(error=error_text("broken"))]
    )
    def test_retry_and_park_after_the_last_message_leave_no_delivery(
        self, given: Given, then: Retry | Park
    ) -> None:
        """I2: there is nothing left to try."""
        given.group()
        given.appended("a")

        given.acked(given.claimed(), 1, then)

        assert given.delivery() is None

    def test_ack_and_append_race_on_the_last_message_and_none_is_lost(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T61: forced both ways."""
        given.group()
        given.appended("a")
        given.appended("b")
        first, second = store.claim("G", given.worker())

        acked, appended = race(
            lambda: given.acked(first, 1),
            "commit.before_commit",
            lambda: other.append([message("a")]),
        )
        appended_first, acked_second = race(
            lambda: other.append([message("b")]),
            "append.before_commit",
            lambda: given.acked(second, 1),
        )

        assert (acked.error, appended.error) == (None, None)
        assert (appended_first.error, acked_second.error) == (None, None)
        assert sorted(given.drained()) == [("a", 2), ("b", 2)]

    def test_keep_and_append_race_on_the_last_message_and_none_is_lost(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T61: the kept claim sees it, or a new delivery does."""
        given.group()
        given.appended("a")
        claim = given.claimed()

        kept, appended = race(
            lambda: given.acked(claim, 1, Keep()),
            "commit.before_commit",
            lambda: other.append([message("a")]),
        )
        store.release(list(kept.value.kept.values()))

        assert appended.error is None
        assert given.drained() == [("a", 2)]

    @pytest.mark.parametrize("then", [Done(), Keep()])
    def test_done_and_keep_need_an_ack(self, store: Store, given: Given, then: Done | Keep) -> None:
        """I4: they say that something was handled."""
        given.group()
        given.appended("a")
        claim = given.claimed()

        with pytest.raises(UsageError):
            store.commit(claim.worker, [StreamCommit(claim=claim, then=then)])

        assert given.row().worker == claim.worker

    def test_an_ack_that_goes_backwards_is_refused(self, store: Store, given: Given) -> None:
        """I4: nothing is handled twice."""
        given.group()
        given.appended("a", "added", "added")
        given.acked(given.claimed(), 1)
        claim = given.claimed()

        with pytest.raises(UsageError):
            given.acked(claim, 1)

        assert given.row().next_seq == 2
        assert store.inspect.progress("G", "a").seq == 1

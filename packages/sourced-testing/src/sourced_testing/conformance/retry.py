"""Retrying: a stream that failed waits, the others go on; attempts are counted."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial

import pytest

from sourced._store import Claim, Done, Park, Release, Retry, Store, StreamCommit
from sourced.errors import ClaimLostError
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import Given, Suite, error_text

__all__ = ["RetryConformance"]

_MINUTE = timedelta(minutes=1)


class RetryConformance(Suite):
    """What `release`, `retry` and the counting of attempts promise."""

    def test_a_retry_delays_its_own_stream_only(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T19, T2, I4: and what waits behind the failed message stays behind it."""
        given.group()
        given.appended("a", "added")
        given.appended("b", "added")
        given.retrying(stream_id="a", seconds=60)
        given.appended("a", "added")
        given.appended("b", "added")

        assert given.drained() == [("b", 1), ("b", 2)]
        assert store.claim("G", given.worker()) == []
        clock.advance(60)
        assert given.drained() == [("a", 1), ("a", 2)]

    def test_a_retry_waits_until_a_moment_or_for_a_while(self, store: Store, given: Given) -> None:
        """I9: by the store's clock."""
        given.group()
        given.appended("a")
        given.appended("b")
        first, second = store.claim("G", given.worker())
        moment = store.now() + timedelta(hours=1)

        store.retry(first, Retry(at=moment, error=error_text("broken")))
        store.retry(second, Retry(after=_MINUTE))

        assert (given.row("G", "a").state, given.row("G", "a").ready_at) == ("retrying", moment)
        assert given.row("G", "b").ready_at == store.now() + _MINUTE
        assert given.row("G", "a").worker is None

    def test_attempts_count_up_over_retries(self, clock: FakeClock, given: Given) -> None:
        """T21: the claim says which attempt this is."""
        given.group()
        given.appended("a")
        attempts = []

        for _ in range(3):
            claim = given.claimed()
            attempts.append(claim.attempts)
            given.store.retry(claim, Retry(after=_MINUTE))
            clock.advance(60)

        assert attempts == [1, 2, 3]

    def test_a_retry_that_is_no_attempt_is_not_counted(self, store: Store, given: Given) -> None:
        """T6: somebody else appended, or the worker does not know the type."""
        given.group()
        given.appended("a")

        for _ in range(3):
            claim = given.claimed()
            assert claim.attempts == 1
            store.retry(claim, Retry(after=timedelta(0), counts=False))
        claim = given.claimed()
        given.store.commit(
            claim.worker,
            [StreamCommit(claim=claim, then=Retry(after=timedelta(0), counts=False))],
        )

        assert given.claimed().attempts == 1

    def test_a_retry_in_a_commit_without_an_ack_keeps_the_attempts(
        self, store: Store, given: Given
    ) -> None:
        """T21: the message at hand failed again."""
        given.group()
        given.appended("a")
        given.retrying(seconds=0)
        claim = given.claimed()
        part = StreamCommit(claim=claim, then=Retry(after=_MINUTE, error=error_text("again")))

        store.commit(claim.worker, [part])

        row = given.row()
        assert (row.attempts, row.state, row.error) == (2, "retrying", error_text("again"))

    def test_success_resets_attempts_and_error(self, clock: FakeClock, given: Given) -> None:
        """T20: the next message starts afresh."""
        given.group()
        given.appended("a", "added", "added")
        given.retrying()
        clock.advance(60)

        given.acked(given.claimed(), 1, Done())

        assert given.row().error is None
        assert given.claimed().attempts == 1

    def test_a_retry_without_an_error_leaves_what_was_kept(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """The last failure stays visible."""
        given.group()
        given.appended("a")
        given.retrying()
        clock.advance(60)

        store.retry(given.claimed(), Retry(after=_MINUTE))

        assert given.row().error == error_text("broken")

    def test_release_gives_claims_back_untouched(self, store: Store, given: Given) -> None:
        """T8: no attempt is counted; those that were lost are passed over."""
        given.group()
        for stream_id in ("a", "b"):
            given.appended(stream_id)
        lost = given.dead(stream_id="b")
        mine = given.claimed(stream_id="a")

        released = store.release([mine, lost])

        assert released == 1
        row = given.row("G", "a")
        assert (row.state, row.worker, row.attempts, row.ready_at <= store.now()) == (
            "ready",
            None,
            0,
            True,
        )

    def test_what_is_no_attempt_takes_back_one_and_leaves_earlier_ones(
        self, store: Store, given: Given
    ) -> None:
        """T8, T21: by whichever way a claim is given back."""
        given.group()
        given.appended("a")
        given.retrying(seconds=0)
        now = Retry(after=timedelta(0), counts=False)

        def give_back(claim: Claim, then: Release | Retry) -> None:
            store.commit(claim.worker, [StreamCommit(claim=claim, then=then)])

        for way in (
            lambda claim: store.release([claim]),
            lambda claim: store.leave(claim.worker),
            lambda claim: store.retry(claim, now),
            lambda claim: give_back(claim, now),
            lambda claim: give_back(claim, Release()),
        ):
            claim = given.claimed()
            assert claim.attempts == 2
            way(claim)
            assert given.row().attempts == 1

    def test_release_keeps_the_place_in_the_queue(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I4: what is given back untouched is still the oldest."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        clock.advance(10)
        given.appended("b")

        store.release([claim])

        assert [one.stream_id for one in store.claim("G", given.worker())] == ["a", "b"]

    def test_a_zombie_frees_nobodys_claim(self, store: Store, given: Given) -> None:
        """T17, I3: neither by release nor by retry nor by park."""
        given.group()
        given.appended("a")
        zombie = given.dead()
        holder = given.claimed()
        before = given.row()

        assert store.release([zombie]) == 0
        for verb in (
            partial(store.retry, zombie, Retry(after=_MINUTE, error=error_text("late"))),
            partial(store.park, zombie, Park(error=error_text("late"))),
        ):
            with pytest.raises(ClaimLostError) as lost:
                verb()
            assert (lost.value.group, lost.value.stream_id) == ("G", "a")

        assert given.row() == before
        assert given.acked(holder, 1).kept == {}

    def test_an_old_claim_of_the_same_worker_frees_nothing(
        self, store: Store, given: Given
    ) -> None:
        """T16, T17: worker and next_seq are the same, the epoch is not."""
        given.group()
        given.appended("a")
        worker = given.worker()
        old = given.claimed("G", worker)
        store.release([old])
        new = given.claimed("G", worker)

        assert store.release([old]) == 0
        with pytest.raises(ClaimLostError):
            store.retry(old, Retry(after=_MINUTE))
        with pytest.raises(ClaimLostError):
            store.park(old, Park(error=error_text("late")))

        assert given.acked(new, 1).kept == {}

    @pytest.mark.parametrize(
        "text",
        ["a NUL: \x00", "a lone surrogate: \ud800", "x" * 10_000_000],
        ids=["NUL", "surrogate", "10 MB"],
    )
    def test_whatever_an_exception_says_can_be_stored(
        self, store: Store, given: Given, text: str
    ) -> None:
        """T52: encoded as JSON."""
        given.group()
        given.appended("a")
        given.appended("b")
        first, second = store.claim("G", given.worker())

        store.retry(first, Retry(after=_MINUTE, error=error_text(text)))
        store.park(second, Park(error=error_text(text)))

        for stream_id in ("a", "b"):
            kept = given.row("G", stream_id).error
            assert kept is not None
            assert json.loads(kept) == {"text": text}

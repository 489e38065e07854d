"""Fencing: a claim that was lost commits nothing; worker, epoch and next_seq are compared."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from sourced._store import (
    Claim,
    Keep,
    Store,
    StreamCommit,
)
from sourced.errors import (
    ClaimLostError,
    CommitRefusedError,
)
from sourced_testing.conformance._given import Given, Suite, message
from sourced_testing.conformance._race import race

__all__ = ["FencingConformance"]


class FencingConformance(Suite):
    """A claim that was lost commits nothing: worker, epoch and next_seq are compared."""

    def refused(self, given: Given, claim: Claim) -> None:
        """Check that a commit under this claim is refused whole."""
        before = given.delivery(claim.group, claim.stream_id)
        length = len(given.log())
        ran: list[object] = []

        with pytest.raises(CommitRefusedError) as refused:
            given.acked(claim, claim.next_seq, append=(message("out"),), sync=ran.append)

        error = refused.value.failures[claim.stream_id]
        assert isinstance(error, ClaimLostError)
        assert (error.group, error.stream_id) == (claim.group, claim.stream_id)
        assert given.delivery(claim.group, claim.stream_id) == before
        assert len(given.log()) == length

    @pytest.mark.parametrize("part", ["worker", "epoch", "next_seq"])
    def test_commit_compares_every_part_of_a_claim_also_without_a_sync(
        self, given: Given, part: str
    ) -> None:
        """T16, I3: a crash may hand an epoch out again, so the place in the stream counts too."""
        given.group()
        given.appended("a", "added", "added", "added")
        claim = given.claimed()
        wrong: dict[str, Any] = {"worker": given.worker(), "epoch": claim.epoch + 1, "next_seq": 2}
        other = replace(claim, **{part: wrong[part]})

        with pytest.raises(CommitRefusedError) as refused:
            given.acked(other, 3, append=(message("out"),))

        assert isinstance(refused.value.failures["a"], ClaimLostError)
        given.acked(claim, 3)
        assert given.delivery() is None

    def test_commit_after_the_lease_is_refused_while_another_holds_the_stream(
        self, given: Given
    ) -> None:
        """T14, I3: nothing of the first is committed, the ack does not move."""
        given.group()
        given.appended("a")
        old = given.dead()
        new = given.claimed()

        self.refused(given, old)

        given.acked(new, 1)
        assert given.delivery() is None

    def test_commit_after_the_lease_is_refused_when_nobody_holds_the_stream(
        self, given: Given
    ) -> None:
        """T14, I3: freed is lost, even if no other worker came yet."""
        given.group()
        given.appended("a")
        old = given.dead()

        self.refused(given, old)

    def test_commit_after_another_finished_the_stream_is_refused(self, given: Given) -> None:
        """T18, I3: a batch that outlives its lease keeps nothing twice."""
        given.group()
        given.appended("a")
        old = given.dead()
        given.drained()

        self.refused(given, old)

    def test_the_same_worker_claiming_again_does_not_revive_an_old_epoch(
        self, store: Store, given: Given
    ) -> None:
        """T16, I3: worker and next_seq are the same, the epoch is not."""
        given.group()
        given.appended("a")
        worker = given.worker()
        old = given.claimed("G", worker)
        store.release([old])
        new = given.claimed("G", worker)
        assert (old.worker, old.next_seq) == (new.worker, new.next_seq)

        self.refused(given, old)

        given.acked(new, 1)
        assert given.delivery() is None

    @pytest.mark.parametrize("with_reset", [False, True])
    def test_an_old_epoch_is_not_revived_by_a_row_that_was_drained_and_made_again(
        self, store: Store, given: Given, with_reset: bool
    ) -> None:
        """T16, I3: epochs come from one counter, not from the row."""
        given.group()
        given.appended("a")
        worker = given.worker()
        old = given.claimed("G", worker)
        store.release([old])
        given.drained()
        if with_reset:
            list(store.reset("G"))
        else:
            given.appended("a")
        new = given.claimed("G", worker)

        self.refused(given, old)

        given.acked(new, new.next_seq)
        assert given.delivery() is None

    def test_an_epoch_handed_out_twice_does_not_move_a_stream_that_went_on(
        self, given: Given
    ) -> None:
        """T16, I3: after a server lost a claim in a crash, `next_seq` tells them apart."""
        given.group()
        given.appended("a", "added", "added")
        given.acked(given.claimed(), 1)
        new = given.claimed()

        self.refused(given, replace(new, next_seq=1))
        self.refused(given, replace(new, worker=given.worker()))
        self.refused(given, replace(new, epoch=new.epoch + 1))

        given.acked(new, 2)
        assert given.delivery() is None

    def test_the_claim_before_a_keep_is_lost(self, given: Given) -> None:
        """I3: the same part of a batch is not committed twice."""
        given.group()
        given.appended("a", "added", "added")
        claim = given.claimed()
        kept = given.acked(claim, 1, Keep()).kept["a"]

        self.refused(given, claim)

        given.acked(kept, 2)
        assert given.delivery() is None

    def test_a_lost_claim_costs_the_others_of_its_batch_nothing(
        self, store: Store, given: Given
    ) -> None:
        """I3, T63: every stream that fails is named; the others commit again without it."""
        given.group()
        for stream_id in ("a", "b", "c"):
            given.appended(stream_id)
        worker = given.worker()
        claims = store.claim("G", worker)
        list(store.reset("G", ["a", "c"]))
        parts = [StreamCommit(claim=claim, ack_seq=1, append=(message("out"),)) for claim in claims]

        with pytest.raises(CommitRefusedError) as refused:
            store.commit(worker, parts)
        done = store.commit(worker, [parts[1]])

        assert {stream: type(error) for stream, error in refused.value.failures.items()} == {
            "a": ClaimLostError,
            "c": ClaimLostError,
        }
        assert [one.stream_id for one in done.messages] == ["out"]
        assert given.delivery("G", "b") is None

    def test_a_commit_for_a_group_that_was_removed_is_refused(
        self, store: Store, given: Given
    ) -> None:
        """I3: there is no claim without a delivery."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        store.remove("G")

        self.refused(given, claim)

    @pytest.mark.parametrize("commit_first", [True, False])
    def test_commit_and_reap_race_and_one_of_them_wins(
        self, store: Store, other: Store, given: Given, commit_first: bool
    ) -> None:
        """T14, T18, I3: the message is done once, by whoever commits."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        commit = partial(given.acked, claim, 1, append=(message("out", "removed"),))
        reap = partial(Given(other, given.clock).lease_over)

        if commit_first:
            committed, reaped = race(commit, "commit.before_commit", reap)
        else:
            reaped, committed = race(reap, "reap.before_commit", commit)
        pending = given.drained()

        assert reaped.error is None
        if committed.error is None:
            assert (pending, len(given.stream("out"))) == ([], 1)
        else:
            assert isinstance(committed.error, CommitRefusedError)
            assert (pending, len(given.stream("out"))) == ([("a", 1)], 0)

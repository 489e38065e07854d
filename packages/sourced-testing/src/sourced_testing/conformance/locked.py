"""Committing what is decided under a stream's lock: nobody can append in between."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sourced._store import (
    Claim,
    Keep,
    Snapshot,
    Store,
    StreamCommit,
    Transaction,
    UnlessSince,
)
from sourced.errors import ClaimLostError, CommitRefusedError, UsageError
from sourced_testing.conformance._given import Given, Suite, message
from sourced_testing.conformance._race import race

__all__ = ["LockedConformance"]

_EVENTS = frozenset({"added"})


def _deciding(claim: Claim, **more: Any) -> Callable[[Transaction], StreamCommit]:
    """Decide on the newest events, by reading them in the transaction."""

    def decide(transaction: Transaction) -> StreamCommit:
        head = transaction.read_stream(claim.stream_id, types=_EVENTS).head
        return StreamCommit(
            claim=claim,
            ack_seq=claim.next_seq,
            append=(message(claim.stream_id, "added", payload=f'{{"head": {head}}}'),),
            expect={claim.stream_id: UnlessSince(head, _EVENTS)},
            **more,
        )

    return decide


class LockedConformance(Suite):
    """What `commit_locked` promises to a stream that others append to all the time."""

    def test_a_decision_under_the_lock_rests_on_the_newest_events(
        self, store: Store, given: Given
    ) -> None:
        """T6: what came between the claim and the lock is read."""
        given.group("G", "add")
        given.appended("a", "add")
        claim = given.claimed()
        given.appended("a", "added")

        done = store.commit_locked(claim, _deciding(claim))

        assert done is not None
        assert [(one.seq, one.payload) for one in done.messages] == [(3, '{"head": 2}')]
        assert given.delivery() is None

    def test_an_append_waits_for_the_decision_and_comes_after_it(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T59: forced; the decision is not refused, and the append is not lost."""
        given.group("G", "add")
        given.appended("a", "add")
        claim = given.claimed()

        decided, appended = race(
            partial(store.commit_locked, claim, _deciding(claim)),
            "commit.locked",
            partial(other.append, [message("a", "added", payload='{"mine": 0}')]),
        )

        assert decided.error is None
        assert appended.error is None
        assert [one.payload for one in given.stream()[1:]] == ['{"head": 1}', '{"mine": 0}']

    def test_everything_of_a_decision_is_one_transaction(self, store: Store, given: Given) -> None:
        """I5: output, sync, snapshot and ack; a claim may be kept for the rest."""
        given.group("G", "add")
        given.appended("a", "add", "add")
        claim = given.claimed()
        ran: list[object] = []
        state = Snapshot(group="G", stream_id="a", seq=2, version=1, state="{}")

        done = store.commit_locked(
            claim, _deciding(claim, then=Keep(), sync=ran.append, snapshot=state)
        )

        assert done is not None
        assert len(ran) == 1
        assert store.read_snapshots("G", ["a"], version=1) == {"a": state}
        assert done.kept["a"].next_seq == 2
        assert given.row().worker == claim.worker

    def test_a_decision_for_a_claim_that_was_lost_is_never_asked_for(
        self, store: Store, given: Given
    ) -> None:
        """T14, I3: and nothing is written."""
        given.group("G", "add")
        given.appended("a", "add")
        lost = given.dead()
        asked: list[object] = []

        with pytest.raises(CommitRefusedError) as refused:
            store.commit_locked(lost, asked.append)

        assert isinstance(refused.value.failures["a"], ClaimLostError)
        assert asked == []
        assert given.drained() == [("a", 1)]

    def test_no_decision_writes_nothing_and_leaves_the_claim(
        self, store: Store, given: Given
    ) -> None:
        given.group("G", "add")
        given.appended("a", "add")
        claim = given.claimed()

        assert store.commit_locked(claim, lambda _transaction: None) is None

        assert given.row().worker == claim.worker
        assert given.acked(claim, 1).messages == ()

    def test_what_a_decision_raises_is_raised_as_it_is(self, store: Store, given: Given) -> None:
        """T8: nothing is written, the claim is still held, and the stream is free for appends."""
        given.group("G", "add")
        given.appended("a", "add")
        claim = given.claimed()
        broken = ValueError("broken")

        def decide(_transaction: Transaction) -> StreamCommit:
            raise broken

        with pytest.raises(ValueError, match="broken") as raised:
            store.commit_locked(claim, decide)

        assert raised.value is broken
        given.appended("a", "added")
        assert given.acked(claim, 1).messages == ()

    def test_a_sync_that_raises_is_named(self, store: Store, given: Given) -> None:
        """T63: as a commit does."""
        given.group("G", "add")
        given.appended("a", "add")
        claim = given.claimed()
        broken = ValueError("a constraint of the user's table")

        def fail(_connection: object) -> None:
            raise broken

        with pytest.raises(CommitRefusedError) as refused:
            store.commit_locked(claim, _deciding(claim, sync=fail))

        assert refused.value.failures == {"a": broken}
        assert len(given.stream()) == 1

    @pytest.mark.parametrize(
        "more",
        [
            {"append": (message("b", "added"),)},
            {"expect": {"b": UnlessSince(0, _EVENTS)}},
            {"ack_seq": None},
        ],
        ids=["an output elsewhere", "an expectation elsewhere", "no ack"],
    )
    def test_a_decision_that_would_lock_out_of_order_or_ack_nothing_is_refused(
        self, store: Store, given: Given, more: dict[str, Any]
    ) -> None:
        """I8: locks of other streams are not taken behind this one."""
        given.group("G", "add")
        given.appended("a", "add")
        claim = given.claimed()
        decided = StreamCommit(**{"claim": claim, "ack_seq": 1, **more})

        with pytest.raises(UsageError):
            store.commit_locked(claim, lambda _transaction: decided)

        assert given.stream("b") == []
        assert given.row().worker == claim.worker

    def test_a_decision_for_another_claim_is_refused(self, store: Store, given: Given) -> None:
        given.group("G", "add")
        given.appended("a", "add")
        given.appended("b", "add")
        claim, elsewhere = given.claimed(), given.claimed(stream_id="b")

        with pytest.raises(UsageError):
            store.commit_locked(claim, lambda _transaction: StreamCommit(claim=elsewhere))

        assert given.row("G", "b").worker == elsewhere.worker

    def test_the_verbs_of_a_decision_end_with_it(self, store: Store, given: Given) -> None:
        given.group("G", "add")
        given.appended("a", "add")
        claim = given.claimed()
        kept: list[Transaction] = []

        store.commit_locked(claim, kept.append)

        with pytest.raises(UsageError):
            kept[0].read_stream("a")

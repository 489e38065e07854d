"""Committing: outputs, syncs and acks of a batch in one transaction."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from sourced._records import ScheduledMessage
from sourced._store import (
    ExpectedSeq,
    Snapshot,
    Store,
    StreamCommit,
    UnlessSince,
)
from sourced.errors import (
    CommitRefusedError,
    ConcurrencyError,
    DuplicateMessageError,
)
from sourced_testing.conformance._given import Given, Suite, message
from sourced_testing.conformance._race import crashing, race

__all__ = ["CommitConformance"]

_EVENTS = frozenset({"added"})


class CommitConformance(Suite):
    """What `commit` promises of outputs, syncs and expectations."""

    def test_commit_writes_outputs_schedule_snapshot_and_ack_together(
        self, store: Store, given: Given
    ) -> None:
        """I5: after the commit all of it is there."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        outputs = (message("b"), message("a", "removed"))
        later = ScheduledMessage(message=message("c"), due_at=store.now())
        state = Snapshot(group="G", stream_id="a", seq=1, version=3, state='{"n": 1}')
        part = StreamCommit(
            claim=claim, ack_seq=1, append=outputs, schedule=(later,), snapshot=state
        )

        done = store.commit(claim.worker, [part])

        assert [(one.id, one.stream_id, one.seq) for one in done.messages] == [
            (outputs[0].id, "b", 1),
            (outputs[1].id, "a", 2),
        ]
        assert given.delivery("G", "a") is None
        assert given.row("G", "b").next_seq == 1
        assert done.groups == {"G"}
        assert [one.message for one in store.inspect.schedule()] == [later.message]
        assert store.read_snapshots("G", ["a", "b"], version=3) == {"a": state}
        assert store.read_snapshots("G", ["a"], version=2) == {}

    @pytest.mark.parametrize("point", ["commit.after_sync", "commit.before_commit"])
    def test_a_crash_before_the_commit_leaves_nothing_of_it(
        self, store: Store, given: Given, point: str
    ) -> None:
        """I5, T14: neither output nor schedule nor snapshot nor ack; the claim is still held."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        before = given.row()
        later = ScheduledMessage(message=message("c"), due_at=store.now())
        state = Snapshot(group="G", stream_id="a", seq=1, version=1, state="{}")

        with crashing(point):
            given.acked(claim, 1, append=(message("b"),), schedule=(later,), snapshot=state)

        assert given.row() == before
        assert given.stream("b") == []
        assert store.inspect.schedule() == ()
        assert store.read_snapshots("G", ["a"], version=1) == {}
        assert given.acked(claim, 1).messages == ()

    def test_a_commit_whose_answer_is_lost_is_not_done_twice(
        self, store: Store, given: Given
    ) -> None:
        """I3, I5: sent again it is refused, since the claim was given back."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        part = StreamCommit(claim=claim, ack_seq=1, append=(message("b"),))

        with crashing("commit.connection_lost"):
            store.commit(claim.worker, [part])
        with pytest.raises(CommitRefusedError):
            store.commit(claim.worker, [part])

        assert len(given.stream("b")) == 1
        assert given.delivery() is None

    def test_syncs_run_before_the_ack_and_the_batch_sync_last(
        self, store: Store, given: Given
    ) -> None:
        """I5: each stream's own in order, then the one of the batch."""
        given.group()
        given.appended("a")
        given.appended("b")
        claims = store.claim("G", given.worker())
        ran: list[str] = []

        def note(name: str, _connection: Any) -> None:
            ran.append(name)

        store.commit(
            claims[0].worker,
            [
                StreamCommit(claim=claim, ack_seq=1, sync=partial(note, claim.stream_id))
                for claim in claims
            ],
            sync=partial(note, "batch"),
        )

        assert ran == ["a", "b", "batch"]

    def test_a_sync_that_raises_is_named_and_the_others_commit_without_it(
        self, store: Store, given: Given
    ) -> None:
        """T63: one stream of fifty fails in its sync; the other forty-nine commit."""
        given.group()
        store.append([message(f"s{n:02}") for n in range(50)])
        claims = store.claim("G", given.worker())
        broken = ValueError("a constraint of the user's table")

        def fail(_connection: Any) -> None:
            raise broken

        parts = [
            StreamCommit(
                claim=claim,
                ack_seq=1,
                append=(message("out"),),
                sync=fail if claim.stream_id == "s07" else None,
            )
            for claim in claims
        ]
        with pytest.raises(CommitRefusedError) as refused:
            store.commit(claims[0].worker, parts)
        assert given.stream("out") == []
        rest = [part for part in parts if part.claim.stream_id not in refused.value.failures]
        store.commit(claims[0].worker, rest)

        assert refused.value.failures == {"s07": broken}
        assert len(given.stream("out")) == 49
        assert [row.stream_id for row in store.inspect.deliveries(states=["claimed"])] == ["s07"]

    def test_what_the_batch_sync_raises_is_raised_as_it_is(
        self, store: Store, given: Given
    ) -> None:
        """T8: and everything is rolled back."""
        given.group()
        given.appended("a")
        claim = given.claimed()
        broken = ValueError("broken")

        def fail(_connection: Any) -> None:
            raise broken

        part = StreamCommit(claim=claim, ack_seq=1, append=(message("b"),))
        with pytest.raises(ValueError, match="broken") as raised:
            store.commit(claim.worker, [part], sync=fail)

        assert raised.value is broken
        assert given.stream("b") == []
        assert given.row().worker == claim.worker

    def test_a_decision_on_events_that_are_not_the_newest_is_refused(
        self, store: Store, given: Given
    ) -> None:
        """T6, T59, I7: somebody appended between the load and the commit."""
        given.group("G", "add")
        given.appended("a", "added", "add")
        claim = given.claimed()
        given.appended("a", "added")
        part = StreamCommit(
            claim=claim,
            ack_seq=2,
            append=(message("a", "added"), message("b", "added")),
            expect={"a": UnlessSince(2, _EVENTS)},
        )

        with pytest.raises(CommitRefusedError) as refused:
            store.commit(claim.worker, [part])

        error = refused.value.failures["a"]
        assert isinstance(error, ConcurrencyError)
        assert (error.stream_id, error.expected_seq, error.actual_seq) == ("a", 2, 3)
        assert given.stream("b") == []
        again = replace(part, expect={"a": UnlessSince(3, _EVENTS)})
        assert [one.seq for one in store.commit(claim.worker, [again]).messages] == [4, 1]

    def test_an_append_that_races_with_a_decision_is_not_overlooked(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T59: forced in both orders."""
        given.group("G", "add")
        outcomes = []
        for stream_id, commit_first in (("a", True), ("b", False)):
            given.appended(stream_id, "add")
            claim = given.claimed("G", stream_id=stream_id)
            commit = partial(
                given.acked,
                claim,
                1,
                append=(message(stream_id, "added"),),
                expect={stream_id: UnlessSince(1, _EVENTS)},
            )
            append = partial(other.append, [message(stream_id, "added")])

            if commit_first:
                committed, appended = race(commit, "commit.before_commit", append)
            else:
                appended, committed = race(append, "append.before_commit", commit)
            outcomes.append(type(committed.error))
            assert appended.error is None

        assert outcomes == [type(None), CommitRefusedError]
        assert [len(given.stream("a")), len(given.stream("b"))] == [3, 2]

    def test_expectations_see_what_earlier_streams_of_the_batch_append(
        self, store: Store, given: Given
    ) -> None:
        """I7: the later decision was made without it."""
        given.group("G", "add")
        given.appended("a", "add")
        given.appended("b", "add")
        first, second = store.claim("G", given.worker())
        into_b = StreamCommit(claim=first, ack_seq=1, append=(message("b", "added"),))
        on_b = StreamCommit(
            claim=second,
            ack_seq=1,
            append=(message("b", "added"),),
            expect={"b": UnlessSince(1, _EVENTS)},
        )

        with pytest.raises(CommitRefusedError) as refused:
            store.commit(first.worker, [into_b, on_b])
        store.commit(first.worker, [replace(on_b, expect={"b": ExpectedSeq(1)}), into_b])

        assert list(refused.value.failures) == ["b"]
        assert isinstance(refused.value.failures["b"], ConcurrencyError)
        assert [one.type for one in given.stream("b")] == ["add", "added", "added"]

    def test_commit_refuses_an_id_that_an_earlier_stream_of_the_batch_uses(
        self, store: Store, given: Given
    ) -> None:
        """T24: for the log or for the schedule."""
        given.group()
        given.appended("a")
        given.appended("b")
        first, second = store.claim("G", given.worker())
        new = message("c")
        later = ScheduledMessage(message=new, due_at=store.now())

        for again in (
            StreamCommit(claim=second, ack_seq=1, append=(new,)),
            StreamCommit(claim=second, ack_seq=1, schedule=(later,)),
        ):
            with pytest.raises(CommitRefusedError) as refused:
                store.commit(
                    first.worker, [StreamCommit(claim=first, ack_seq=1, append=(new,)), again]
                )
            assert list(refused.value.failures) == ["b"]
            assert isinstance(refused.value.failures["b"], DuplicateMessageError)

        assert given.stream("c") == []
        assert store.inspect.schedule() == ()

    def test_commit_refuses_an_output_whose_id_is_stored(self, store: Store, given: Given) -> None:
        """T24: the stream that asked for it is named, the other commits without it."""
        given.group()
        (stored, *_) = given.appended("a")
        given.appended("b")
        first, second = store.claim("G", given.worker())
        good = StreamCommit(claim=first, ack_seq=1)
        bad = StreamCommit(claim=second, ack_seq=1, append=(message("c", id=stored.id),))

        with pytest.raises(CommitRefusedError) as refused:
            store.commit(first.worker, [good, bad])
        store.commit(first.worker, [good])

        assert isinstance(refused.value.failures["b"], DuplicateMessageError)
        assert list(refused.value.failures) == ["b"]
        assert given.row("G", "b").state == "claimed"

    def test_commit_fans_out_to_other_groups(self, store: Store, given: Given) -> None:
        """I2: an output's deliveries are part of the commit."""
        given.group("G", "add")
        given.group("H", "added")
        given.appended("a", "add")

        done = given.acked(given.claimed("G"), 1, append=(message("a", "added"),))

        assert done.groups == {"H"}
        assert given.row("H").next_seq == 2

    def test_commit_sees_a_message_that_it_appends_to_its_own_stream(
        self, store: Store, given: Given
    ) -> None:
        """I2: a reactor that handles what it appends finds it pending."""
        given.group()
        given.appended("a", "added")

        done = given.acked(given.claimed(), 1, append=(message("a", "removed"), message("a")))

        assert given.row().next_seq == 3
        assert done.groups == {"G"}
        assert given.drained() == [("a", 3)]

    def test_commit_sees_what_another_stream_of_the_batch_appends_to_it(
        self, store: Store, given: Given
    ) -> None:
        """I2: whichever of the two comes first in the batch."""
        given.group()
        given.appended("a")
        given.appended("b")
        first, second = store.claim("G", given.worker())

        store.commit(
            first.worker,
            [
                StreamCommit(claim=first, ack_seq=1, append=(message("b"),)),
                StreamCommit(claim=second, ack_seq=1, append=(message("a"),)),
            ],
        )

        assert given.drained() == [("a", 2), ("b", 2)]

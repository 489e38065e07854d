"""Claiming: exclusive, oldest first, counted before any user code, fenced by an epoch."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from sourced._store import Claim, Done, Store
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import MOMENT, Given, Suite, message
from sourced_testing.conformance._race import crashing, halted, race, together

__all__ = ["ClaimConformance"]


def _streams(claims: list[Claim]) -> list[str]:
    """Return the streams of claims."""
    return [claim.stream_id for claim in claims]


class ClaimConformance(Suite):
    """What `claim` promises."""

    def test_claim_takes_hold_of_many_streams_oldest_first(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I9: by the moment they became ready, at most as many as asked for."""
        given.group()
        for stream_id in ("c", "a", "b"):
            given.appended(stream_id)
            clock.advance(1)
        worker = given.worker()

        first = store.claim("G", worker, max_streams=2)
        second = store.claim("G", worker, max_streams=2)

        assert (_streams(first), _streams(second)) == (["c", "a"], ["b"])

    def test_claim_says_where_handling_goes_on(self, store: Store, given: Given) -> None:
        """T21: the attempt is counted before any user code runs."""
        given.group()
        given.appended("a", "removed", "added")
        worker = given.worker()

        (claim,) = store.claim("G", worker)

        assert claim == Claim(
            group="G", stream_id="a", worker=worker, epoch=claim.epoch, next_seq=2, attempts=1
        )
        row = given.row()
        assert (row.state, row.worker, row.epoch, row.attempts) == (
            "claimed",
            worker,
            claim.epoch,
            1,
        )
        assert row.claimed_at == store.now()

    def test_a_stream_is_claimed_by_one_worker_of_a_group_at_a_time(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """I3: also when more is appended meanwhile."""
        given.group()
        given.appended("a")
        given.claimed()

        given.appended("a")

        assert other.claim("G", given.worker()) == []

    def test_groups_claim_the_same_stream_independently(self, store: Store, given: Given) -> None:
        """I4: one group's claim is nothing to another."""
        given.group("G")
        given.group("H")
        given.appended("a")
        given.claimed("G")

        assert _streams(store.claim("H", given.worker())) == ["a"]

    def test_claims_of_workers_that_come_at_once_do_not_overlap(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """I3: and together they take everything."""
        given.group()
        store.append([message(f"s{n}") for n in range(40)])
        workers = [given.worker() for _ in range(4)]

        ended = together(
            *[
                partial(through.claim, "G", worker, max_streams=20)
                for through, worker in zip([store, other] * 2, workers, strict=True)
            ]
        )
        taken = [stream_id for one in ended for stream_id in _streams(one.value)]
        rest = store.claim("G", given.worker())

        assert len(set(taken)) == len(taken)
        assert set(taken) | set(_streams(rest)) == {f"s{n}" for n in range(40)}
        assert set(taken).isdisjoint(_streams(rest))

    def test_claim_takes_only_the_streams_named(self, store: Store, given: Given) -> None:
        """A command handled now claims exactly its own stream."""
        given.group()
        for stream_id in ("a", "b", "c"):
            given.appended(stream_id)
        worker = given.worker()

        assert store.claim("G", worker, stream_ids=["b", "nowhere"])[0].stream_id == "b"
        assert store.claim("G", worker, stream_ids=[]) == []

    def test_claim_gives_nothing_to_a_worker_without_a_row(
        self, store: Store, given: Given
    ) -> None:
        """I12: what it held could never be found dead."""
        given.group()
        given.appended("a")
        gone = given.worker()
        store.leave(gone)

        assert store.claim("G", gone) == []
        assert store.claim("G", "never joined") == []

    def test_claim_of_a_group_that_is_unknown_or_stopped_is_empty(
        self, store: Store, given: Given
    ) -> None:
        """Nothing to do is no error."""
        given.group()
        given.appended("a")
        store.stop("G")

        assert store.claim("G", given.worker()) == []
        assert store.claim("nobody", given.worker()) == []

    def test_claim_leaves_what_waits_for_its_time_and_what_is_parked(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I9: the store's clock says when a retry is ready."""
        given.group()
        given.appended("a")
        given.appended("b")
        given.retrying(stream_id="a", seconds=60)
        given.parked(stream_id="b")
        worker = given.worker()

        assert store.claim("G", worker) == []
        clock.advance(59.999999)
        assert store.claim("G", worker) == []
        clock.advance(0.000001)
        assert _streams(store.claim("G", worker)) == ["a"]

    def test_what_a_message_says_of_its_time_does_not_hold_it_back(
        self, store: Store, given: Given
    ) -> None:
        """T36, I9: a producer whose clock is ten minutes off delays and hurries nothing."""
        given.group()
        store.append([message("a", created_at=store.now() + timedelta(minutes=10))])
        store.append([message("b", created_at=store.now() - timedelta(minutes=10))])

        assert _streams(store.claim("G", given.worker())) == ["a", "b"]
        assert store.now() > MOMENT

    def test_every_claim_draws_a_new_epoch(self, store: Store, given: Given) -> None:
        """T16, I3: also after the row was drained and made again."""
        given.group()
        given.appended("a")
        worker = given.worker()
        epochs = []

        for _ in range(3):
            claim = given.claimed("G", worker)
            epochs.append(claim.epoch)
            store.release([claim])
            claim = given.claimed("G", worker)
            epochs.append(claim.epoch)
            given.acked(claim, claim.next_seq)
            given.appended("a")

        assert epochs == sorted(set(epochs))
        assert epochs[0] > 0

    def test_a_suspect_delivery_is_claimed_alone(self, store: Store, given: Given) -> None:
        """T21: so that the message that kills is known."""
        given.group()
        for stream_id in ("a", "b"):
            given.appended(stream_id)
        given.dead(stream_id="a")
        given.dead(stream_id="b")
        given.appended("c")
        worker = given.worker()

        first, second, third = (store.claim("G", worker) for _ in range(3))

        assert sorted(map(_streams, (first, second, third))) == [["a"], ["b"], ["c"]]
        assert {claim.stream_id: claim.suspect for claim in [*first, *second, *third]} == {
            "a": True,
            "b": True,
            "c": False,
        }

    def test_a_process_that_is_at_a_suspect_can_leave_the_others_out(
        self, store: Store, given: Given
    ) -> None:
        """T21: if it dies of the one, the other was not in hand; what is no suspect goes on."""
        given.group()
        for stream_id in ("a", "b"):
            given.appended(stream_id)
        given.dead(stream_id="a")
        given.dead(stream_id="b")
        given.appended("c")
        worker = given.worker()

        without = store.claim("G", worker, suspects=False)
        named = store.claim("G", worker, stream_ids=["a", "b"], suspects=False)

        assert (_streams(without), named) == (["c"], [])
        assert _streams(store.claim("G", worker)) == ["a"]

    def test_suspects_are_left_out_when_others_are_older(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T21: they get their turn, alone."""
        given.group()
        given.appended("a")
        given.retrying(stream_id="a", seconds=1)
        given.appended("old")
        clock.advance(1)
        claim = given.claimed(stream_id="a")
        given.lease_over()
        given.appended("young")
        worker = given.worker()
        assert claim.attempts == 2

        claims = [store.claim("G", worker) for _ in range(2)]

        assert [_streams(each) for each in claims] == [["old", "young"], ["a"]]

    def test_a_claim_that_is_held_is_not_ready_until_its_holder_is_found_dead(
        self, store: Store, given: Given
    ) -> None:
        """T56, I12: a competing poll finds nothing; work resumes without a new message."""
        given.group()
        given.appended("a")
        given.claimed()
        second = given.worker()
        assert store.claim("G", second) == []

        given.lease_over(living=[second])

        assert _streams(store.claim("G", second)) == ["a"]

    def test_a_crash_after_the_claim_leaves_it_to_the_lease(
        self, store: Store, given: Given
    ) -> None:
        """T28, I12: the attempt is counted, the delivery is suspect."""
        given.group()
        given.appended("a")
        worker = given.worker()

        with crashing("claim.after"):
            store.claim("G", worker)
        assert given.row().worker == worker
        given.lease_over()

        claim = given.claimed()
        assert (claim.attempts, claim.suspect) == (2, True)

    def test_what_is_appended_after_the_claim_is_seen_by_it(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T69: reading has a snapshot of its own."""
        given.group()
        given.appended("a")
        worker = given.worker()

        with halted(partial(store.claim, "G", worker), "claim.after") as claiming:
            other.append([message("a")])
        (claim,) = claiming.outcome().value

        assert given.seqs(claim) == [1, 2]

    def test_a_claim_that_races_with_drain_and_refill_sees_the_new_messages(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T69, T61: whatever the claim's statement saw before the row was made again."""
        given.group()
        given.appended("a")
        held, second = given.claimed(), given.worker()

        def refill_and_claim() -> list[Claim]:
            other.append([message("a")])
            return other.claim("G", second)

        committed, claimed = race(
            lambda: given.acked(held, 1, Done()), "commit.before_commit", refill_and_claim
        )

        assert committed.error is None
        (claim,) = claimed.value
        assert given.seqs(claim) == [2]

    def test_a_drained_stream_leaves_no_delivery(self, store: Store, given: Given) -> None:
        """I10: what a claim looks at does not grow with what is done."""
        given.group()
        store.append([message(f"s{n}") for n in range(60)])

        assert len(given.drained()) == 60

        assert store.inspect.status().deliveries == 0

"""Reading what a claim has to handle: bounded, in order, of types that the worker knows."""

from __future__ import annotations

import json
from datetime import timedelta

from sourced._store import ReadLimits, Store, Tails
from sourced_testing.conformance._given import MOMENT, Given, Suite, message

__all__ = ["PendingConformance"]

_HANDLED = frozenset({"added", "placed"})


class PendingConformance(Suite):
    """What `read_pending` promises."""

    def test_read_pending_returns_the_handled_messages_in_order(
        self, store: Store, given: Given
    ) -> None:
        """I4: from `next_seq` on, none of other types."""
        given.group("G", "added", "placed")
        stored = given.appended("a", "removed", "added", "removed", "placed", "removed")

        pending = given.pending(given.claimed())

        assert list(pending.messages) == [stored[1], stored[3]]
        assert (pending.looked_to, pending.head, pending.unknown) == (5, 5, None)

    def test_read_pending_goes_by_seq_whatever_the_clocks_say(
        self, store: Store, given: Given
    ) -> None:
        """T37, I4, I9: the same microsecond, or a producer whose clock goes back."""
        given.group()
        for minutes in (0, 0, -10, 10, -20):
            store.append([message("a", created_at=MOMENT + timedelta(minutes=minutes))])

        assert given.seqs(given.claimed()) == [1, 2, 3, 4, 5]

    def test_read_pending_answers_in_the_order_of_the_claims(
        self, store: Store, given: Given
    ) -> None:
        """One answer per claim."""
        given.group()
        for stream_id in ("b", "a", "c"):
            given.appended(stream_id)
        claims = store.claim("G", given.worker())[::-1]

        found = store.read_pending(claims, known_types=_HANDLED, limits=ReadLimits())

        assert [one.claim for one in found] == claims
        assert [one.messages[0].stream_id for one in found] == ["c", "a", "b"]

    def test_read_pending_stops_at_its_limit_of_messages(self, store: Store, given: Given) -> None:
        """I10: and says that it looked no further than the next one."""
        given.group()
        given.appended("a", "added", "removed", "added", "removed", "added")

        pending = given.pending(given.claimed(), limits=ReadLimits(messages=2))

        assert [one.seq for one in pending.messages] == [1, 3]
        assert 3 <= pending.looked_to < 5
        assert pending.head == 5

    def test_read_pending_is_bounded_in_bytes(self, store: Store, given: Given) -> None:
        """T55: the first message comes however large; a stream whose turn did not come has none."""
        given.group()
        large = json.dumps({"text": "x" * 5000})
        store.append([message("a", payload=large), message("a", payload=large)])
        store.append([message("b", payload=large)])
        claims = store.claim("G", given.worker())

        first, second = store.read_pending(
            claims, known_types=_HANDLED, limits=ReadLimits(bytes=1000)
        )

        assert [one.seq for one in first.messages] == [1]
        assert first.looked_to == 1
        assert (second.messages, second.looked_to) == ((), second.claim.next_seq - 1)

    def test_read_pending_fills_its_bytes_over_many_claims(
        self, store: Store, given: Given
    ) -> None:
        """T55: what fits is returned, in seq order and without a hole."""
        given.group()
        small = json.dumps({"text": "x" * 100})
        store.append([message("a", payload=small) for _ in range(3)])
        store.append([message("b", payload=small) for _ in range(3)])
        claims = store.claim("G", given.worker())

        found = store.read_pending(claims, known_types=_HANDLED, limits=ReadLimits(bytes=600))

        counts = [len(one.messages) for one in found]
        assert counts[0] == 3
        assert 1 <= counts[1] < 3
        assert [one.seq for one in found[1].messages] == list(range(1, counts[1] + 1))
        assert found[1].looked_to == counts[1]

    def test_read_pending_ends_before_a_type_that_the_worker_does_not_know(
        self, store: Store, given: Given
    ) -> None:
        """T65: what comes before it can be handled."""
        given.group("G", "added", "placed")
        given.appended("a", "added", "placed", "added")

        pending = given.pending(given.claimed(), "added")

        assert [one.seq for one in pending.messages] == [1]
        assert pending.looked_to == 1
        assert pending.unknown is None

    def test_read_pending_names_an_unknown_type_that_comes_first(
        self, store: Store, given: Given
    ) -> None:
        """T65: with the place where it stands."""
        given.group("G", "added", "placed")
        given.appended("a", "removed", "placed", "added")

        pending = given.pending(given.claimed(), "added")

        assert (pending.messages, pending.looked_to) == ((), 1)
        assert pending.unknown is not None
        assert (pending.unknown.type, pending.unknown.seq) == ("placed", 2)
        assert not pending.unknown.known_elsewhere

    def test_read_pending_says_if_another_worker_knows_the_unknown_type(
        self, store: Store, given: Given
    ) -> None:
        """T65: then the stream is given back to it; only a worker of this group counts."""
        given.group("G", "added", "placed")
        given.appended("a", "placed")
        own = given.worker(handles={"G": ["added", "placed"]})
        stranger = given.worker(handles={"H": ["placed"], "G": ["added"]})
        claim = given.claimed("G", own)

        alone = given.pending(claim, "added")
        newer = given.worker(handles={"G": ["placed"]})
        helped = given.pending(claim, "added")
        store.leave(newer)
        left = given.pending(claim, "added")

        assert stranger
        assert [one.unknown and one.unknown.known_elsewhere for one in (alone, helped, left)] == [
            False,
            True,
            False,
        ]

    def test_unknown_types_that_the_group_does_not_handle_are_nothing_to_it(
        self, store: Store, given: Given
    ) -> None:
        """T65: they are passed over like all others."""
        given.group("G", "added")
        given.appended("a", "mystery", "added", "mystery")

        pending = given.pending(given.claimed(), "added")

        assert [one.seq for one in pending.messages] == [2]
        assert (pending.looked_to, pending.unknown) == (3, None)

    def test_read_pending_finds_nothing_when_the_types_were_unsubscribed(
        self, store: Store, given: Given
    ) -> None:
        """I2: it says how far it looked, so that the claim can be acked up to there."""
        given.group("G", "added", "placed")
        given.appended("a", "added", "placed")
        claim = given.claimed()

        store.unsubscribe("G", ["added"])
        store.unsubscribe("G", ["placed"])
        pending = given.pending(claim, "added", "placed")

        assert (pending.messages, pending.looked_to, pending.head) == ((), 2, 2)

    def test_read_pending_brings_the_history_that_is_asked_for(
        self, store: Store, given: Given
    ) -> None:
        """I10: of the types and after the seq named, in the same snapshot."""
        given.group("G", "add")
        given.appended("a", "added", "add", "added", "removed", "added", "add")
        claim = given.claimed()

        (found,) = store.read_pending(
            [claim],
            known_types=["add"],
            limits=ReadLimits(),
            tails=Tails(types=frozenset({"added"}), after={"a": 1}),
        )

        assert [one.seq for one in found.messages] == [2, 6]
        assert [one.seq for one in found.tail] == [3, 5]
        assert found.tail_to == 6

    def test_read_pending_says_how_far_a_tail_goes_that_its_limit_ended(
        self, store: Store, given: Given
    ) -> None:
        """I10: the rest can be read by `read_stream`."""
        given.group("G", "add")
        given.appended("a", "add", *["added"] * 5)

        (found,) = store.read_pending(
            [given.claimed()],
            known_types=["add"],
            limits=ReadLimits(tail=2),
            tails=Tails(types=frozenset({"added"}), after={"a": 0}),
        )

        assert [one.seq for one in found.tail] == [2, 3]
        assert found.tail_to == 3

    def test_read_pending_brings_no_history_for_streams_not_named(
        self, store: Store, given: Given
    ) -> None:
        """I10: those whose state is at hand."""
        given.group("G", "add")
        given.appended("a", "added", "add")
        given.appended("b", "added", "add")
        claims = store.claim("G", given.worker())

        found = store.read_pending(
            claims,
            known_types=["add"],
            limits=ReadLimits(),
            tails=Tails(types=frozenset({"added"}), after={"b": 0}),
        )

        assert {one.claim.stream_id: len(one.tail) for one in found} == {"a": 0, "b": 1}

    def test_read_pending_of_no_claims_is_empty(self, store: Store) -> None:
        """A poll that found nothing reads nothing."""
        assert store.read_pending([], known_types=_HANDLED, limits=ReadLimits()) == []

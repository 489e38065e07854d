"""Appending: contiguous seqs, expectations, ids stored once, and the deliveries of a message."""

from __future__ import annotations

from functools import partial

import pytest

from sourced._records import ScheduledMessage
from sourced._store import ExpectedSeq, Store, UnlessSince
from sourced.errors import ConcurrencyError, DuplicateMessageError
from sourced_testing.conformance._given import Given, Suite, message
from sourced_testing.conformance._race import crashing, race, together

__all__ = ["AppendConformance"]

_ADDED = frozenset({"added"})


class AppendConformance(Suite):
    """What `append` promises."""

    # places

    def test_append_returns_the_messages_with_their_places_in_the_order_given(
        self, store: Store
    ) -> None:
        """I1: seqs go by stream, positions by the order given."""
        new = [message("b"), message("a"), message("b")]

        done = store.append(new).messages

        assert [(one.id, one.stream_id, one.seq) for one in done] == [
            (new[0].id, "b", 1),
            (new[1].id, "a", 1),
            (new[2].id, "b", 2),
        ]
        assert sorted({one.position for one in done}) == [one.position for one in done]

    def test_append_continues_where_the_stream_ends(self, store: Store, given: Given) -> None:
        """I1: the next seq is the head plus one."""
        given.appended("a", "added", "added")

        (third,) = store.append([message("a")]).messages

        assert third.seq == 3
        assert [one.seq for one in given.stream("a")] == [1, 2, 3]

    def test_append_of_nothing_writes_nothing(self, store: Store, given: Given) -> None:
        """I1: no message, no stream, no position."""
        done = store.append([])

        assert done.messages == ()
        assert given.log() == []

    def test_parallel_appends_leave_no_hole_in_the_seqs(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T22, I1: 50 unconditional appends of 4 events give 200 rows with contiguous seqs."""

        def ten_appends(through: Store) -> None:
            for _ in range(10):
                through.append([message("a") for _ in range(4)])

        for ended in together(
            *[partial(ten_appends, each) for each in [store, other] * 2 + [store]]
        ):
            assert ended.error is None

        assert [one.seq for one in given.stream("a")] == list(range(1, 201))

    def test_two_writers_of_the_same_streams_in_opposite_order_do_not_deadlock(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T53, I8: {A, B} against {B, A}, again and again."""

        def writer(through: Store, *streams: str) -> None:
            for _ in range(25):
                through.append([message(one) for one in streams])

        ended = together(partial(writer, store, "a", "b"), partial(writer, other, "b", "a"))

        assert [one.error for one in ended] == [None, None]
        assert [len(given.stream("a")), len(given.stream("b"))] == [50, 50]

    # expectations

    @pytest.mark.parametrize("wrong", [0, 1, 3])
    def test_append_refuses_an_expected_seq_that_is_too_low_or_too_high(
        self, store: Store, given: Given, wrong: int
    ) -> None:
        """T23, I7: refused whole, and the error says where the stream is."""
        given.appended("a", "added", "added")

        with pytest.raises(ConcurrencyError) as refused:
            store.append([message("b"), message("a")], expect={"a": ExpectedSeq(wrong)})

        error = refused.value
        assert (error.stream_id, error.expected_seq, error.actual_seq) == ("a", wrong, 2)
        assert [one.stream_id for one in given.log()] == ["a", "a"]

    def test_append_with_the_right_expected_seq_lands(self, store: Store, given: Given) -> None:
        """I7: 0 is a stream that does not exist yet."""
        store.append([message("a")], expect={"a": ExpectedSeq(0)})
        store.append([message("a"), message("a")], expect={"a": ExpectedSeq(1)})

        assert len(given.stream("a")) == 3

    def test_append_checks_the_expectation_of_a_stream_it_does_not_write(
        self, store: Store, given: Given
    ) -> None:
        """I7: a decision may rest on another stream."""
        given.appended("a")

        with pytest.raises(ConcurrencyError):
            store.append([message("b")], expect={"a": ExpectedSeq(0)})

        assert given.stream("b") == []

    def test_append_is_refused_if_a_message_of_the_named_types_came_since(
        self, store: Store, given: Given
    ) -> None:
        """T59, I7: what was decided on has changed."""
        given.appended("a", "added", "added")

        with pytest.raises(ConcurrencyError) as refused:
            store.append([message("a")], expect={"a": UnlessSince(1, _ADDED)})

        assert (refused.value.expected_seq, refused.value.actual_seq) == (1, 2)
        assert len(given.stream("a")) == 2

    def test_append_lands_if_only_messages_of_other_types_came_since(
        self, store: Store, given: Given
    ) -> None:
        """I7: commands that wait in the stream are no change of what was decided on."""
        given.appended("a", "added", "add", "add")

        store.append([message("a")], expect={"a": UnlessSince(1, _ADDED)})

        assert len(given.stream("a")) == 4

    def test_append_without_an_expectation_always_lands(self, store: Store, given: Given) -> None:
        """I7: facts are recorded whoever else writes."""
        given.appended("a", "added")

        store.append([message("a"), message("b")], expect={"b": ExpectedSeq(0)})

        assert len(given.stream("a")) == 2

    @pytest.mark.parametrize("expectation", [ExpectedSeq(1), UnlessSince(1, _ADDED)])
    def test_of_two_decisions_on_the_same_events_one_is_refused(
        self, store: Store, other: Store, given: Given, expectation: ExpectedSeq | UnlessSince
    ) -> None:
        """T59, T9: the second was decided on events read before the first one's commit."""
        given.appended("a")

        def decide(through: Store) -> None:
            through.append([message("a")], expect={"a": expectation})

        first, second = race(lambda: decide(store), "append.before_commit", lambda: decide(other))

        assert first.error is None
        assert isinstance(second.error, ConcurrencyError)
        assert len(given.stream("a")) == 2

    # ids

    def test_append_refuses_an_id_that_is_stored_and_says_where(
        self, store: Store, given: Given
    ) -> None:
        """T24: one id twice is one row and a defined answer, also inside a larger batch."""
        (stored,) = given.appended("a")

        with pytest.raises(DuplicateMessageError) as refused:
            store.append([message("b"), message("c", id=stored.id), message("d")])

        error = refused.value
        assert (error.message_id, error.stream_id, error.seq, error.type) == (
            stored.id,
            "a",
            1,
            "added",
        )
        assert given.log() == [stored]

    def test_append_refuses_an_id_that_stands_twice_in_the_batch(
        self, store: Store, given: Given
    ) -> None:
        """T24: nothing of the batch is written."""
        twice = message("a")

        with pytest.raises(DuplicateMessageError) as refused:
            store.append([twice, message("b"), message("c", id=twice.id)])

        assert refused.value.message_id == twice.id
        assert given.log() == []

    def test_append_refuses_an_id_that_is_scheduled(self, store: Store, given: Given) -> None:
        """T24: it has no place yet, so the answer names no stream."""
        waiting = message("a")
        store.schedule([ScheduledMessage(message=waiting, due_at=store.now())])

        with pytest.raises(DuplicateMessageError) as refused:
            store.append([waiting])

        assert (refused.value.stream_id, refused.value.seq) == ("", 0)
        assert given.log() == []

    def test_of_two_appends_of_one_id_one_is_refused(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T24: also when the first is not committed yet, and on different streams."""
        first, second = message("a"), message("b")
        same = message("b", id=first.id)

        one, two = race(
            lambda: store.append([first]),
            "append.before_commit",
            lambda: other.append([second, same]),
        )

        assert one.error is None
        assert isinstance(two.error, DuplicateMessageError)
        assert [each.id for each in given.log()] == [first.id]

    # deliveries

    def test_append_makes_a_delivery_for_every_group_that_handles_the_type(
        self, store: Store, given: Given
    ) -> None:
        """I2: with the seq of the first new message of a type the group handles."""
        given.group("G", "added")
        given.group("H", "placed", "added")
        given.group("I", "removed")

        done = store.append([message("a", "other"), message("a", "placed"), message("a", "added")])

        assert done.groups == {"G", "H"}
        assert (given.row("G").next_seq, given.row("H").next_seq) == (3, 2)
        assert given.delivery("I") is None

    def test_append_leaves_a_delivery_as_it_is(self, store: Store, given: Given) -> None:
        """I2, I4: later messages wait behind the earlier ones."""
        given.group()
        given.appended("a", "added")
        before = given.row()

        done = store.append([message("a")])

        assert done.groups == frozenset()
        assert given.row().next_seq == before.next_seq == 1

    def test_append_of_a_type_that_nobody_handles_makes_no_delivery(
        self, store: Store, given: Given
    ) -> None:
        """I2: a delivery exists only while there is something to handle."""
        given.group("G", "added")

        done = store.append([message("a", "removed")])

        assert done.groups == frozenset()
        assert store.inspect.deliveries() == ()

    def test_a_crash_before_the_commit_leaves_neither_message_nor_delivery(
        self, store: Store, given: Given
    ) -> None:
        """T25, I2: the head equals the highest seq."""
        given.group()
        given.appended("a", "removed")

        with crashing("append.before_commit"):
            store.append([message("a"), message("b")])

        assert [one.seq for one in given.stream("a")] == [1]
        assert given.stream("b") == []
        assert store.inspect.deliveries() == ()
        assert given.appended("a")[0].seq == 2

    def test_a_crash_after_the_commit_leaves_message_and_delivery(
        self, store: Store, given: Given
    ) -> None:
        """T25, I2: the caller does not know, a repeat by id finds out."""
        given.group()
        new = message("a")

        with crashing("append.after"):
            store.append([new])

        assert [one.id for one in given.stream("a")] == [new.id]
        assert given.row().next_seq == 1
        with pytest.raises(DuplicateMessageError):
            store.append([new])

"""Reading the log: pages of one stream, of everything, of one correlation."""

from __future__ import annotations

from datetime import timedelta

import pytest

from sourced._ids import new_id
from sourced._store import Store
from sourced_testing.conformance._given import MOMENT, Given, Suite, message
from sourced_testing.conformance._race import crashing, race

__all__ = ["ReadConformance"]


class ReadConformance(Suite):
    """What `read_stream`, `read_one`, `read_all` and `trace` promise."""

    # one stream

    def test_read_stream_returns_messages_as_they_were_appended(
        self, store: Store, given: Given
    ) -> None:
        """I11: in seq order, with their places."""
        stored = given.appended("a", "added", "removed")
        given.appended("b")

        page = store.read_stream("a")

        assert list(page.messages) == stored
        assert (page.to, page.head) == (2, 2)

    def test_read_stream_of_an_unknown_stream_is_empty(self, store: Store) -> None:
        """The head of a stream that does not exist is 0."""
        page = store.read_stream("nowhere")

        assert (page.messages, page.to, page.head) == ((), 0, 0)

    def test_read_stream_goes_from_after_to_upto(self, store: Store, given: Given) -> None:
        """The lower bound is exclusive, the upper inclusive."""
        given.appended("a", *["added"] * 5)

        page = store.read_stream("a", after=1, upto=3)

        assert [one.seq for one in page.messages] == [2, 3]
        assert (page.to, page.head) == (3, 5)

    def test_read_stream_says_that_it_saw_no_further_than_the_head(
        self, store: Store, given: Given
    ) -> None:
        """What comes later must not be taken for read."""
        given.appended("a", "added", "added")

        page = store.read_stream("a", upto=10)

        assert (page.to, page.head) == (2, 2)

    def test_read_stream_in_pages_meets_every_message_once(
        self, store: Store, given: Given
    ) -> None:
        """A page that its limit ended goes up to its last message."""
        given.appended("a", *["added"] * 5)
        seqs, after = [], 0

        while after < store.read_stream("a").head:
            page = store.read_stream("a", after=after, limit=2)
            seqs += [one.seq for one in page.messages]
            after = page.to

        assert seqs == [1, 2, 3, 4, 5]

    def test_read_stream_of_some_types_says_how_far_it_looked(
        self, store: Store, given: Given
    ) -> None:
        """Messages of other types are passed over, and not looked at again."""
        given.appended("a", "added", "removed", "added", "removed")

        everything = store.read_stream("a", types={"added"})
        limited = store.read_stream("a", types={"added"}, limit=1)
        nothing = store.read_stream("a", types=set())

        assert ([one.seq for one in everything.messages], everything.to) == ([1, 3], 4)
        assert ([one.seq for one in limited.messages], limited.to) == ([1], 1)
        assert (nothing.messages, nothing.to) == ((), 4)

    def test_order_is_by_seq_whatever_the_clocks_say(self, store: Store, given: Given) -> None:
        """T37, I9: the same microsecond or a clock that goes back change nothing."""
        moments = [MOMENT, MOMENT, MOMENT - timedelta(minutes=10), MOMENT + timedelta(days=1)]
        new = [message("a", created_at=moment) for moment in moments]
        for one in new:
            store.append([one])

        assert [one.id for one in given.stream("a")] == [one.id for one in new]
        assert [one.id for one in given.log()] == [one.id for one in new]
        assert [one.created_at for one in given.log()] == moments

    # one message

    def test_read_one_finds_a_message_by_id(self, store: Store, given: Given) -> None:
        """With its place."""
        first, _ = given.appended("a", "added", "added")

        assert store.read_one(first.id) == first
        assert store.read_one(new_id()) is None

    # the whole log

    def test_read_all_goes_by_position_over_all_streams(self, store: Store, given: Given) -> None:
        """`next_after` reads on behind the last message."""
        stored = [*given.appended("b"), *given.appended("a"), *given.appended("b")]

        page = store.read_all()

        assert list(page.messages) == stored
        assert page.waiting_for == ()
        assert store.read_all(after=page.next_after).messages == ()
        assert store.read_all(after=stored[0].position).messages == tuple(stored[1:])

    def test_read_all_in_pages_meets_every_message_once(self, store: Store, given: Given) -> None:
        """Also when only some types are asked for."""
        given.appended("a", *["added", "removed"] * 4)

        seqs, after = [], 0
        while (page := store.read_all(after=after, types=["added"], limit=3)).messages:
            seqs += [one.seq for one in page.messages]
            after = page.next_after

        assert seqs == [1, 3, 5, 7]

    def test_read_all_of_some_types_does_not_look_twice_at_others(
        self, store: Store, given: Given
    ) -> None:
        """I10: `next_after` passes messages of other types."""
        *_, last = given.appended("a", "added", "removed", "removed")

        page = store.read_all(types=["added"])

        assert len(page.messages) == 1
        assert page.next_after >= last.position

    def test_read_all_backwards_begins_at_the_end(self, store: Store, given: Given) -> None:
        """The bound is exclusive, and the pages lead to the beginning."""
        stored = given.appended("a", *["added"] * 5)

        newest = store.read_all(backwards=True, limit=2)
        older = store.read_all(backwards=True, limit=2, after=newest.next_after)

        assert list(newest.messages) == [stored[4], stored[3]]
        assert list(older.messages) == [stored[2], stored[1]]

    def test_read_all_of_an_empty_log_is_empty(self, store: Store) -> None:
        """And can be read on from."""
        page = store.read_all()

        assert page.messages == ()
        assert store.read_all(after=page.next_after).messages == ()

    def test_read_all_misses_nothing_that_commits_late(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T9: transaction 1 takes position n, 2 takes n+1 and commits, a reader runs, 1 commits."""
        given.appended("z")
        early, late = message("a"), message("b")

        def append_and_read() -> tuple[list[object], int]:
            other.append([late])
            page = other.read_all()
            return [one.id for one in page.messages], page.next_after

        first, second = race(lambda: store.append([early]), "append.before_commit", append_and_read)
        assert first.error is None
        seen, after = second.value
        seen += [one.id for one in store.read_all(after=after).messages]

        assert seen == [one.id for one in given.log()]
        assert {early.id, late.id} <= set(seen)

    @pytest.mark.parametrize("crashes", [1, 3])
    def test_nobody_waits_for_the_holes_of_appends_that_rolled_back(
        self, store: Store, given: Given, crashes: int
    ) -> None:
        """T10: a hole in the positions is final."""
        given.appended("a")
        for _ in range(crashes):
            with crashing("append.before_commit"):
                store.append([message("b")])
        given.appended("a")

        page = store.read_all()

        assert [one.seq for one in page.messages] == [1, 2]
        assert page.waiting_for == ()

    # one correlation

    def test_trace_returns_the_messages_of_one_correlation_by_position(self, store: Store) -> None:
        """Whichever of them is asked for."""
        cause = message("a")
        effects = [
            message(stream, causation_id=cause.id, correlation_id=cause.id)
            for stream in ("b", "a", "c")
        ]
        store.append([cause, message("a"), *effects])

        for asked in (cause, effects[1]):
            found = store.trace(asked.id)
            assert [one.id for one in found] == [cause.id, *[one.id for one in effects]]

    def test_trace_returns_no_more_than_its_limit(self, store: Store) -> None:
        """The first ones."""
        cause = message("a")
        store.append([cause, *[message("b", correlation_id=cause.id) for _ in range(3)]])

        assert len(store.trace(cause.id, limit=2)) == 2

    def test_trace_of_an_unknown_message_is_empty(self, store: Store) -> None:
        """An id that is not in the log is no error."""
        assert store.trace(new_id()) == ()

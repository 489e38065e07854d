"""Scheduling: messages enter the log when they are due, in order, once."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest

from sourced._ids import new_id
from sourced._records import ScheduledMessage
from sourced._store import Operator, Promoted, Store
from sourced.errors import DuplicateMessageError
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import LEASE, Given, Suite, message
from sourced_testing.conformance._race import crashing, race

__all__ = ["ScheduleConformance"]


class ScheduleConformance(Suite):
    """What `schedule`, `cancel` and `promote_due` promise."""

    def test_a_scheduled_message_enters_the_log_when_it_is_due(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I9: by the store's clock, unchanged, id and creation time included."""
        new = given.due(after=60)

        assert store.promote_due() == Promoted()
        clock.advance(59.999999)
        assert store.promote_due() == Promoted()
        assert given.log() == []
        clock.advance(0.000001)
        promoted = store.promote_due()

        assert (promoted.moved, promoted.dropped, promoted.failed) == (1, 0, 0)
        (stored,) = given.log()
        assert (stored.id, stored.stream_id, stored.seq) == (new.id, "a", 1)
        assert (stored.created_at, stored.payload, stored.meta) == (
            new.created_at,
            new.payload,
            new.meta,
        )
        assert store.inspect.schedule() == ()

    def test_a_scheduled_message_can_be_looked_at_by_its_id_until_it_is_due(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T24: a repeated dispatch is answered with what the first one scheduled."""
        new = given.due(after=60)
        found = store.inspect.scheduled(new.id)
        clock.advance(60)
        store.promote_due()

        assert found is not None
        assert (found.message, found.error) == (new, None)
        assert found.due_at == store.now()
        assert store.inspect.scheduled(new.id) is None

    def test_due_messages_enter_in_the_order_due_then_inserted(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """T64, T37: whatever order they were scheduled in, over all streams."""
        third, first, second, fourth = (
            given.due(after, stream_id)
            for after, stream_id in ((20, "a"), (10, "b"), (10, "a"), (30, "b"))
        )
        clock.advance(60)

        store.promote_due()

        assert [one.id for one in given.log()] == [first.id, second.id, third.id, fourth.id]

    def test_scheduled_messages_of_one_moment_keep_their_order(
        self, store: Store, given: Given
    ) -> None:
        """T37: fifty in one call and the same microsecond."""
        new = [message(f"s{n % 7}") for n in range(50)]
        store.schedule([ScheduledMessage(message=one, due_at=store.now()) for one in new])

        store.promote_due()

        assert [one.id for one in given.log()] == [one.id for one in new]

    def test_promotion_goes_in_portions(self, store: Store, given: Given) -> None:
        """T64: those due first come first."""
        for _ in range(3):
            given.due(after=0)

        counts = [store.promote_due(limit=2).moved for _ in range(3)]

        assert counts == [2, 1, 0]
        assert [one.seq for one in given.stream("a")] == [1, 2, 3]

    def test_a_promoted_message_has_its_deliveries(self, store: Store, given: Given) -> None:
        """I2: in the transaction that moves it."""
        given.group("G")
        given.group("H", "removed")
        given.due(after=0)

        assert store.inspect.deliveries() == ()
        promoted = store.promote_due()

        assert promoted.groups == {"G"}
        assert given.drained() == [("a", 1)]

    def test_a_promoted_message_goes_to_the_end_of_its_stream(
        self, store: Store, given: Given
    ) -> None:
        """I1: it was scheduled before, it is appended now."""
        new = given.due(after=0)
        given.appended("a", "added")

        store.promote_due()

        assert given.stream("a")[1].id == new.id

    def test_two_housekeepers_at_once_move_each_message_once(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T64: in due order; the second returns at once, or finds what is left."""
        given.group()
        new = [given.due(after=0, stream_id=stream_id) for stream_id in ("a", "b", "a")]

        first, second = race(
            lambda: store.promote_due(limit=2),
            "schedule.after_move",
            lambda: other.promote_due(limit=2),
        )
        store.promote_due()

        assert (first.error, second.error) == (None, None)
        assert [one.id for one in given.log()] == [one.id for one in new]
        assert sorted(given.drained()) == [("a", 1), ("a", 2), ("b", 1)]

    def test_a_crash_while_promoting_leaves_the_messages_waiting(
        self, store: Store, given: Given
    ) -> None:
        """T64, I5: they move in one transaction."""
        given.group()
        given.due(after=0)
        given.due(after=0, stream_id="b")

        with crashing("schedule.after_move"):
            store.promote_due()

        assert given.log() == []
        assert store.inspect.deliveries() == ()
        assert len(store.inspect.schedule()) == 2
        assert store.promote_due().moved == 2

    def test_poll_says_that_something_is_due(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I9: or when it will be."""
        assert (store.poll(LEASE).due, store.poll(LEASE).next_at) == (False, None)
        given.due(after=60)
        waiting = store.poll(LEASE)
        clock.advance(60)

        assert (waiting.due, waiting.next_at) == (False, store.now())
        assert store.poll(LEASE).due
        store.promote_due()
        assert (store.poll(LEASE).due, store.poll(LEASE).next_at) == (False, None)

    # ids

    def test_schedule_refuses_an_id_that_is_stored_or_scheduled(
        self, store: Store, given: Given
    ) -> None:
        """T24: nothing of the call is kept."""
        (stored,) = given.appended("a")
        waiting = given.due()
        twice = new_id()
        moment = store.now()

        for ids in ([new_id(), stored.id], [new_id(), waiting.id], [twice, twice]):
            with pytest.raises(DuplicateMessageError) as refused:
                store.schedule(
                    [ScheduledMessage(message=message(id=one), due_at=moment) for one in ids]
                )
            assert refused.value.message_id == ids[1]

        assert [one.message.id for one in store.inspect.schedule()] == [waiting.id]

    def test_an_append_and_a_schedule_of_one_id_race_and_one_is_refused(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T24: the message is handled once, now or later."""
        new = message("a")

        appended, scheduled = race(
            lambda: store.append([new]),
            "append.before_commit",
            lambda: other.schedule([ScheduledMessage(message=new, due_at=other.now())]),
        )
        store.promote_due()

        assert appended.error is None
        assert scheduled.error is None or isinstance(scheduled.error, DuplicateMessageError)
        assert [one.id for one in given.log()] == [new.id]
        assert store.inspect.schedule() == ()

    # taking back

    def test_cancel_takes_a_waiting_message_back(
        self, store: Store, clock: FakeClock, given: Given
    ) -> None:
        """I9: once; afterwards its id is free."""
        new, kept = given.due(), given.due()

        assert store.cancel(new.id, by=Operator(actor="ada", reason="because"))
        assert not store.cancel(new.id)
        clock.advance(60)
        store.promote_due()

        assert [one.id for one in given.log()] == [kept.id]
        assert store.append([new]).messages[0].seq == 2
        (found,) = store.inspect.operations()
        assert (found.verb, found.actor, found.reason) == ("cancel", "ada", "because")
        assert str(new.id) in found.target

    def test_cancel_of_a_message_that_is_in_the_log_is_too_late(
        self, store: Store, given: Given
    ) -> None:
        """It says so."""
        new = given.due(after=0)
        store.promote_due()

        assert not store.cancel(new.id)
        assert not store.cancel(new_id())
        assert len(given.log()) == 1

    def test_a_moment_of_another_zone_is_the_same_moment(self, store: Store, given: Given) -> None:
        """T38: neither zones nor daylight saving change a schedule."""
        zone = timezone(timedelta(hours=-9, minutes=-30))
        due_at = (store.now() + timedelta(seconds=10)).astimezone(zone)
        store.schedule([ScheduledMessage(message=message("a"), due_at=due_at)])

        assert store.inspect.schedule()[0].due_at == due_at
        given.clock.advance(9.999999)
        assert store.promote_due().moved == 0
        given.clock.advance(0.000001)
        assert store.promote_due().moved == 1

    def test_messages_are_listed_in_the_order_they_are_due(
        self, store: Store, given: Given
    ) -> None:
        """T38: with the moment, in UTC."""
        later, sooner = given.due(after=20), given.due(after=10)

        found = store.inspect.schedule()

        assert [one.message for one in found] == [sooner, later]
        assert found[0].due_at == store.now() + timedelta(seconds=10)
        assert [one.error for one in found] == [None, None]
        assert len(store.inspect.schedule(limit=1)) == 1

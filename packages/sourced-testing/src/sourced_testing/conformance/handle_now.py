"""Handling here and now: a chain that its caller has handled, written in one transaction."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from sourced._records import NewMessage, ScheduledMessage
from sourced._store import ExpectedSeq, Snapshot, Store, StreamCommit, UnitOfWork, UnlessSince
from sourced.errors import (
    BusyError,
    ConcurrencyError,
    DuplicateMessageError,
    GroupStoppedError,
    StreamParkedError,
    UnknownGroupError,
    UsageError,
)
from sourced_testing.conformance._given import Given, Suite, message
from sourced_testing.conformance._race import crashing, race, together

__all__ = ["HandleNowConformance"]


def _unit(
    *messages: NewMessage,
    group: str = "G",
    handled: Collection[NewMessage] | None = None,
    **more: Any,
) -> UnitOfWork:
    """Return a unit of which the group has handled all messages itself, or those named."""
    own = messages if handled is None else handled
    streams = {one.stream_id for one in messages}
    return UnitOfWork(
        messages=messages,
        handled={
            (group, stream): frozenset(one.id for one in own if one.stream_id == stream)
            for stream in streams
        },
        **more,
    )


class HandleNowConformance(Suite):
    """What `handle_now` promises."""

    def test_what_the_caller_handled_is_not_delivered_to_its_group(
        self, store: Store, given: Given
    ) -> None:
        """T27, I2: to all other groups it is."""
        given.group("G", "add", "added")
        given.group("H", "added")
        command, event = message("a", "add"), message("a", "added")

        done = store.handle_now(_unit(command, event))

        assert [(one.id, one.seq) for one in done.messages] == [(command.id, 1), (event.id, 2)]
        assert done.groups == {"H"}
        assert given.delivery("G") is None
        assert given.drained("H") == [("a", 2)]
        assert store.inspect.progress("G", "a").seq == 2

    def test_what_the_caller_did_not_handle_is_delivered_to_its_group(
        self, store: Store, given: Given
    ) -> None:
        """I2: an actor's reaction to its own event is left to the workers."""
        given.group("G", "add", "added")
        command, event = message("a", "add"), message("a", "added")

        done = store.handle_now(_unit(command, event, handled=[command]))

        assert done.groups == {"G"}
        assert given.drained() == [("a", 2)]

    def test_what_was_handled_now_is_replaying_after_a_reset(
        self, store: Store, given: Given
    ) -> None:
        """I6: it must not be decided again."""
        given.group("G", "add")
        store.handle_now(_unit(message("a", "add")))

        list(store.reset("G"))

        assert given.replayed() == [("a", 1, True)]

    def test_everything_is_written_together(self, store: Store, given: Given) -> None:
        """I5: messages, schedule, snapshots."""
        given.group("G", "add")
        later = ScheduledMessage(message=message("c"), due_at=store.now())
        state = Snapshot(group="G", stream_id="a", seq=1, version=1, state="{}")

        store.handle_now(_unit(message("a", "add"), schedule=(later,), snapshots=(state,)))

        assert [one.message for one in store.inspect.schedule()] == [later.message]
        assert store.read_snapshots("G", ["a"], version=1) == {"a": state}

    def test_a_crash_before_the_commit_leaves_nothing(self, store: Store, given: Given) -> None:
        """I5: it can be done again, with the same ids."""
        given.group("G", "add")
        given.group("H")
        later = ScheduledMessage(message=message("c"), due_at=store.now())
        state = Snapshot(group="G", stream_id="a", seq=1, version=1, state="{}")
        work = _unit(
            message("a", "add"), message("a", "added"), schedule=(later,), snapshots=(state,)
        )

        with crashing("handle_now.before_commit"):
            store.handle_now(work)

        assert given.log() == []
        assert store.inspect.schedule() == ()
        assert store.inspect.deliveries() == ()
        assert store.read_snapshots("G", ["a"], version=1) == {}
        assert len(store.handle_now(work).messages) == 2

    def test_syncs_run_first_and_what_they_raise_is_raised(
        self, store: Store, given: Given
    ) -> None:
        """I5: nothing is written then."""
        given.group("G", "add")
        broken = ValueError("broken")

        def fail(_connection: Any) -> None:
            raise broken

        with pytest.raises(ValueError, match="broken") as raised:
            store.handle_now(_unit(message("a", "add"), sync=fail))

        assert raised.value is broken
        assert given.log() == []

    # what stands in the way

    def test_an_older_command_is_not_overtaken(self, store: Store, given: Given) -> None:
        """T27: it is pending, and whoever asks must handle it first."""
        given.group("G", "add")
        given.appended("a", "add")

        with pytest.raises(BusyError) as busy:
            store.handle_now(_unit(message("a", "add")))

        assert (busy.value.group, busy.value.stream_id, busy.value.reason) == ("G", "a", "pending")
        assert len(given.log()) == 1

    def test_a_stream_that_a_worker_holds_is_not_handled(self, store: Store, given: Given) -> None:
        """T27, I3: never the two at the same time."""
        given.group("G", "add")
        given.appended("a", "add")
        claim = given.claimed()

        with pytest.raises(BusyError) as busy:
            store.handle_now(_unit(message("a", "add")))
        given.acked(claim, 1)
        done = store.handle_now(_unit(message("a", "add")))

        assert busy.value.reason == "held"
        assert done.messages[0].seq == 2

    def test_a_stream_that_waits_for_a_retry_is_not_handled(
        self, store: Store, given: Given
    ) -> None:
        """T27: the error says until when."""
        given.group("G", "add")
        given.appended("a", "add")
        given.retrying(seconds=60)

        with pytest.raises(BusyError) as busy:
            store.handle_now(_unit(message("a", "add")))

        assert busy.value.reason == "retrying"
        assert busy.value.until == store.now() + timedelta(seconds=60)

    def test_a_parked_stream_is_not_handled(self, store: Store, given: Given) -> None:
        """T48: it waits for an operator."""
        given.group("G", "add")
        given.appended("a", "add")
        given.parked()

        with pytest.raises(StreamParkedError) as parked:
            store.handle_now(_unit(message("a", "add")))

        assert (parked.value.group, parked.value.stream_id) == ("G", "a")
        assert len(given.log()) == 1

    def test_a_group_that_is_stopped_filling_or_unknown_handles_nothing(
        self, store: Store, given: Given
    ) -> None:
        """T51, T62: whatever the stream."""
        given.appended("a")
        given.group("Stopped", "add")
        store.stop("Stopped")
        with crashing("register.after_subscribe"):
            store.register("Filling", ["added"])

        with pytest.raises(GroupStoppedError):
            store.handle_now(_unit(message("b", "add"), group="Stopped"))
        with pytest.raises(BusyError) as busy:
            store.handle_now(_unit(message("b"), group="Filling"))
        with pytest.raises(UnknownGroupError):
            store.handle_now(_unit(message("b", "add"), group="nobody"))

        assert busy.value.reason == "filling"
        assert given.stream("b") == []

    def test_one_stream_in_the_way_refuses_the_whole_unit(self, store: Store, given: Given) -> None:
        """I5: all or nothing."""
        given.group("G", "add")
        given.appended("b", "add")

        with pytest.raises(BusyError):
            store.handle_now(_unit(message("a", "add"), message("b", "add")))

        assert given.stream("a") == []

    def test_a_unit_that_handles_past_what_it_leaves_is_refused(
        self, store: Store, given: Given
    ) -> None:
        """I4: a worker would come by the first, and by the second once more."""
        given.group("G", "add")
        first, second = message("a", "add"), message("a", "add")

        with pytest.raises(UsageError):
            store.handle_now(_unit(first, second, handled=[second]))
        store.handle_now(_unit(first, second, handled=[first]))

        assert given.drained() == [("a", 2)]

    def test_a_decision_on_events_that_are_not_the_newest_is_refused(
        self, store: Store, given: Given
    ) -> None:
        """T59, I7: by type, or by the head of the stream."""
        given.group("G", "add")
        given.appended("a", "added")

        for expectation in (UnlessSince(0, frozenset({"added"})), ExpectedSeq(0)):
            with pytest.raises(ConcurrencyError) as refused:
                store.handle_now(_unit(message("a", "add"), expect={"a": expectation}))
            assert (refused.value.expected_seq, refused.value.actual_seq) == (0, 1)

        assert len(given.log()) == 1

    def test_a_command_that_is_stored_is_refused(self, store: Store, given: Given) -> None:
        """T24: it was handled, or will be."""
        given.group("G", "add")
        command = message("a", "add")
        store.handle_now(_unit(command))

        with pytest.raises(DuplicateMessageError):
            store.handle_now(_unit(message("b", "add"), command))

        assert [one.id for one in given.log()] == [command.id]

    # others at the same time

    @pytest.mark.parametrize("append_first", [True, False])
    def test_a_command_that_is_appended_meanwhile_is_neither_skipped_nor_overtaken(
        self, store: Store, other: Store, given: Given, append_first: bool
    ) -> None:
        """T27: forced in both orders."""
        given.group("G", "add")
        waiting, command = message("a", "add"), message("a", "add")
        append = partial(store.append, [waiting])
        handle = partial(other.handle_now, _unit(command))

        if append_first:
            appended, handled = race(append, "append.before_commit", handle)
        else:
            handled, appended = race(handle, "handle_now.before_commit", append)
        order = [one.id for one in given.stream("a")]

        assert appended.error is None
        if handled.error is None:
            assert order == [command.id, waiting.id]
            assert given.drained() == [("a", 2)]
        else:
            assert isinstance(handled.error, BusyError)
            assert order == [waiting.id]
            assert given.drained() == [("a", 1)]

    def test_a_worker_that_commits_meanwhile_is_waited_for_or_in_the_way(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T27: a unit never lands between a claim and its ack."""
        given.group("G", "add")
        given.appended("a", "add")
        claim = given.claimed()
        part = StreamCommit(claim=claim, ack_seq=1, append=(message("a", "added"),))
        command = message("a", "add")

        committed, handled = race(
            lambda: store.commit(claim.worker, [part]),
            "commit.before_commit",
            lambda: other.handle_now(_unit(command)),
        )

        assert committed.error is None
        assert handled.error is None or isinstance(handled.error, BusyError)
        assert [one.type for one in given.stream("a")][:2] == ["add", "added"]
        assert given.drained() == []

    def test_units_over_the_same_streams_in_opposite_order_do_not_deadlock(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T68, I8: {order, payment} against {payment, order}."""
        given.group("G", "add")

        def units(through: Store, *streams: str) -> None:
            for _ in range(20):
                through.handle_now(_unit(*[message(one, "add") for one in streams]))

        ended = together(
            partial(units, store, "order", "payment"), partial(units, other, "payment", "order")
        )

        assert [one.error for one in ended] == [None, None]
        assert [len(given.stream("order")), len(given.stream("payment"))] == [40, 40]
        assert store.inspect.deliveries() == ()

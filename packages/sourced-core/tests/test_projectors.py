"""Projectors handle a batch as a whole, or exactly the part of it before a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from sourced import (
    Ack,
    AfterCommit,
    Append,
    Batch,
    Command,
    Event,
    EventSourcedProjector,
    Fail,
    Outcome,
    StateStoredProjector,
    Sync,
    event,
    react,
)
from sourced._outcomes import Evolved, SnapshotTaken, SyncTogether, Yielded
from sourced_testing._list_stream import ListStream, appended, handled, only


class Added(Event, type="projectors.added"):
    amount: int = 1
    tags: list[str] = field(default_factory=list)


class Closed(Event, type="projectors.closed"):
    pass


class Unrelated(Event, type="projectors.unrelated"):
    pass


class Notify(Command, type="projectors.notify"):
    total: int


class Bad(Exception):  # noqa: N818 - whatever users raise
    pass


@dataclass
class Listing:
    id: str
    total: int = 0


class Listings(StateStoredProjector[Listing]):
    """Keeps its rows in a dict."""

    def __init__(self, rows: dict[str, int] | None = None) -> None:
        self.rows = {} if rows is None else rows
        self.loads: list[tuple[str, object]] = []
        self.syncs: list[Batch] = []

    def load(self, stream_id: str, connection: object) -> Listing | None:
        self.loads.append((stream_id, connection))
        total = self.rows.get(stream_id)
        return None if total is None else Listing(stream_id, total)

    @event
    def added(self, listing: Listing, event: Added) -> None:
        listing.total += event.amount

    @event
    def closed(self, listing: Listing, event: Closed) -> None:
        if listing.total < 0:
            raise Bad

    def sync(self, listing: Listing, batch: Batch) -> None:
        self.syncs.append(batch)
        self.rows[listing.id] = listing.total


def run_syncs(outcomes: Sequence[Outcome], connection: object = "in commit") -> None:
    for outcome in outcomes:
        if isinstance(outcome, Sync):
            outcome.run(connection)


def names(outcomes: Sequence[Outcome]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


# --- a batch --------------------------------------------------------------------------------------


def test_a_batch_is_one_load_one_sync_and_one_ack() -> None:
    stream = ListStream("l-1", Added(amount=1), Added(amount=2), Added(amount=3))
    listings = Listings({"l-1": 10})

    outcomes = handled(listings, stream.batch())
    run_syncs(outcomes)

    assert listings.loads == [("l-1", "connection")]
    assert names(outcomes) == ["Sync", "Evolved", "Ack"]
    assert only(Ack, outcomes) == Ack(3)
    assert listings.rows == {"l-1": 16}


def test_sync_has_the_batch_its_events_and_the_commits_connection() -> None:
    stream = ListStream("l-1", Added(), Added())
    listings = Listings()

    run_syncs(handled(listings, stream.batch()))

    (batch,) = listings.syncs
    assert batch.connection == "in commit"
    assert batch.events == batch.messages
    assert len(batch.messages) == 2


def test_a_projector_handles_exactly_what_it_evolves_from() -> None:
    assert Listings.handles == Listings.evolves == (Added, Closed)
    assert Listings.decides == ()


def test_a_missing_row_starts_from_the_initial_state() -> None:
    listings = Listings()

    run_syncs(handled(listings, ListStream("new", Added(amount=5)).batch()))

    assert listings.rows == {"new": 5}


def test_after_a_reset_the_first_batch_starts_anew() -> None:
    listings = Listings({"l-1": 100})
    stream = ListStream("l-1", Added(amount=5))

    run_syncs(handled(listings, stream.batch(restarted=True, replay_until=1)))

    assert listings.loads == []
    assert listings.rows == {"l-1": 5}


def test_the_batch_is_replaying_only_if_all_of_it_is() -> None:
    listings = Listings()
    stream = ListStream("l-1", Added(), Added())

    run_syncs(handled(listings, stream.batch(replay_until=1)))
    run_syncs(handled(listings, stream.batch(replay_until=2)))

    assert [batch.replaying for batch in listings.syncs] == [False, True]


def test_evolving_does_not_change_the_messages_that_sync_sees() -> None:
    class Tagging(StateStoredProjector[list[str]]):
        def load(self, stream_id: str, connection: object) -> None: ...

        @event
        def added(self, tags: list[str], event: Added) -> list[str]:
            event.tags.append("changed by evolve")
            return event.tags

        def sync(self, tags: list[str], batch: Batch) -> None:
            seen.extend(message.payload["tags"] for message in batch.messages)

    seen: list[list[str]] = []

    run_syncs(handled(Tagging(), ListStream("t", Added(tags=["a"])).batch()))

    assert seen == [["a"]]


def test_what_a_unit_carries_on_is_not_loaded_again() -> None:
    listings = Listings({"l-1": 10})
    stream = ListStream("l-1", Added(amount=1), Added(amount=2))

    stream.commit(handled(listings, stream.batch(upto=1)))
    run_syncs(handled(listings, stream.batch(after=1)))

    assert len(listings.loads) == 1
    assert listings.rows == {"l-1": 13}


# --- reactions ------------------------------------------------------------------------------------


class Notifying(Listings):
    @react
    def notify(self, listing: Listing, event: Added) -> Yielded:
        if event.amount == 13:
            raise Bad
        yield Notify(total=listing.total)


def test_each_reaction_sees_the_state_as_of_its_own_message() -> None:
    outcomes = handled(Notifying(), ListStream("l", *(Added() for _ in range(3))).batch())

    assert appended(outcomes) == [Notify(total=1), Notify(total=2), Notify(total=3)]
    assert names(outcomes) == ["Append"] * 3 + ["Sync", "Evolved", "Ack"]


def test_reactions_do_not_run_for_replaying_messages_but_sync_does() -> None:
    notifying = Notifying()

    outcomes = handled(notifying, ListStream("l", Added(), Added()).batch(replay_until=1))
    run_syncs(outcomes)

    assert appended(outcomes) == [Notify(total=2)]
    assert notifying.rows == {"l": 2}


def test_a_failing_reaction_keeps_exactly_what_came_before_it() -> None:
    stream = ListStream("l", Added(), Added(), Added(amount=13), Added())
    failing, fine = Notifying({"l": 10}), Notifying({"l": 10})

    outcomes = handled(failing, stream.batch())
    expected = handled(fine, stream.batch(upto=2))
    run_syncs(outcomes)
    run_syncs(expected)

    assert names(outcomes) == [*names(expected), "Fail"]
    assert appended(outcomes) == appended(expected) == [Notify(total=11), Notify(total=12)]
    assert failing.rows == fine.rows == {"l": 12}
    assert failing.syncs[0].messages == fine.syncs[0].messages
    fail = only(Fail, outcomes)
    assert fail.seq == 3
    assert isinstance(fail.error, Bad)


def test_no_reaction_runs_twice_when_a_later_one_fails() -> None:
    ran = []

    class Counting(Listings):
        @react
        def count(self, event: Added) -> None:
            ran.append(event.meta.seq)
            if event.amount == 13:
                raise Bad

    handled(Counting(), ListStream("l", Added(), Added(amount=13)).batch())

    assert ran == [1, 2]


def test_a_failing_evolve_keeps_what_came_before_it_too() -> None:
    listings = Listings()
    stream = ListStream("l", Added(amount=-5), Closed(), Added())

    outcomes = handled(listings, stream.batch())
    run_syncs(outcomes)

    assert only(Ack, outcomes) == Ack(1)
    assert only(Fail, outcomes).seq == 2
    assert listings.rows == {"l": -5}


def test_a_failure_of_the_first_message_leaves_nothing_else() -> None:
    outcomes = handled(Notifying(), ListStream("l", Added(amount=13), Added()).batch())

    assert names(outcomes) == ["Fail"]


def test_a_failing_load_fails_the_first_message() -> None:
    class Broken(Listings):
        def load(self, stream_id: str, connection: object) -> Listing | None:
            raise Bad

    fail = only(Fail, handled(Broken(), ListStream("l", Added(), Added()).batch()))

    assert fail.seq == 1
    assert isinstance(fail.error, Bad)


def test_async_reactions_make_a_projector_a_coroutine() -> None:
    class Slow(Listings):
        @react
        async def notify(self, listing: Listing, event: Added) -> Any:
            await asyncio.sleep(0)
            yield Notify(total=listing.total)

    outcomes = handled(Slow(), ListStream("l", Added(), Added()).batch())

    assert Slow.handles_concurrently
    assert appended(outcomes) == [Notify(total=1), Notify(total=2)]


# --- many streams at once -------------------------------------------------------------------------


class Totals(StateStoredProjector[Listing]):
    """Reads and writes many streams at once, and adds up over them."""

    def __init__(self, rows: dict[str, int] | None = None) -> None:
        self.rows = {} if rows is None else rows
        self.calls: list[tuple[str, Any]] = []

    def load_many(self, stream_ids: Sequence[str], connection: object) -> Mapping[str, Listing]:
        self.calls.append(("load_many", list(stream_ids)))
        return {name: Listing(name, self.rows[name]) for name in stream_ids if name in self.rows}

    @event
    def added(self, listing: Listing, event: Added) -> None:
        listing.total += event.amount
        if event.amount == 13:
            raise Bad

    def sync_many(self, states: Sequence[Listing], batches: Sequence[Batch]) -> None:
        self.calls.append(("sync_many", [batch.connection for batch in batches]))
        self.rows.update({state.id: state.total for state in states})

    def clear(self, stream_ids: Sequence[str], connection: object) -> None:
        self.calls.append(("clear", (list(stream_ids), connection)))


def commit_together(results: Sequence[Sequence[Outcome]], connection: object = "c") -> None:
    """Run syncs as the engine does: those with an equal key in one call."""
    joined: dict[int, tuple[SyncTogether, list[Any]]] = {}
    for outcomes in results:
        for outcome in outcomes:
            if isinstance(outcome, SyncTogether):
                joined.setdefault(id(outcome.key), (outcome, []))[1].append(outcome.item)
    for first, items in joined.values():
        first.run(items, connection)


def test_fifty_streams_are_one_read_and_one_write() -> None:
    totals = Totals({"l-0": 100})
    streams = [ListStream(f"l-{n}", Added(amount=n * 100), Added(amount=1)) for n in range(50)]

    results: Any = totals.handle_batches([stream.batch() for stream in streams])
    commit_together(results)

    assert Totals.handles_together
    assert not Listings.handles_together
    assert [name for name, _ in totals.calls] == ["load_many", "sync_many"]
    assert len(totals.calls[0][1]) == 50
    assert totals.calls[1][1] == ["c"] * 50
    assert totals.rows["l-0"] == 101
    assert totals.rows["l-49"] == 4901


def test_one_stream_alone_uses_the_same_functions() -> None:
    totals = Totals({"l-0": 100})

    outcomes = handled(totals, ListStream("l-0", Added(amount=1)).batch())
    commit_together([outcomes])

    assert totals.rows == {"l-0": 101}


def test_restarted_streams_are_cleared_once_and_before_the_write() -> None:
    totals = Totals({"a": 100, "b": 100, "c": 100})
    batches = [
        ListStream("a", Added()).batch(restarted=True),
        ListStream("b", Added()).batch(),
        ListStream("c", Added()).batch(restarted=True),
    ]

    results: Any = totals.handle_batches(batches)
    commit_together(results)

    assert [name for name, _ in totals.calls] == ["load_many", "clear", "sync_many"]
    assert totals.calls[0][1] == ["b"]
    assert totals.calls[1][1] == (["a", "c"], "c")
    assert totals.rows == {"a": 1, "b": 101, "c": 1}


def test_a_failure_in_one_stream_is_that_streams_alone() -> None:
    totals = Totals({"a": 100})
    streams = [ListStream("a", Added(), Added(amount=13)), ListStream("b", Added())]

    results: Any = totals.handle_batches([stream.batch() for stream in streams])
    commit_together(results)

    assert only(Fail, results[0]).seq == 2
    assert names(results[1])[-1] == "Ack"
    assert totals.rows == {"a": 101, "b": 1}


def test_streams_of_an_async_projector_are_handled_at_the_same_time() -> None:
    class Meeting(Totals):
        @react
        async def meet(self, event: Added) -> None:
            await asyncio.wait_for(barrier.wait(), 5)

    async def together() -> Any:
        return await meeting.handle_batches(batches)

    barrier = asyncio.Barrier(2)
    meeting: Any = Meeting()
    batches = [ListStream("a", Added()).batch(), ListStream("b", Added()).batch()]

    results = asyncio.run(together())

    assert [names(outcomes)[-1] for outcomes in results] == ["Ack", "Ack"]


def test_clear_works_with_a_plain_sync() -> None:
    cleared = []

    class Clearing(Listings):
        def clear(self, stream_ids: Sequence[str], connection: object) -> None:
            cleared.append((list(stream_ids), connection))

    clearing = Clearing()
    stream = ListStream("l", Added(), Added())
    run_syncs(handled(clearing, stream.batch(upto=1, restarted=True)))
    run_syncs(handled(clearing, stream.batch(after=1)))

    assert cleared == [(["l"], "in commit")]
    assert clearing.rows == {"l": 2}


# --- event-sourced --------------------------------------------------------------------------------


class Sums(EventSourcedProjector[dict[str, int]], snapshot_every=3):
    def __init__(self) -> None:
        self.after: list[dict[str, int]] = []

    def initial_state(self, stream_id: str) -> dict[str, int]:
        return {"total": 0}

    @event
    def added(self, state: dict[str, int], event: Added) -> None:
        state["total"] += event.amount
        if event.amount == 13:
            raise Bad

    def after_commit(self, state: dict[str, int], batch: Batch) -> None:
        self.after.append(dict(state))


def total_of(outcomes: Sequence[Outcome]) -> int:
    total: int = only(Evolved, outcomes).state["total"]
    return total


def test_the_state_is_made_of_the_streams_history() -> None:
    stream = ListStream("s", Added(amount=1), Unrelated(), Added(amount=2), Added(amount=4))

    outcomes = handled(Sums(), stream.batch(after=3))

    assert total_of(outcomes) == 7
    assert stream.reads == [(0, 3)]


def test_a_remembered_state_is_carried_on() -> None:
    stream = ListStream("s", Added(amount=1))
    stream.commit(handled(Sums(), stream.batch()))
    stream.add(Added(amount=2))
    reads = len(stream.reads)

    outcomes = handled(Sums(), stream.batch(after=1))

    assert total_of(outcomes) == 3
    assert len(stream.reads) == reads


def test_what_another_process_handled_meanwhile_is_read() -> None:
    stream = ListStream("s", Added(amount=1))
    stream.commit(handled(Sums(), stream.batch()))
    stream.add(Added(amount=2), Added(amount=4))

    outcomes = handled(Sums(), stream.batch(after=2))

    assert total_of(outcomes) == 7


def test_later_messages_are_not_evolved() -> None:
    stream = ListStream("s", *(Added(amount=1) for _ in range(5)))

    assert total_of(handled(Sums(), stream.batch(after=1, upto=3))) == 3


def test_after_a_reset_nothing_remembered_counts() -> None:
    stream = ListStream("s", Unrelated(), Added(amount=1))
    stream.commit(handled(Sums(), stream.batch(after=1)))
    reads = len(stream.reads)

    outcomes = handled(Sums(), stream.batch(after=1, restarted=True, replay_until=2))

    assert total_of(outcomes) == 1
    assert len(stream.reads) == reads


def test_after_commit_has_the_state_of_the_batch() -> None:
    sums = Sums()

    outcomes = handled(sums, ListStream("s", Added(amount=1), Added(amount=2)).batch())
    only(AfterCommit, outcomes).run()

    assert sums.after == [{"total": 3}]
    assert not [o for o in outcomes if isinstance(o, Sync)]


def test_snapshots_are_taken_at_the_last_message_of_the_batch() -> None:
    stream = ListStream("s", *(Added(amount=1) for _ in range(4)))
    outcomes = handled(Sums(), stream.batch())
    stream.commit(outcomes)
    assert only(SnapshotTaken, outcomes).seq == 4

    stream.remembered.clear()
    stream.add(Added(amount=1))
    outcomes = handled(Sums(), stream.batch(after=4))

    assert total_of(outcomes) == 5
    assert stream.reads == []
    assert not [o for o in outcomes if isinstance(o, SnapshotTaken)]


def test_a_snapshot_beyond_the_first_message_is_ignored() -> None:
    stream = ListStream("s", *(Added(amount=1) for _ in range(4)))
    stream.commit(handled(Sums(), stream.batch()))
    stream.remembered.clear()

    assert total_of(handled(Sums(), stream.batch(after=1, upto=2))) == 2


def test_a_snapshot_that_cannot_be_made_fails_the_last_message_alone() -> None:
    class Unsaved(Sums, snapshot_every=1):
        def encode_state(self, state: dict[str, int]) -> int:
            if state["total"] > 2:
                raise Bad
            return state["total"]

        def decode_state(self, data: int) -> dict[str, int]:
            return {"total": data}

        @react
        def tell(self, event: Added) -> Yielded:
            yield Notify(total=event.amount)

    outcomes = handled(Unsaved(), ListStream("s", Added(), Added(), Added()).batch())

    assert len(appended(outcomes)) == 2
    assert only(Ack, outcomes) == Ack(2)
    assert only(Fail, outcomes).seq == 3


def test_an_event_sourced_projector_fails_like_the_other() -> None:
    stream = ListStream("s", Added(amount=1), Added(amount=2), Added(amount=13))

    outcomes = handled(Sums(), stream.batch())

    assert total_of(outcomes) == 3
    assert only(Ack, outcomes) == Ack(2)
    assert only(Fail, outcomes).seq == 3


@pytest.mark.parametrize("make", [Listings, Sums])
def test_outputs_of_reactions_are_appended_to_the_events_stream(make: Callable[[], Any]) -> None:
    class Reacting(make):  # type: ignore[valid-type, misc]
        @react
        def tell(self, event: Added) -> Yielded:
            yield Notify(total=event.amount)

    outcomes = handled(Reacting(), ListStream("s", Added(amount=4)).batch())

    assert only(Append, outcomes) == Append(Notify(total=4), "s")

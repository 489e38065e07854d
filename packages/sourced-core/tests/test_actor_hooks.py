"""An actor's sync and after_commit see the newest state, and exactly what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from sourced import (
    Ack,
    AfterCommit,
    Batch,
    Outcome,
    Sync,
    react,
)
from sourced_testing._list_stream import ListStream, handled, only
from sourced_testing._watched import Reject, Step, WatchedCart
from sourced_testing.examples import AddItem, CartState, ItemAdded


class Mirrored(WatchedCart):
    """Writes down what its hooks are given."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: list[tuple[tuple[str, ...], Batch]] = []
        self.after: list[tuple[tuple[str, ...], Batch]] = []

    def sync(self, cart: CartState, batch: Batch) -> None:
        self.synced.append((cart.product_ids, batch))

    def after_commit(self, cart: CartState, batch: Batch) -> None:
        self.after.append((cart.product_ids, batch))

    @react
    def on_step(self, event: Step) -> None: ...


def run_hooks(outcomes: Sequence[Outcome], connection: object) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Sync):
            outcome.run(connection)
    for outcome in outcomes:
        if isinstance(outcome, AfterCommit):
            outcome.run()


def test_sync_has_the_newest_state_the_appended_events_and_the_connection() -> None:
    stream = ListStream(
        "s", ItemAdded(product_id="old"), AddItem(product_id="a"), AddItem(product_id="b")
    )
    mirrored = Mirrored()

    outcomes = handled(mirrored, stream.batch(after=1))
    run_hooks(outcomes, "the connection")

    ((items, batch),) = mirrored.synced
    assert items == ("old", "a", "b")
    assert batch.connection == "the connection"
    assert batch.events == (ItemAdded(product_id="a"), ItemAdded(product_id="b"))
    assert len(batch.messages) == 2
    ((items, batch),) = mirrored.after
    assert items == ("old", "a", "b")
    assert batch.connection is None
    assert not batch.replaying


def test_with_a_sync_the_batch_is_kept_as_a_whole() -> None:
    stream = ListStream("s", AddItem(product_id="a"), AddItem(product_id="b"))

    outcomes = handled(Mirrored(), stream.batch())

    assert [o.seq for o in outcomes if isinstance(o, Ack)] == [2]


def test_sync_after_a_failure_shows_exactly_what_is_kept() -> None:
    stream = ListStream("s", AddItem(product_id="a"), AddItem(product_id="b"), Reject())
    mirrored = Mirrored()

    outcomes = handled(mirrored, stream.batch())
    run_hooks(outcomes, None)
    stream.commit(outcomes)

    ((items, batch),) = mirrored.synced
    assert items == ("a", "b")
    assert [type(message) for message in batch.messages] == [AddItem, AddItem]
    assert len(batch.events) == 2
    assert stream.remembered["decide"].state.product_ids == ("a", "b")


def test_sync_does_not_run_for_reactions_alone() -> None:
    outcomes = handled(Mirrored(), ListStream("s", Step()).batch())

    assert outcomes == [Ack(1)]


def test_sync_runs_for_replaying_commands_with_the_newest_state() -> None:
    stream = ListStream("s", AddItem(product_id="a"), ItemAdded(product_id="a"))
    mirrored = Mirrored()

    outcomes = handled(mirrored, stream.batch(upto=1, replay_until=1))
    run_hooks(outcomes, None)

    ((items, batch),) = mirrored.synced
    assert items == ("a",)
    assert batch.replaying
    assert batch.events == ()


def test_an_async_sync_is_left_to_the_engine_to_await() -> None:
    class Slow(WatchedCart):
        async def sync(self, cart: CartState, batch: Batch) -> None:
            await asyncio.sleep(0)
            self.seen.append(("synced",))

    slow = Slow()

    outcomes = handled(slow, ListStream("s", AddItem(product_id="a")).batch())
    waiting: Any = only(Sync, outcomes).run(None)
    asyncio.run(waiting)

    assert slow.seen[-1] == ("synced",)

"""Snapshots are shortcuts: taken at exactly known seqs, ignored when anything is odd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sourced import (
    Ack,
    Actor,
)
from sourced._outcomes import SnapshotTaken
from sourced.errors import DefinitionError
from sourced_testing._list_stream import ListStream, handled, only
from sourced_testing._watched import Look, Place, Step, Walker, WatchedCart
from sourced_testing.examples import AddItem, CartState, ItemAdded, Touch


class Saved(WatchedCart, snapshot_every=3):
    """Its state is a dataclass that the built-in codec holds."""


def test_a_snapshot_is_taken_when_the_stream_has_grown_enough() -> None:
    stream = ListStream("s", ItemAdded(product_id="a"), AddItem(product_id="b"))

    few = handled(Saved(), stream.batch(after=1))
    stream.add(AddItem(product_id="c"))
    enough = handled(Saved(), stream.batch(after=1))

    assert not [o for o in few if isinstance(o, SnapshotTaken)]
    taken = only(SnapshotTaken, enough)
    assert (taken.seq, taken.version) == (3, 1)
    assert enough.index(taken) < enough.index(Ack(2))


def test_a_snapshot_is_of_the_state_before_deciding() -> None:
    """The seq of events that are being appended is not known before the commit."""
    stream = ListStream(
        "s", *(ItemAdded(product_id=str(n)) for n in range(3)), AddItem(product_id="x")
    )
    stream.commit(handled(Saved(), stream.batch(after=3)))
    stream.remembered.clear()
    stream.add(AddItem(product_id="y"))
    saved = Saved()

    handled(saved, stream.batch(after=5))

    assert stream.stored_snapshot is not None
    assert stream.stored_snapshot.seq == 4
    assert stream.reads[-1] == (4, None)
    assert saved.seen == [("0", "1", "2", "x")]


def test_the_next_snapshot_waits_for_the_next_multiple() -> None:
    stream = ListStream("s", *(AddItem(product_id=str(n)) for n in range(3)))
    stream.commit(handled(Saved(), stream.batch()))
    first = stream.stored_snapshot
    seqs = [] if first is None else [first.seq]

    for _ in range(4):
        seq = stream.head
        stream.add(AddItem(product_id="more"))
        outcomes = handled(Saved(), stream.batch(after=seq))
        seqs += [o.seq for o in outcomes if isinstance(o, SnapshotTaken)]
        stream.commit(outcomes)

    assert seqs == [3, 7, 9, 13]


@pytest.mark.parametrize("text", ["no json", '{"state": {"id": 3}}', "{}"])
def test_a_snapshot_that_does_not_decode_is_ignored(text: str) -> None:
    stream = ListStream("s", *(AddItem(product_id=str(n)) for n in range(3)))
    stream.commit(handled(Saved(), stream.batch()))
    assert stream.stored_snapshot is not None
    stream.stored_snapshot = replace(stream.stored_snapshot, state=text)
    stream.remembered.clear()
    stream.add(Touch())
    saved = Saved()

    handled(saved, stream.batch(after=6))

    assert saved.seen == [("0", "1", "2")]


def test_a_snapshot_of_another_version_is_ignored() -> None:
    class Newer(Saved):
        snapshot_version = 2

    stream = ListStream("s", *(AddItem(product_id=str(n)) for n in range(3)))
    stream.commit(handled(Saved(), stream.batch()))
    stream.remembered.clear()
    stream.add(Touch())

    outcomes = handled(Newer(), stream.batch(after=6))

    assert stream.reads[-1] == (0, None)
    assert only(SnapshotTaken, outcomes).version == 2


def test_users_may_write_snapshots_their_own_way() -> None:
    class Own(Walker, snapshot_every=1):
        def encode_state(self, place: Place) -> int:
            return place.at

        def decode_state(self, data: int) -> Place:
            return Place(data)

    stream = ListStream("s", Step(by=5), Look())
    stream.commit(handled(Own(), stream.batch(after=1)))
    stream.remembered.clear()
    stream.add(Step(by=1), Look())
    own = Own()

    handled(own, stream.batch(after=3))

    assert own.seen == [6]
    assert stream.reads[-1] == (2, None)


def test_snapshots_of_a_state_that_no_codec_holds_are_refused_at_definition() -> None:
    class Opaque:
        pass

    with pytest.raises(DefinitionError, match=r"encode_state.*decode_state"):

        class Bad(Actor[Opaque], snapshot_every=10): ...

    with pytest.raises(DefinitionError, match="only one of the two"):

        class Half(Actor[CartState], snapshot_every=10):
            def encode_state(self, state: CartState) -> Any:
                return {}

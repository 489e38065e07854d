"""Registering groups: what they start with, what they gain and lose, stop and start."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from sourced._store import BEGINNING, NOW, Registration, Snapshot, Store
from sourced.errors import UnknownGroupError
from sourced_testing.conformance._given import MOMENT, OPERATOR, Given, Suite, message
from sourced_testing.conformance._race import crashing, halted, race

__all__ = ["RegisterConformance"]

_MANY = 1001
"""Streams enough for three chunks of a fill."""


def _many() -> list[tuple[str, int]]:
    """Return the first message of each of the many streams."""
    return [(f"s{n:04}", 1) for n in range(_MANY)]


class RegisterConformance(Suite):
    """What `register`, `unsubscribe`, `remove`, `stop` and `start` promise."""

    # where a group starts

    def test_a_new_group_handles_what_is_stored_from_the_beginning(
        self, store: Store, given: Given
    ) -> None:
        """I2: and says in how many streams."""
        given.appended("a", "removed", "added", "added")
        given.appended("b", "added")
        given.appended("c", "removed")

        registration = store.register("G", ["added"], start=BEGINNING)

        assert registration == Registration(created=True, past_streams=2)
        assert given.group_status().status == "active"
        assert given.group_status().types == {"added"}
        assert sorted(given.drained()) == [("a", 2), ("a", 3), ("b", 1)]

    def test_a_group_that_starts_now_handles_what_comes(self, store: Store, given: Given) -> None:
        """I2: its progress is each stream's head."""
        given.appended("a", "added")

        registration = store.register("G", ["added"], start=NOW)
        given.appended("a", "added")

        assert (registration.created, registration.past_streams) == (True, 0)
        assert given.group_status().status == "active"
        assert given.drained() == [("a", 2)]

    def test_a_group_that_starts_at_a_time_handles_what_was_created_since(
        self, store: Store, given: Given
    ) -> None:
        """I2: from the first such message of each stream on, in seq order."""
        store.append(
            [
                message("a", created_at=MOMENT - timedelta(hours=1)),
                message("a", created_at=MOMENT),
                message("a", created_at=MOMENT - timedelta(hours=2)),
                message("b", created_at=MOMENT - timedelta(microseconds=1)),
                message("c", created_at=MOMENT + timedelta(hours=1)),
            ]
        )

        registration = store.register("G", ["added"], start=MOMENT)

        assert registration.past_streams == 2
        assert sorted(given.drained()) == [("a", 2), ("a", 3), ("c", 1)]

    # known groups

    def test_registering_again_changes_nothing(self, store: Store, given: Given) -> None:
        """I2: progress is kept, whatever start is named."""
        given.appended("a", "added", "added")
        given.group()
        given.acked(given.claimed(), 1)
        before = given.row()

        again = store.register("G", ["added"], start=NOW)

        assert again == Registration(created=False)
        assert given.row() == before

    def test_added_types_count_from_where_the_group_is(self, store: Store, given: Given) -> None:
        """I2: from `next_seq` where something is pending, from the head where nothing is."""
        given.group("G", "added")
        given.appended("pending", "removed", "added", "removed")
        given.appended("done", "removed", "added", "removed")
        given.acked(given.claimed(stream_id="done"), 2)

        registration = store.register("G", ["added", "removed"])
        given.appended("done", "removed")

        assert registration == Registration(created=False, added_types=frozenset({"removed"}))
        assert given.drained() == [("pending", 2), ("pending", 3), ("done", 4)]

    def test_registering_never_removes_types(self, store: Store, given: Given) -> None:
        """An old worker may restart during a deploy."""
        given.group("G", "added", "removed")

        again = store.register("G", ["added"])
        given.appended("a", "removed")

        assert again == Registration(created=False)
        assert given.group_status().types == {"added", "removed"}
        assert given.drained() == [("a", 1)]

    # registering while others work

    @pytest.mark.parametrize("point", ["register.after_subscribe", "register.mid"])
    def test_what_is_appended_while_a_group_registers_is_handled_exactly_once(
        self, store: Store, other: Store, given: Given, point: str
    ) -> None:
        """T62: to streams that are filled, that are not filled yet, and to new ones."""
        store.append([message(stream_id) for stream_id, _ in _many()])

        with halted(partial(store.register, "G", ["added"]), point) as registering:
            assert given.group_status().status == "filling"
            other.append([message("s0000"), message("s1000"), message("new")])
        handled = given.drained()

        assert registering.outcome().value.created
        assert given.group_status().status == "active"
        assert sorted(handled) == sorted([*_many(), ("s0000", 2), ("s1000", 2), ("new", 1)])

    def test_an_append_that_is_open_while_a_group_registers_is_handled_exactly_once(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T62: it fans out to the group, or the group finds it."""
        appended, registered = race(
            lambda: store.append([message("a")]),
            "append.before_commit",
            lambda: other.register("G", ["added"]),
        )

        assert (appended.error, registered.error) == (None, None)
        assert given.drained() == [("a", 1)]

    def test_a_filling_group_yields_no_claims(self, store: Store, given: Given) -> None:
        """T62: a stream that is not filled yet must not be overtaken by its newest message."""
        store.append([message(stream_id) for stream_id, _ in _many()])

        with crashing("register.mid"):
            store.register("G", ["added"])
        given.appended("s1000")

        assert given.group_status().status == "filling"
        assert store.claim("G", given.worker()) == []

    @pytest.mark.parametrize("point", ["register.after_subscribe", "register.mid"])
    def test_a_registration_that_died_half_way_is_finished_by_the_next(
        self, store: Store, given: Given, point: str
    ) -> None:
        """T62: each message is handled once, those that came meanwhile too."""
        store.append([message(stream_id) for stream_id, _ in _many()])
        with crashing(point):
            store.register("G", ["added"])
        given.appended("s0999")

        registration = store.register("G", ["added"])

        assert not registration.created
        assert given.group_status().status == "active"
        assert sorted(given.drained()) == sorted([*_many(), ("s0999", 2)])

    def test_a_registration_that_died_keeps_the_start_it_was_given(
        self, store: Store, given: Given
    ) -> None:
        """T62: whoever finishes it."""
        store.append(
            [message("a", created_at=MOMENT - timedelta(days=1)), message("a"), message("b")]
        )
        with crashing("register.after_subscribe"):
            store.register("G", ["added"], start=MOMENT)

        store.register("G", ["added"], start=BEGINNING)

        assert sorted(given.drained()) == [("a", 2), ("b", 1)]

    def test_two_registrations_of_a_group_at_once_fill_it_once(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """T62: both return, and nothing that is handled meanwhile is brought back."""
        store.append([message(stream_id) for stream_id, _ in _many()])
        handled: list[tuple[str, int]] = []

        with halted(partial(store.register, "G", ["added"]), "register.mid") as first:
            second = other.register("G", ["added"])
            handled += given.drained()
        handled += given.drained()

        assert (first.outcome().value.created, second.created) == (True, False)
        assert given.group_status().status == "active"
        assert sorted(handled) == _many()

    # less

    def test_unsubscribed_types_are_no_longer_handled(self, store: Store, given: Given) -> None:
        """I2: deliveries move on to the next type the group handles, or vanish."""
        given.group("G", "added", "removed")
        given.appended("a", "removed", "added")
        given.appended("b", "removed")

        store.unsubscribe("G", ["removed"], by=OPERATOR)
        given.appended("c", "removed")

        assert given.group_status().types == {"added"}
        assert given.row().next_seq == 2
        assert given.delivery("G", "b") is None
        assert given.drained() == [("a", 2)]
        assert store.inspect.operations()[0].verb == "unsubscribe"

    def test_a_removed_group_is_forgotten(self, store: Store, given: Given) -> None:
        """Registered again it is new; the others are not touched."""
        given.group("G")
        given.group("H")
        given.appended("a")
        state = Snapshot(group="G", stream_id="a", seq=1, version=1, state="{}")
        given.acked(given.claimed("G"), 1, snapshot=state)
        given.appended("a")

        store.remove("G", by=OPERATOR)

        assert [group.name for group in store.inspect.groups()] == ["H"]
        assert [row.group for row in store.inspect.deliveries()] == ["H"]
        assert store.read_snapshots("G", ["a"], version=1) == {}
        given.appended("b")
        assert store.register("G", ["added"]).created
        assert sorted(given.drained("G")) == [("a", 1), ("a", 2), ("b", 1)]

    def test_nothing_is_claimed_for_a_stopped_group_until_it_starts(
        self, store: Store, given: Given
    ) -> None:
        """T51: what is claimed may still be committed, appends fan out on."""
        given.group()
        given.appended("a")
        claim = given.claimed()

        store.stop("G", by=OPERATOR)
        given.appended("b")

        assert given.acked(claim, 1).messages == ()
        assert (given.group_status().status, given.group_status().reason) == ("stopped", "because")
        assert store.claim("G", given.worker()) == []
        store.start("G", by=OPERATOR)
        assert given.group_status().status == "active"
        assert given.drained() == [("b", 1)]

    def test_a_group_that_was_stopped_while_it_was_filling_stays_stopped(
        self, store: Store, given: Given
    ) -> None:
        """T62: and is finished once it is registered and started."""
        store.append([message(stream_id) for stream_id, _ in _many()])
        with crashing("register.mid"):
            store.register("G", ["added"])

        store.stop("G")
        assert given.group_status().status == "stopped"
        store.register("G", ["added"])
        assert given.group_status().status == "stopped"
        assert store.claim("G", given.worker()) == []
        store.start("G")
        store.register("G", ["added"])

        assert given.group_status().status == "active"
        assert sorted(given.drained()) == _many()

    def test_starting_a_group_whose_fill_died_does_not_make_it_active(
        self, store: Store, given: Given
    ) -> None:
        """T62: it fills until somebody registers it."""
        store.append([message(stream_id) for stream_id, _ in _many()])
        with crashing("register.mid"):
            store.register("G", ["added"])

        store.stop("G")
        store.start("G")

        assert given.group_status().status == "filling"
        assert store.claim("G", given.worker()) == []

    def test_what_operators_do_to_a_group_is_written_down(self, store: Store, given: Given) -> None:
        """T50: who, where, why, newest first."""
        given.group()
        store.stop("G", by=OPERATOR)
        store.start("G", by=OPERATOR)
        store.remove("G", by=OPERATOR)

        found = store.inspect.operations()

        assert [one.verb for one in found] == ["remove", "start", "stop"]
        assert {(one.actor, one.host, one.reason) for one in found} == {("ada", "desk", "because")}
        assert {one.at for one in found} == {store.now()}
        assert store.inspect.operations(limit=2) == found[:2]
        assert all("G" in one.target for one in found)

    def test_operations_on_an_unknown_group_are_refused(self, store: Store) -> None:
        """A misspelt name is not silently nothing."""
        for refused in (
            partial(store.stop, "nobody"),
            partial(store.start, "nobody"),
            partial(store.remove, "nobody"),
            partial(store.unsubscribe, "nobody", ["added"]),
        ):
            with pytest.raises(UnknownGroupError) as raised:
                refused()
            assert raised.value.group == "nobody"
        assert store.inspect.operations() == ()

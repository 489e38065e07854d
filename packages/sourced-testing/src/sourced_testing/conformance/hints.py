"""_Hints: groups are told that they may have work; a lost hint loses nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, SimpleQueue

import pytest

from sourced._faults import injected
from sourced._store import Store
from sourced_testing.conformance._given import LEASE, Given, Suite, message
from sourced_testing.conformance._race import Crash, crashing

__all__ = ["HintsConformance"]

_PATIENCE = 10.0
"""Seconds after which a hint that did not come is a failure."""


class _Hints:
    """The hints that a subscription got, in order."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[frozenset[str]] = SimpleQueue()

    def __call__(self, groups: frozenset[str]) -> None:
        """Take a hint."""
        self._queue.put(groups)

    def await_for(self, group: str) -> None:
        """Wait until a hint names the group."""
        try:
            while group not in self._queue.get(timeout=_PATIENCE):
                pass
        except Empty:
            raise AssertionError(f"no hint for {group!r}") from None

    def so_far(self) -> list[frozenset[str]]:
        """Return the hints that are there."""
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]


class HintsConformance(Suite):
    """What `subscribe` promises."""

    @pytest.fixture
    def hints(self, store: Store) -> Iterator[_Hints]:
        """The hints that the store gives."""
        hints = _Hints()
        end = store.subscribe(hints)
        yield hints
        end()

    def test_an_append_hints_at_the_groups_that_gained_work(
        self, store: Store, given: Given, hints: _Hints
    ) -> None:
        """T31: after its commit, so that whoever is woken finds it."""
        given.group("G")
        given.group("H", "removed")
        hints.so_far()

        store.append([message("a")])

        hints.await_for("G")
        assert store.poll(LEASE).ready == {"G"}

    def test_work_is_committed_when_its_hint_is_given(self, store: Store, given: Given) -> None:
        """T31: the callback may claim it."""
        given.group()
        worker = given.worker()
        claimed: SimpleQueue[int] = SimpleQueue()
        end = store.subscribe(lambda _groups: claimed.put(len(store.claim("G", worker))))

        store.append([message("a")])

        assert claimed.get(timeout=_PATIENCE) == 1
        end()

    def test_outputs_promotions_and_operators_hint_too(
        self, store: Store, given: Given, hints: _Hints
    ) -> None:
        """T31: whatever makes work."""
        given.group("G", "added")
        given.group("H", "done")
        given.appended("a", "added")
        hints.await_for("G")

        given.acked(given.claimed("G"), 1, append=(message("a", "done"),))
        hints.await_for("H")
        given.due(after=0)
        store.promote_due()
        hints.await_for("G")
        given.parked("G")
        store.unpark("G")
        hints.await_for("G")
        list(store.reset("H"))
        hints.await_for("H")

    def test_a_hint_that_is_lost_loses_nothing_else(self, store: Store, given: Given) -> None:
        """T31: the poll finds the work."""
        given.group()
        reached = []

        def lose(point: str) -> None:
            if point == "notify.lost":
                reached.append(point)
                raise Crash(point)

        hints = _Hints()
        end = store.subscribe(hints)
        with injected(lose):
            store.append([message("a")])
        end()

        assert reached != []
        assert hints.so_far() == []
        assert store.poll(LEASE).ready == {"G"}
        assert given.drained() == [("a", 1)]

    def test_what_is_rolled_back_gives_no_hint(
        self, store: Store, given: Given, hints: _Hints
    ) -> None:
        """T31: nobody is woken for nothing."""
        given.group()
        hints.so_far()

        with crashing("append.before_commit"):
            store.append([message("a")])

        assert hints.so_far() == []

    def test_a_callback_that_raises_breaks_nobodys_verb(
        self, store: Store, given: Given, hints: _Hints, caplog: pytest.LogCaptureFixture
    ) -> None:
        """T8: it is logged, the other callbacks are called."""
        given.group()

        def fail(_groups: frozenset[str]) -> None:
            raise ValueError("a broken callback")

        end = store.subscribe(fail)
        again = _Hints()
        end_again = store.subscribe(again)
        store.append([message("a")])

        hints.await_for("G")
        again.await_for("G")
        assert "a broken callback" in caplog.text
        end()
        end_again()

    def test_a_subscription_that_was_ended_is_not_called(
        self, store: Store, given: Given, hints: _Hints
    ) -> None:
        """Ending it twice is no error."""
        given.group()
        ended = _Hints()
        end = store.subscribe(ended)
        end()
        end()

        store.append([message("a")])

        hints.await_for("G")
        assert ended.so_far() == []

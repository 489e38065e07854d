"""The schema's life: made, found, dropped, and used again after a close."""

from __future__ import annotations

from functools import partial

import pytest

from sourced._store import Store
from sourced.errors import SchemaError
from sourced_testing._clock import FakeClock
from sourced_testing.conformance._given import LEASE, Given, Suite, message
from sourced_testing.conformance._race import together

__all__ = ["SchemaConformance"]


class SchemaConformance(Suite):
    """What `install`, `installed`, `uninstall`, `close` and `now` promise."""

    def test_install_again_makes_and_loses_nothing(self, store: Store, given: Given) -> None:
        """Also by several processes at once."""
        given.group()
        given.appended("a")

        assert store.installed()
        assert not store.install()

        assert given.drained() == [("a", 1)]

    def test_install_by_several_at_once_makes_it_once(
        self, store: Store, other: Store, given: Given
    ) -> None:
        """None of them fails, one of them made it."""
        store.uninstall()

        ended = together(store.install, other.install, store.install)

        assert sorted(one.value for one in ended) == [False, False, True]
        assert given.appended("a")[0].seq == 1

    def test_uninstall_drops_everything(self, store: Store, given: Given) -> None:
        """What is made anew is empty."""
        given.group()
        given.worker()
        given.appended("a")
        given.due()

        store.uninstall()
        assert not store.installed()
        assert store.install()

        assert store.inspect.groups() == ()
        assert store.inspect.workers() == ()
        assert store.inspect.status().messages == store.inspect.status().scheduled == 0
        assert given.appended("a")[0].seq == 1

    def test_what_is_not_installed_says_so(self, store: Store) -> None:
        """The error is for the user, who has to install it."""
        store.uninstall()

        for verb in (
            partial(store.append, [message("a")]),
            partial(store.read_stream, "a"),
            partial(store.register, "G", ["added"]),
            partial(store.poll, LEASE),
            store.inspect.status,
        ):
            with pytest.raises(SchemaError):
                verb()

    def test_a_store_that_was_closed_can_be_used_again(self, store: Store, given: Given) -> None:
        """With all that it held."""
        given.group()
        given.appended("a")

        store.close()
        store.close()

        assert given.drained() == [("a", 1)]

    def test_now_is_the_time_by_the_stores_clock(self, store: Store, clock: FakeClock) -> None:
        """I9: the only clock that leases, retries and schedules go by."""
        before = store.now()
        clock.advance(3600)

        assert before.tzinfo is not None
        assert (store.now() - before).total_seconds() == 3600

"""Arguments: what makes no sense is refused alike everywhere, what cannot be there is not found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from sourced._ids import new_id
from sourced._store import NOW, ExpectedSeq, Store, UnlessSince
from sourced.errors import (
    ConcurrencyError,
    NotFoundError,
    RegistrationError,
    UnknownGroupError,
    UsageError,
)
from sourced_testing.conformance._given import MOMENT, Given, Suite, message

__all__ = ["ArgumentsConformance"]

_HUGE = 2**70
"""More than any database counts."""

_UNSTORABLE = ["a\0b", "\ud800", "a\udfff"]
"""Texts that no name can be."""

_Use = Callable[[Store, Any], object]

_LIMITED: dict[str, _Use] = {
    "read_stream": lambda store, limit: store.read_stream("a", limit=limit),
    "read_all": lambda store, limit: store.read_all(limit=limit),
    "read_all backwards": lambda store, limit: store.read_all(limit=limit, backwards=True),
    "trace": lambda store, limit: store.trace(new_id(), limit=limit),
    "claim": lambda store, limit: store.claim("G", "nobody", max_streams=limit),
    "promote_due": lambda store, limit: store.promote_due(limit=limit),
    "reset": lambda store, limit: list(store.reset("G", chunk=limit)),
    "deliveries": lambda store, limit: store.inspect.deliveries(limit=limit),
    "streams": lambda store, limit: store.inspect.streams(limit=limit),
    "recent_streams": lambda store, limit: store.inspect.recent_streams(limit=limit),
    "schedule": lambda store, limit: store.inspect.schedule(limit=limit),
    "operations": lambda store, limit: store.inspect.operations(limit=limit),
    "pending": lambda store, limit: store.inspect.pending(new_id(), limit=limit),
}

_PLACED: dict[str, _Use] = {
    "read_stream after": lambda store, place: store.read_stream("a", after=place),
    "read_stream upto": lambda store, place: store.read_stream("a", upto=place),
    "read_all after": lambda store, place: store.read_all(after=place),
    "read_all backwards": lambda store, place: store.read_all(after=place, backwards=True),
    "pending": lambda store, place: store.inspect.pending(new_id(), from_position=place),
}


class ArgumentsConformance(Suite):
    """What every verb makes of numbers, names and starts."""

    # numbers

    @pytest.mark.parametrize("limit", [0, -1, 1.5, True])
    @pytest.mark.parametrize("use", _LIMITED)
    def test_a_limit_is_1_or_more(
        self, store: Store, given: Given, use: str, limit: object
    ) -> None:
        """It is refused whatever there is to find."""
        given.group()
        given.appended("a")

        with pytest.raises(UsageError, match="1 or more"):
            _LIMITED[use](store, limit)

    @pytest.mark.parametrize("use", _LIMITED)
    def test_a_limit_may_be_as_large_as_one_likes(
        self, store: Store, given: Given, use: str
    ) -> None:
        """It is no limit then."""
        given.group()
        given.appended("a")

        _LIMITED[use](store, _HUGE)

        assert len(store.read_all(limit=_HUGE).messages) == 1

    @pytest.mark.parametrize("place", [-1, 1.5, True])
    @pytest.mark.parametrize("use", _PLACED)
    def test_a_seq_or_position_is_0_or_more(
        self, store: Store, given: Given, use: str, place: object
    ) -> None:
        """It is refused whatever there is to find."""
        given.appended("a")

        with pytest.raises(UsageError, match="0 or more"):
            _PLACED[use](store, place)

    def test_nothing_comes_after_a_place_that_no_log_reaches(
        self, store: Store, given: Given
    ) -> None:
        """And all of it comes before."""
        stored = given.appended("a", "added", "added")

        assert store.read_stream("a", after=_HUGE).messages == ()
        assert store.read_stream("a", after=_HUGE).to == 2
        assert list(store.read_stream("a", upto=_HUGE).messages) == stored
        assert store.read_all(after=_HUGE).messages == ()
        assert list(store.read_all(after=_HUGE, backwards=True).messages) == stored[::-1]
        correlation = stored[0].correlation_id
        assert store.inspect.pending(correlation, from_position=_HUGE) == ()

    @pytest.mark.parametrize("seq", ["1", 1.0, True, None, -1])
    def test_an_expectation_names_a_seq(self, store: Store, given: Given, seq: Any) -> None:
        """Anything else is refused before it is compared, whatever it is compared with."""
        given.appended("a")

        for expectation in (ExpectedSeq, lambda seq: UnlessSince(seq, frozenset({"added"}))):
            with pytest.raises(UsageError, match="0 or more"):
                store.append([message("a")], expect={"a": expectation(seq)})

        assert store.read_stream("a").head == 1

    def test_no_stream_is_at_a_seq_that_no_log_reaches(self, store: Store, given: Given) -> None:
        """And nothing came after it."""
        given.appended("a")

        with pytest.raises(ConcurrencyError):
            store.append([message("a")], expect={"a": ExpectedSeq(_HUGE)})
        store.append([message("a")], expect={"a": UnlessSince(_HUGE, frozenset({"added"}))})

        assert store.read_stream("a").head == 2

    # names of groups

    @pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * 256, None, 5])
    def test_a_group_has_a_name_that_can_be_stored(self, store: Store, name: Any) -> None:
        """The same as a stream; also a name that it had before."""
        with pytest.raises(RegistrationError, match="group"):
            store.register(name, ["added"])
        with pytest.raises(RegistrationError, match="group"):
            store.register("G", ["added"], was=[name])

        assert store.inspect.groups() == ()

    def test_a_group_name_may_have_255_characters(self, store: Store) -> None:
        """Of any kind that a text has."""
        name = "\U0001f6d2" * 255

        assert store.register(name, ["added"]).created
        assert [group.name for group in store.inspect.groups([name])] == [name]

    # starts

    @pytest.mark.parametrize(
        "start",
        [
            "Now",
            "yesterday",
            "",
            5,
            None,
            MOMENT.replace(tzinfo=None),
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-10))),
        ],
    )
    @pytest.mark.parametrize("known", [False, True])
    def test_a_group_starts_at_the_beginning_now_or_at_a_moment(
        self, store: Store, given: Given, start: Any, known: bool
    ) -> None:
        """Nothing else is taken for one of these, whether the group is new or not."""
        if known:
            given.group("G", start=NOW)
        before = store.inspect.groups()

        with pytest.raises(RegistrationError, match="start= must be"):
            store.register("G", ["added"], start=start)

        assert store.inspect.groups() == before

    # what cannot be there

    @pytest.mark.parametrize("name", _UNSTORABLE)
    def test_a_stream_that_could_never_be_stored_is_not_found(
        self, store: Store, given: Given, name: str
    ) -> None:
        """Nor is another one taken for it."""
        given.group()
        given.appended("a")
        worker = given.worker()

        page = store.read_stream(name)

        assert (page.messages, page.to, page.head) == ((), 0, 0)
        assert store.claim("G", worker, stream_ids=[name]) == []
        assert store.read_snapshots("G", [name], version=1) == {}
        assert store.unpark("G", [name]) == 0
        assert [each.total for each in store.reset("G", [name])] in ([], [0])
        assert store.inspect.deliveries(stream_id=name) == ()
        assert store.inspect.streams(prefix=name) == ()
        assert store.inspect.streams(after=name) == ()
        progress = store.inspect.progress("G", name)
        assert (progress.seq, progress.head, progress.state) == (0, 0, "drained")
        with pytest.raises(NotFoundError):
            store.skip("G", name, 1)
        assert not given.row().restarted

    @pytest.mark.parametrize("name", _UNSTORABLE)
    def test_a_type_that_could_never_be_stored_is_not_found(
        self, store: Store, given: Given, name: str
    ) -> None:
        """Nor is another one taken for it."""
        given.appended("a", "a")

        assert store.read_stream("a", types=[name]).messages == ()
        assert store.read_all(types=[name]).messages == ()

    @pytest.mark.parametrize("name", _UNSTORABLE)
    def test_a_group_that_could_never_be_stored_is_unknown(
        self, store: Store, given: Given, name: str
    ) -> None:
        """Nor is another one taken for it."""
        given.group("a")
        (stored,) = given.appended("a")
        worker = given.worker()

        assert store.inspect.groups([name]) == ()
        assert store.inspect.deliveries(group=name) == ()
        assert store.inspect.pending(stored.correlation_id, groups=[name]) == ()
        assert store.claim(name, worker) == []
        assert store.read_snapshots(name, ["a"], version=1) == {}
        assert not store.trip_breaker(name, more_than=0, within=timedelta(minutes=1))
        for operate in (store.stop, store.start, store.remove, store.unpark):
            with pytest.raises(UnknownGroupError):
                operate(name)
        with pytest.raises(UnknownGroupError):
            list(store.reset(name))
        with pytest.raises(UnknownGroupError):
            store.inspect.progress(name, "a")

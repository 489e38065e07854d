"""Long streams are not read again for every command: cache, tail, snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from sourced import Actor, App, Command, Event, Settings, command, event, react
from sourced._batch import Remembered
from sourced._faults import injected
from sourced._state_cache import StateCache

AppFactory = Callable[..., App]


class Bump(Command, type="reuse.bump"):
    fail: bool = False


class Bumped(Event, type="reuse.bumped"):
    n: int


@dataclass
class State:
    n: int = 0


class Bumper(Actor[State], group="Bumper", snapshot_every=10):
    @command
    def bump(self, state: State, cmd: Bump):  # type: ignore[no-untyped-def]  # as users do
        yield Bumped(n=state.n + 1)
        if cmd.fail:
            raise RuntimeError("after the first yield")

    @event
    def bumped(self, state: State, event: Bumped) -> None:
        state.n += 1


@contextmanager
def counted(app: App) -> Iterator[list[int]]:
    """Count the events that are read of streams, whichever way."""
    read: list[int] = []
    store: Any = app.store
    read_stream, read_pending = store.read_stream, store.read_pending

    def counting_stream(*args: Any, **options: Any) -> Any:
        page = read_stream(*args, **options)
        read.extend(m.seq for m in page.messages)
        return page

    def counting_pending(*args: Any, **options: Any) -> Any:
        found = read_pending(*args, **options)
        read.extend(m.seq for p in found for m in p.tail)
        return found

    store.read_stream, store.read_pending = counting_stream, counting_pending
    try:
        yield read
    finally:
        store.read_stream, store.read_pending = read_stream, read_pending


def last_number(app: App, stream_id: str = "b-1") -> int:
    return [m.n for m in app.read_stream(stream_id) if isinstance(m, Bumped)][-1]


def test_a_warm_cache_reads_only_what_came_since(app_on: AppFactory) -> None:
    app = app_on(Bumper)
    app.append([Bumped(n=n) for n in range(1, 301)], to="b-1")
    app.dispatch(Bump(), to="b-1")
    app.drain()
    app.dispatch(Bump(), to="b-1")

    with counted(app) as read:
        app.drain()

    assert read == []
    assert last_number(app) == 302


def test_what_others_appended_is_read_and_applied(app_on: AppFactory) -> None:
    """T59, for cached loads."""
    app = app_on(Bumper)
    app.dispatch(Bump(), to="b-1")
    app.drain()
    app.append(Bumped(n=2), to="b-1")
    app.dispatch(Bump(), to="b-1")

    app.drain()

    assert last_number(app) == 3


def test_a_decision_on_a_cached_state_is_refused_when_somebody_else_committed(
    app_on: AppFactory,
) -> None:
    """T59: read before, committed meanwhile; for cached loads and for snapshot + tail."""
    app = app_on(Bumper)
    app.append([Bumped(n=n) for n in range(1, 21)], to="b-1")
    app.dispatch(Bump(), to="b-1")
    app.drain()
    came: list[bool] = []

    def interfere(point: str) -> None:
        if point == "handle.after_before_commit" and not came:
            came.append(True)
            app.append(Bumped(n=22), to="b-1")

    app.dispatch(Bump(), to="b-1")
    with injected(interfere):
        app.drain()
    second = app_on(Bumper)
    came.clear()
    second.dispatch(Bump(), to="b-1")
    with injected(interfere):
        second.drain()

    assert last_number(app) == 25


def test_a_failed_decision_leaves_no_trace_in_the_cached_state(app_on: AppFactory) -> None:
    """T70."""
    app = app_on(Bumper)
    app.dispatch(Bump(), to="b-1")
    app.drain()

    with pytest.raises(RuntimeError):
        app.handle(Bump(fail=True), to="b-1")
    app.handle(Bump(), to="b-1")

    assert last_number(app) == 2


def test_a_cold_start_reads_snapshot_and_tail(app_on: AppFactory) -> None:
    app = app_on(Bumper)
    app.append([Bumped(n=n) for n in range(1, 201)], to="b-1")
    app.dispatch(Bump(), to="b-1")
    app.drain()
    cold = app_on(Bumper)
    cold.dispatch(Bump(), to="b-1")

    with counted(cold) as read:
        cold.drain()

    assert last_number(cold) == 202
    assert len(read) <= 2


@pytest.mark.parametrize("broken", ["version", "garbage"])
def test_a_snapshot_that_does_not_fit_is_ignored(app_on: AppFactory, broken: str) -> None:
    app = app_on(Bumper)
    app.append([Bumped(n=n) for n in range(1, 31)], to="b-1")
    app.dispatch(Bump(), to="b-1")
    app.drain()

    class Newer(Bumper, group="Bumper", snapshot_every=10):
        snapshot_version = 2 if broken == "version" else 1

        def encode_state(self, state: State) -> Any:
            return {"n": state.n}

        def decode_state(self, data: Any) -> State:
            raise ValueError(f"cannot read {json.dumps(data)}")

    newer = app_on(Newer)
    newer.dispatch(Bump(), to="b-1")
    newer.drain()

    assert last_number(newer) == 32


def test_a_reaction_does_not_use_a_state_of_a_later_message(app_on: AppFactory) -> None:
    """The state for deciding is ahead of the state for reacting; they are kept apart."""
    seen: list[tuple[int, int]] = []

    class Watched(Bumper, group="Watched", snapshot_every=10):
        @react
        def watch(self, state: State, event: Bumped) -> None:
            seen.append((event.n, state.n))

    app = app_on(Watched, settings=Settings(max_messages=2))
    for _ in range(25):
        app.dispatch(Bump(), to="b-1")

    app.drain()

    assert seen == [(n, n) for n in range(1, 26)]


def test_states_are_thrown_out_oldest_first_when_the_cache_is_full() -> None:
    cache = StateCache(size=2)
    for n in range(3):
        cache.put("g", f"s-{n}", "decide", Remembered(n, 1))

    kept = [cache.take("g", f"s-{n}", "decide", below=None) for n in range(3)]

    assert [entry and entry.state for entry in kept] == [None, 1, 2]


def test_a_state_in_use_is_nobody_elses() -> None:
    cache = StateCache()
    cache.put("g", "s", "decide", Remembered("state", 5))

    taken, again = (cache.take("g", "s", "decide", below=None) for _ in range(2))

    assert taken == Remembered("state", 5)
    assert again is None


def test_a_state_at_or_beyond_the_message_in_hand_stays_where_it_is() -> None:
    cache = StateCache()
    cache.put("g", "s", "react", Remembered("state", 5))

    early = cache.take("g", "s", "react", below=5)

    assert early is None
    assert cache.seq_of("g", "s", "react") == 5

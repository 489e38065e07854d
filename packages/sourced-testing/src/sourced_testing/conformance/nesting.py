"""Verbs called inside an open transaction: refused at once, from whichever thread they come."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any

import pytest

from sourced._store import Store, UnitOfWork
from sourced.errors import CommitRefusedError, SourcedError, UsageError
from sourced_testing.conformance._given import Given, Suite, message
from sourced_testing.conformance._race import Outcome, Running

__all__ = ["NestingConformance"]


def _here(call: Callable[[], Any]) -> Outcome[Any]:
    """Call in this thread, as a plain sync does."""
    return Outcome(call)


def _elsewhere(call: Callable[[], Any]) -> Outcome[Any]:
    """Call in another thread, in a copy of this context, and wait: as an async sync is run."""
    running = Running(partial(copy_context().run, call))
    running.start()
    return running.outcome()


_everywhere = pytest.mark.parametrize("run", [_here, _elsewhere])
"""In the thread of the transaction, and in one that has only its context."""

_Run = Callable[[Callable[[], Any]], Outcome[Any]]


class NestingConformance(Suite):
    """What is inside a transaction is known by its context: waiting there would be for itself."""

    @_everywhere
    @pytest.mark.parametrize(
        "verb",
        [
            lambda store: store.append([message("n")]),
            lambda store: store.register("H", ["added"]),
            lambda store: store.promote_due(),
            lambda store: store.transaction().__enter__(),
        ],
        ids=["append", "register", "promote_due", "transaction"],
    )
    def test_a_sync_that_writes_through_the_store_is_refused_at_once(
        self, store: Store, given: Given, run: _Run, verb: Callable[[Store], Any]
    ) -> None:
        """T8: nothing hangs, and the stream can be committed afterwards."""
        given.group()
        given.appended("a")
        claim = given.claimed()

        with pytest.raises(CommitRefusedError) as refused:
            given.acked(claim, 1, sync=lambda _own: run(partial(verb, store)).value)

        assert isinstance(refused.value.failures["a"], UsageError)
        assert len(given.log()) == 1
        given.acked(claim, 1)
        assert store.inspect.status().deliveries == 0

    @_everywhere
    def test_the_sync_of_a_unit_that_writes_through_the_store_is_refused_at_once(
        self, store: Store, given: Given, run: _Run
    ) -> None:
        """T8: the unit as a whole."""
        given.group("G", "add")
        new = message("a", "add")

        def nested(_own: Any) -> None:
            run(lambda: store.append([message("n")])).value  # noqa: B018 - raises what was raised

        with pytest.raises(UsageError):
            store.handle_now(
                UnitOfWork(messages=(new,), handled={("G", "a"): frozenset({new.id})}, sync=nested)
            )

        assert given.log() == []

    @_everywhere
    def test_the_stores_verbs_are_refused_inside_its_transaction(
        self, store: Store, given: Given, run: _Run
    ) -> None:
        """I8: the transaction itself goes on."""
        with store.transaction() as transaction:
            refused = run(lambda: store.append([message("n")]))
            transaction.append([message("a")])

        assert isinstance(refused.error, UsageError)
        assert [one.stream_id for one in given.log()] == ["a"]

    @_everywhere
    def test_a_sync_may_read_the_store(self, store: Store, given: Given, run: _Run) -> None:
        """T8: it waits for nobody."""
        given.group()
        given.appended("a")
        heads: list[int] = []

        def reads(_own: Any) -> None:
            heads.append(run(lambda: store.read_stream("a")).value.head)

        given.acked(given.claimed(), 1, sync=reads)

        assert heads == [1]

    @_everywhere
    def test_a_transactions_own_verbs_may_be_used(
        self, store: Store, given: Given, run: _Run
    ) -> None:
        """I5: they commit with it."""
        with store.transaction() as transaction:
            outcome = run(lambda: transaction.append([message("a")]))

        assert outcome.error is None
        assert [one.stream_id for one in given.log()] == ["a"]

    def test_what_outlives_the_transaction_it_was_started_in_is_free(
        self, store: Store, given: Given
    ) -> None:
        """T8: a task that it left behind writes like anybody else, and waits like anybody else."""
        left: list[Context] = []
        with store.transaction():
            left.append(copy_context())

        left[0].run(partial(store.append, [message("a")]))
        with store.transaction() as transaction:
            transaction.append([message("a")])
            late = Running(partial(left[0].run, store.append, [message("a")]))
            late.start()
            waited = not late.ended_within(0.05)

        assert late.outcome().value.messages[0].seq == 3
        assert waited
        assert len(given.log()) == 3

    @_everywhere
    def test_a_refused_verb_says_what_to_use_instead(self, store: Store, run: _Run) -> None:
        """The error names the next step."""
        with store.transaction():
            error = run(lambda: store.append([message("n")])).error

        assert isinstance(error, SourcedError)
        assert "store.transaction()" in str(error)

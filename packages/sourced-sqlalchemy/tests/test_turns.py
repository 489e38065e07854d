"""Threads of one process write in the order of asking, and a fork waits until none does."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sourced_sqlalchemy._turns import Turns
from sourced_sqlalchemy._usage import Usage


def until(fact: Callable[[], bool]) -> None:
    """Await a fact that another thread is about to bring about."""
    while not fact():
        pass


def test_the_turn_goes_round_in_the_order_of_asking() -> None:
    turns, order = Turns(), []

    def take(number: int) -> None:
        assert turns.take(60)
        order.append(number)
        turns.give()

    turns.take(0)
    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    for asked, thread in enumerate(threads, 1):
        thread.start()
        until(lambda asked=asked: len(turns._waiting) == asked)  # type: ignore[misc] # its default
    turns.give()
    for thread in threads:
        thread.join()

    assert order == [0, 1, 2, 3, 4]


def test_who_gave_up_is_not_handed_the_turn() -> None:
    turns, given_up = Turns(), []
    turns.take(0)
    thread = threading.Thread(target=lambda: given_up.append(not turns.take(0.01)))

    thread.start()
    thread.join()
    turns.give()

    assert given_up == [True]
    assert turns.take(0)


def test_the_turn_is_known_to_be_mine_by_its_holder_only() -> None:
    turns, others = Turns(), []
    turns.take(0)

    thread = threading.Thread(target=lambda: others.append(turns.is_mine))
    thread.start()
    thread.join()

    assert (turns.is_mine, others) == (True, [False])


def test_a_fork_waits_for_others_but_not_for_its_own_thread() -> None:
    usage = Usage()
    usage.enter()

    assert usage.begin_fork(0)


def test_a_fork_gives_up_on_a_thread_that_does_not_end() -> None:
    usage = Usage()
    thread = threading.Thread(target=usage.enter)
    thread.start()
    thread.join()

    assert not usage.begin_fork(0.01)


def test_nobody_begins_while_a_fork_is_on_but_who_is_at_it_may_go_deeper() -> None:
    usage, began = Usage(), threading.Event()
    usage.enter()
    usage.begin_fork(0)

    def begin() -> None:
        usage.enter()
        began.set()

    thread = threading.Thread(target=begin)
    thread.start()
    until(lambda: began.is_set() or len(usage._changed._waiters) == 1)  # type: ignore[attr-defined] # Condition's own

    usage.enter()  # this thread's second: does not wait
    waited = not began.is_set()
    usage.end_fork()
    thread.join()

    assert (waited, began.is_set()) == (True, True)

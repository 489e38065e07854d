"""Servers that crash: what was answered is there, and a claim that was lost harms nobody."""

from __future__ import annotations

import os
import signal
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from pg_cluster import Cluster
from pg_processes import heads

from sourced._store import Claim, Keep, StreamCommit, WorkerInfo
from sourced.errors import ClaimLostError, CommitRefusedError, StoreUnavailableError
from sourced_postgres import PostgresStore
from sourced_testing.conformance._given import Given, message
from sourced_testing.conformance._race import Running

# --- claims need not wait for the disk ------------------------------------------------------------


@contextmanager
def nothing_written_in_the_background(
    cluster: Cluster, observer: psycopg.Connection
) -> Iterator[None]:
    """Freeze the process that brings to disk what nobody waits for; crash the server at the end."""
    (writer,) = observer.execute(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
    ).fetchone() or (0,)
    os.kill(writer, signal.SIGSTOP)
    try:
        yield
    finally:
        cluster.crash(writer)
    cluster.start()


@pytest.fixture
def lost(
    store: PostgresStore, given: Given, cluster: Cluster, observer: psycopg.Connection
) -> Claim:
    """A claim of stream a that a crash of the server has taken back; its worker lives on."""
    given.group()
    given.appended("a", "added", "added")
    store.join(WorkerInfo(id="w"))
    store.join(WorkerInfo(id="other"))
    with nothing_written_in_the_background(cluster, observer):
        (claim,) = store.claim("G", "w")
    row = given.row()
    assert (row.worker, row.attempts) == (None, 0)
    return claim


def test_a_claim_lost_in_a_crash_is_no_claim_though_its_epoch_is_drawn_again(
    store: PostgresStore, given: Given, lost: Claim
) -> None:
    """T16, I3: another worker holds the stream under the same number."""
    (held,) = store.claim("G", "other")
    assert held.epoch == lost.epoch

    check_refused(given, lost)

    assert given.acked(held, 2).kept == {}
    assert given.delivery() is None


def test_a_claim_lost_in_a_crash_and_claimed_by_nobody_commits_nothing(
    given: Given, lost: Claim
) -> None:
    """T16, I3."""
    check_refused(given, lost)

    assert given.drained() == [("a", 1), ("a", 2)]


def test_a_worker_that_claims_again_after_a_crash_acks_each_message_once(
    store: PostgresStore, given: Given, lost: Claim
) -> None:
    """T16, I3: worker and epoch are the same; what was done under the lost one is done once."""
    (again,) = store.claim("G", "w")
    assert (again.worker, again.epoch, again.next_seq) == (lost.worker, lost.epoch, lost.next_seq)

    given.acked(lost, 1, append=(message("out", "removed"),))

    check_refused(given, again)
    assert len(given.stream("out")) == 1
    assert given.drained() == [("a", 2)]


def test_a_worker_that_went_on_under_the_number_of_a_lost_claim_is_told_them_apart_by_next_seq(
    store: PostgresStore, given: Given, lost: Claim
) -> None:
    """T16, I3: worker and epoch are those of the lost claim, and the row is still held."""
    (again,) = store.claim("G", "w")
    kept = given.acked(again, 1, Keep()).kept["a"]
    assert (kept.worker, kept.epoch) == (lost.worker, lost.epoch)

    check_refused(given, lost)

    assert given.acked(kept, 2).kept == {}
    assert given.delivery() is None


def test_a_reset_after_the_crash_is_no_claim_of_the_lost_one(
    store: PostgresStore, given: Given, lost: Claim
) -> None:
    """T16: though the reset drew the number that the claim had."""
    for _ in store.reset("G"):
        pass
    assert given.row().epoch == lost.epoch

    check_refused(given, lost)
    (held,) = store.claim("G", "w")
    check_refused(given, lost)

    assert held.epoch > lost.epoch
    assert given.acked(held, 2).kept == {}


def check_refused(given: Given, claim: Claim) -> None:
    """T14: nothing of a commit under this claim is kept, no output and no row of a sync."""
    before = len(given.log()), given.delivery()
    ran: list[object] = []
    part = StreamCommit(
        claim=claim, ack_seq=claim.next_seq, append=(message("out"),), sync=ran.append
    )

    with pytest.raises(CommitRefusedError) as refused:
        given.store.commit(claim.worker, [part])

    assert isinstance(refused.value.failures["a"], ClaimLostError)
    assert (len(given.log()), given.delivery()) == before


# --- appends are on the disk when they are answered -----------------------------------------------


class Writer:
    """Appends to its streams without a pause, and keeps what was answered."""

    STREAMS = 5

    def __init__(self, store: PostgresStore, name: str) -> None:
        self._store, self._name = store, name
        self._ended = threading.Event()
        self.answered: dict[str, list[int]] = defaultdict(list)
        self.count = self.unknown = 0
        self._running = Running(self._write)
        self._running.start()

    def end(self) -> None:
        self._ended.set()
        assert self._running.outcome().error is None

    def await_answers(self, count: int) -> None:
        while self.count < count:
            assert not self._running.ended_within(0.001), self._running.outcome().error

    def _write(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            names = [f"{self._name}-{(number + n) % self.STREAMS}" for n in range(2)]
            try:
                appended = self._store.append([message(name) for name in names])
            except StoreUnavailableError:
                self.unknown += 1
                continue
            for each in appended.messages:
                self.answered[each.stream_id].append(each.seq)
                self.count += 1


def test_what_was_answered_outlives_crashes_and_heads_are_the_last_seqs(
    store: PostgresStore,
    given: Given,
    opened: Callable[..., PostgresStore],
    url: str,
    cluster: Cluster,
    schema: str,
) -> None:
    """T25, T32: three times or more, until one was in the middle of an append."""
    given.group()
    store.now()
    writers = [Writer(opened(url), name) for name in ("x", "y")]
    crashes = 0
    while crashes < 3 or not any(writer.unknown for writer in writers):
        crashes += 1
        assert crashes <= 20, "no append was ever under way"
        for writer in writers:
            writer.await_answers(crashes * 40)
        cluster.restart("immediate")
    for writer in writers:
        writer.await_answers((crashes + 1) * 40)
        writer.end()

    with cluster.connect() as connection:
        found = {name: numbers for name, *numbers in heads(connection, schema)}
    for head, last, count in found.values():
        assert head == last == count
    for writer in writers:
        assert writer.unknown <= 4 * crashes
        for name, seqs in writer.answered.items():
            assert seqs == sorted(set(seqs))
            assert seqs[-1] <= found[name][0] <= len(seqs) + writer.unknown
    assert len(given.drained()) == sum(head for head, _, _ in found.values())

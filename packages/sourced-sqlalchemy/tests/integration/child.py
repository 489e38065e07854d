"""A process of its own on the same file, for the tests beside it: `python child.py ROLE URL …`.

It says "ready" once it has opened the store and then waits for a line, so that several begin at
once. `crash` does one thing and kills itself with SIGKILL where it is told to.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from sourced._faults import injected
from sourced._ids import new_id
from sourced._records import ScheduledMessage
from sourced._store import StreamCommit, UnitOfWork, WorkerInfo
from sourced.errors import CommitRefusedError
from sourced_sqlalchemy import SQLAlchemyStore, open_store
from sourced_testing.conformance._given import message

STREAMS = [f"s{number}" for number in range(600)]


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def ready() -> None:
    say("ready")
    sys.stdin.readline()


def handle(store: SQLAlchemyStore, group: str, worker: str) -> int:
    """Handle what is ready, each message with a row of one's own that must not be there yet."""
    handled = 0
    while claims := store.claim(group, worker):
        parts = []
        for one in store.read_pending(claims, known_types=["added"]):
            seqs = [each.seq for each in one.messages]
            parts.append(StreamCommit(claim=one.claim, ack_seq=seqs[-1], sync=effects(one, seqs)))
            handled += len(seqs)
        store.commit(worker, parts)
    return handled


def effects(one: Any, seqs: list[int]) -> Callable[[Any], None]:
    def write(connection: Any) -> None:
        insert = text("INSERT INTO effects VALUES (:group, :stream, :seq)")
        names = {"group": one.claim.group, "stream": one.claim.stream_id}
        connection.execute(insert, [{**names, "seq": seq} for seq in seqs])

    return write


# --- what may be interrupted ----------------------------------------------------------------------


def append(store: SQLAlchemyStore) -> None:
    store.append([message("s0"), message("s1"), message("new")])


def register(store: SQLAlchemyStore) -> None:
    store.register("late", ["added"])


def claim_and_commit(store: SQLAlchemyStore) -> None:
    store.join(WorkerInfo(id="victim"))
    handle(store, "G", "victim")


def handle_now(store: SQLAlchemyStore) -> None:
    new = message("fresh")
    store.handle_now(UnitOfWork(messages=(new,), handled={("G", "fresh"): frozenset({new.id})}))


def promote(store: SQLAlchemyStore) -> None:
    due = [ScheduledMessage(message=message("s0"), due_at=store.now()) for _ in range(3)]
    store.schedule(due)
    store.promote_due()


def reset(store: SQLAlchemyStore) -> None:
    for _ in store.reset("G", chunk=100):
        pass


def reap(store: SQLAlchemyStore) -> None:
    store.reap(timedelta(0))


def beat(store: SQLAlchemyStore) -> None:
    store.join(WorkerInfo(id="victim"))
    store.heartbeat("victim")


VERBS = {
    each.__name__: each
    for each in (append, register, claim_and_commit, handle_now, promote, reset, reap, beat)
}


def crash(url: str, verb: str, point: str) -> None:
    def kill(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    store = open_store(url)
    with injected(kill):
        VERBS[verb](store)
    say("survived")


def freeze(url: str, point: str) -> None:
    """Stop, as with SIGSTOP from outside, where told to; go on when continued."""
    frozen: list[str] = []

    def stop(reached: str) -> None:
        if reached == point and not frozen:
            frozen.append(reached)
            os.kill(os.getpid(), signal.SIGSTOP)

    store = open_store(url)
    store.join(WorkerInfo(id="victim"))
    with injected(stop):
        try:
            say(handle(store, "G", "victim"))
        except CommitRefusedError as refused:
            say(sorted({type(error).__name__ for error in refused.failures.values()}))
    say(store.heartbeat("victim"))


# --- what several do at once ----------------------------------------------------------------------


def install(url: str) -> None:
    store = open_store(url)
    ready()
    say(json.dumps(store.install()))


def write(url: str, count: str, names: str) -> None:
    store = open_store(url)
    ready()
    for _ in range(int(count)):
        store.append([message(name) for name in names.split(",")])
    say("done")


def work(url: str, group: str) -> None:
    store = open_store(url)
    worker = new_id().hex
    store.join(WorkerInfo(id=worker))
    ready()
    say(handle(store, group, worker))
    store.leave(worker)


ROLES: dict[str, Callable[..., None]] = {
    each.__name__: each for each in (crash, freeze, install, write, work)
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])

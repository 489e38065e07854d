"""A process of its own on the same database, for tests: `python pg_child.py URL ROLE …`.

It says what became of it as one line of JSON. Whoever freezes or kills it does so from outside, at
a round trip: nothing here stops at places that production has not.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sourced._records import ScheduledMessage
from sourced._store import (
    Claim,
    Pending,
    ReadLimits,
    Retry,
    Store,
    StreamCommit,
    UnitOfWork,
    WorkerInfo,
)
from sourced.errors import ClaimLostError, CommitRefusedError, StoreUnavailableError
from sourced_postgres import PostgresStore, _store, open_store
from sourced_testing.conformance._given import message

_store.FILL_CHUNK = 10  # type: ignore[misc]  # several chunks without many streams


def handle(store: Store, worker: str, group: str = "G", max_streams: int = 50) -> dict[str, Any]:
    """Handle what is ready; each message adds a row, and to a total that all streams have."""
    done: dict[str, Any] = {"handled": 0, "refused": []}
    while claims := store.claim(group, worker, max_streams=max_streams):
        found = store.read_pending(claims, known_types=["added"], limits=ReadLimits())
        try:
            store.commit(worker, [_handled(one) for one in found])
        except CommitRefusedError as refused:
            kinds = {type(error).__name__ for error in refused.failures.values()}
            return {**done, "refused": sorted(kinds)}
        except StoreUnavailableError:
            return {**done, "refused": ["StoreUnavailableError"]}
        done["handled"] += sum(len(one.messages) for one in found)
    return done


def _handled(one: Pending) -> StreamCommit:
    claim, seqs = one.claim, [each.seq for each in one.messages]
    return StreamCommit(claim=claim, ack_seq=seqs[-1], sync=_effects(claim, seqs))


def _effects(claim: Claim, seqs: list[int]) -> Callable[[Any], None]:
    def write(connection: Any) -> None:
        connection.execute("UPDATE total SET number = number + %s", [len(seqs)])
        connection.execute(
            "INSERT INTO effects SELECT %s, %s, unnest(%s)", [claim.group, claim.stream_id, seqs]
        )

    return write


# --- what may be frozen ---------------------------------------------------------------------------


def work(store: PostgresStore, worker: str) -> object:
    """Handle what is ready, then ask whether one is alive."""
    store.join(WorkerInfo(id=worker))
    done = handle(store, worker)
    return {**done, "alive": store.heartbeat(worker)}


def give_back(store: PostgresStore, worker: str) -> object:
    """Claim, and give each claim back in another way."""
    store.join(WorkerInfo(id=worker))
    claims = store.claim("G", worker)
    given_back = store.release(claims)
    lost = []
    for claim in claims:
        try:
            store.retry(claim, Retry(after=timedelta(hours=1)))
        except ClaimLostError:
            lost.append(claim.stream_id)
    return {"given_back": given_back, "lost": sorted(lost)}


# --- what may be killed ---------------------------------------------------------------------------


def append(store: PostgresStore) -> object:
    return len(store.append([message("s0"), message("s1"), message("new")]).messages)


def register(store: PostgresStore) -> object:
    return store.register("late", ["added"]).created


def claim_and_commit(store: PostgresStore) -> object:
    store.join(WorkerInfo(id="victim"))
    return handle(store, "victim", max_streams=2)


def handle_now(store: PostgresStore) -> object:
    new = message("fresh")
    sync = _effects(Claim(group="G", stream_id="fresh", worker="", epoch=0, next_seq=1), [1])
    handled = {("G", "fresh"): frozenset({new.id})}
    return len(store.handle_now(UnitOfWork(messages=(new,), handled=handled, sync=sync)).messages)


def promote(store: PostgresStore) -> object:
    due = [ScheduledMessage(message=message("s0"), due_at=store.now()) for _ in range(3)]
    store.schedule(due)
    return store.promote_due().moved


def reset(store: PostgresStore) -> object:
    return [progress.done for progress in store.reset("G", chunk=10)]


def reap(store: PostgresStore) -> object:
    return store.reap(timedelta(0))


def leave(store: PostgresStore) -> object:
    store.join(WorkerInfo(id="victim"))
    store.claim("G", "victim")
    store.leave("victim")
    return None


ROLES: dict[str, Callable[..., object]] = {
    each.__name__: each
    for each in (
        work, give_back, append, register, claim_and_commit, handle_now, promote, reset, reap, leave
    )
}  # fmt: skip

if __name__ == "__main__":
    url, role, *arguments = sys.argv[1:]
    said = ROLES[role](open_store(url, hints=False), *arguments)
    sys.stdout.write(json.dumps(said) + "\n")

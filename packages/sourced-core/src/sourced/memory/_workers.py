"""Workers: their rows, their heartbeats, and what becomes of what a dead one held."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sourced._faults import reach
from sourced._store import Poll, WorkerInfo
from sourced.memory._deliveries import free
from sourced.memory._tables import Tables, Worker

__all__ = ["heartbeat", "join", "leave", "poll", "reap"]


def join(tables: Tables, info: WorkerInfo) -> None:
    """Write a worker's row."""
    row = Worker(info=info, number=next(tables.numbers), started_at=tables.now, seen_at=tables.now)
    tables.workers.put(info.id, row)


def heartbeat(tables: Tables, worker_id: str) -> bool:
    """Say that a worker lives, unless it has been declared dead."""
    row = tables.workers.get(worker_id)
    if row is None:
        return False
    tables.workers.put(worker_id, replace(row, seen_at=tables.now))
    return True


def leave(tables: Tables, worker_id: str) -> None:
    """Free a worker's claims, no attempt counted, and delete its row."""
    for row in tables.deliveries.held_by(worker_id):
        free(tables, row)
    if worker_id in tables.workers:
        tables.workers.delete(worker_id)


def reap(tables: Tables, lease: timedelta) -> int:
    """Delete the rows of workers not seen within the lease; free claims without a worker."""
    for worker in [row for row in tables.workers if row.seen_at < tables.now - lease]:
        tables.workers.delete(worker.info.id)
    orphans = [
        worker_id for worker_id in tables.deliveries.holders if worker_id not in tables.workers
    ]
    freed = [row for worker_id in orphans for row in tables.deliveries.held_by(worker_id)]
    for row in freed:
        tables.make_ready(
            replace(row, worker=None, claimed_at=None, suspect=True, ready_at=tables.now)
        )
    reach("reap.before_commit")
    return len(freed)


def poll(tables: Tables, lease: timedelta, now: datetime) -> Poll:
    """Say what there is to do, by looking at the front of each queue."""
    ready: set[str] = set()
    moments = [tables.schedule.waiting.next_after(now)]
    for group in tables.groups:
        waiting = tables.deliveries.of(group.name).waiting
        first = waiting.first()
        if group.status != "active" or first is None:
            continue
        if first <= now:
            ready.add(group.name)
        moments.append(waiting.next_after(now))
    due = tables.schedule.waiting.first()
    overdue = any(row.seen_at < now - lease for row in tables.workers)
    return Poll(
        ready=frozenset(ready),
        due=due is not None and due <= now,
        overdue=overdue or any(id not in tables.workers for id in tables.deliveries.holders),
        next_at=min((moment for moment in moments if moment is not None), default=None),
    )

"""The schedule: messages that wait for their time, and their way into the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from uuid import UUID

from sourced._faults import reach
from sourced._limits import check_sizes
from sourced._records import ScheduledMessage
from sourced._store import Operator, Promoted
from sourced.errors import SourcedError
from sourced.memory._append import append, check_ids
from sourced.memory._tables import Scheduled, Tables

__all__ = ["cancel", "promote_due", "schedule"]


def schedule(tables: Tables, messages: Sequence[ScheduledMessage]) -> None:
    """Keep messages until they are due.

    Raises:
        DuplicateMessageError: an id is stored or scheduled already.
    """
    check_ids(tables, [item.message for item in messages])
    for item in messages:
        row = Scheduled(message=item.message, due_at=item.due_at, number=next(tables.numbers))
        tables.schedule.put(item.message.id, row)


def cancel(tables: Tables, message_id: UUID, by: Operator | None) -> bool:
    """Take a scheduled message back, also one that was set aside."""
    row = tables.schedule.get(message_id)
    if row is None:
        return False
    tables.schedule.delete(message_id)
    before = f"{row.message.type} to {row.message.stream_id}, due {row.due_at.isoformat()}"
    tables.record("cancel", str(message_id), by, before=before, after="cancelled")
    return True


def promote_due(tables: Tables, limit: int, max_bytes: int) -> Promoted:
    """Move due messages into the log in (due, insertion) order.

    One that cannot be appended is set aside with its error, and stops nobody.
    """
    moved = dropped = failed = 0
    groups: set[str] = set()
    for message_id in list(islice(tables.schedule.waiting.until(tables.now), limit)):
        row = tables.schedule.get(message_id)
        assert row is not None
        tables.schedule.delete(message_id)
        if tables.log.message(message_id) is not None:
            dropped += 1
            continue
        mark = tables.journal.mark()
        try:
            check_sizes([row.message], max_bytes)
            groups |= append(tables, [row.message], {}).groups
            moved += 1
        except SourcedError as error:
            tables.journal.undo(mark)
            tables.schedule.put(message_id, replace(row, error=f"{type(error).__name__}: {error}"))
            failed += 1
    reach("schedule.after_move")
    return Promoted(moved=moved, dropped=dropped, failed=failed, groups=frozenset(groups))

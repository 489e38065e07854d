"""What a commit, an append or a failure adds to the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from sourced._messages import Meta
from sourced._metrics import APPENDED, Metrics
from sourced._plan import Plan
from sourced._records import NewMessage, StoredMessage

__all__ = ["note_appended", "note_handled"]


def note_appended(metrics: Metrics, messages: Iterable[NewMessage | StoredMessage]) -> None:
    """Count what has entered the log."""
    counts = Counter([message.type for message in messages])
    if counts:
        metrics.add_all(APPENDED, {(type,): count for type, count in counts.items()})


def note_handled(metrics: Metrics, group: str, plans: Sequence[Plan], now: datetime) -> None:
    """Count what one commit has handled; a message made by a clock that is ahead is no older."""
    handled: list[Meta] = []
    live: list[Meta] = []
    for plan in plans:
        metas = [message.meta for message in plan.batch.messages]
        upto, replay_until = plan.ack_seq or 0, plan.batch.replay_until
        if (metas[-1].seq or 0) > upto:
            metas = [meta for meta in metas if (meta.seq or 0) <= upto]
        handled += metas
        live += (
            [meta for meta in metas if (meta.seq or 0) > replay_until] if replay_until else metas
        )
    types = Counter([meta.type for meta in handled])
    ages = [(now - meta.created_at).total_seconds() for meta in live]
    if ages and min(ages) < 0:
        ages = [max(0.0, age) for age in ages]
    metrics.handled(group, {(group, type): count for type, count in types.items()}, ages)

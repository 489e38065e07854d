"""Reading: pages of a stream and of the log, traces, and what a claim has to handle."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from uuid import UUID

from sourced._limits import size_of
from sourced._records import StoredMessage
from sourced._store import (
    Claim,
    LogPage,
    Pending,
    ReadLimits,
    Snapshot,
    StreamPage,
    Tails,
    UnknownPending,
)
from sourced.memory._tables import Tables

__all__ = ["read_all", "read_pending", "read_snapshots", "read_stream", "trace"]


def read_stream(
    tables: Tables,
    stream_id: str,
    after: int,
    upto: int | None,
    types: Collection[str] | None,
    limit: int,
) -> StreamPage:
    """Return messages of a stream with after < seq ≤ upto."""
    stream = tables.log.stream(stream_id)
    if stream is None:
        return StreamPage(messages=(), to=0, head=0)
    end = stream.head if upto is None else min(upto, stream.head)
    messages: list[StoredMessage] = []
    for message in stream.walk(None if types is None else set(types), after + 1):
        if message.seq > end or len(messages) == limit:
            break
        messages.append(message)
    cut = len(messages) == limit
    to = (messages[-1].seq if messages else after) if cut else end
    return StreamPage(messages=tuple(messages), to=to, head=stream.head)


def read_all(
    tables: Tables,
    after: int | None,
    types: Collection[str] | None,
    limit: int,
    backwards: bool,
) -> LogPage:
    """Return messages of the log by position; under the one lock, there is nothing to wait for."""
    last = len(tables.log.messages)
    start = after if after is not None else (last + 1 if backwards else 0)
    found = tables.log.by_position(start, types, backwards=backwards)
    messages = tuple(islice(found, limit))
    if len(messages) == limit:
        next_after = messages[-1].position if messages else start
    else:
        next_after = 0 if backwards else max(start, last)
    return LogPage(messages=messages, next_after=next_after)


def trace(tables: Tables, message_id: UUID, limit: int) -> tuple[StoredMessage, ...]:
    """Return all messages of the same correlation, by position."""
    message = tables.log.message(message_id)
    if message is None:
        return ()
    return tuple(islice(tables.log.by_correlation(message.correlation_id), limit))


def read_snapshots(
    tables: Tables, group: str, stream_ids: Collection[str], version: int
) -> Mapping[str, Snapshot]:
    """Return the snapshots of this version, by stream."""
    found = (tables.snapshots.get((group, stream_id)) for stream_id in stream_ids)
    return {row.stream_id: row for row in found if row is not None and row.version == version}


# --- what claims have to handle -------------------------------------------------------------------


@dataclass(slots=True)
class _Budget:
    """How many bytes may still be returned; the first message is free."""

    bytes: int
    untouched: bool = True

    def take(self, message: StoredMessage) -> bool:
        """Pay for a message, if there is enough for it; nothing is enough afterwards if not."""
        size = size_of(message)
        fits = self.untouched or size <= self.bytes
        self.untouched = False
        self.bytes = self.bytes - size if fits else -1
        return fits

    @property
    def spent(self) -> bool:
        """Whether nothing more may be returned."""
        return self.bytes < 0 and not self.untouched


def read_pending(
    tables: Tables,
    claims: Sequence[Claim],
    known_types: Collection[str],
    limits: ReadLimits,
    tails: Tails | None,
) -> list[Pending]:
    """Return what each claim has to handle: all messages first, then history with what is left."""
    budget = _Budget(limits.bytes)
    known = frozenset(known_types)
    found = [_pending(tables, claim, known, limits.messages, budget) for claim in claims]
    if tails is None:
        return found
    return [_with_tail(tables, pending, tails, limits.tail, budget) for pending in found]


def _pending(
    tables: Tables, claim: Claim, known: frozenset[str], limit: int, budget: _Budget
) -> Pending:
    stream = tables.log.stream(claim.stream_id)
    head = looked_to = stream.head if stream is not None else 0
    messages: list[StoredMessage] = []
    unknown = None
    for message in _subscribed(tables, claim, budget):
        if len(messages) == limit:
            looked_to = messages[-1].seq
            break
        if message.type not in known:
            looked_to = message.seq - 1
            unknown = None if messages else _unknown(tables, claim, message)
            break
        if not budget.take(message):
            break
        messages.append(message)
    if budget.spent:
        looked_to = messages[-1].seq if messages else claim.next_seq - 1
    return Pending(
        claim=claim, messages=tuple(messages), looked_to=looked_to, head=head, unknown=unknown
    )


def _subscribed(tables: Tables, claim: Claim, budget: _Budget) -> Iterator[StoredMessage]:
    stream = tables.log.stream(claim.stream_id)
    if stream is None or budget.spent:
        return iter(())
    return stream.walk(tables.groups.types(claim.group), claim.next_seq)


def _unknown(tables: Tables, claim: Claim, message: StoredMessage) -> UnknownPending:
    others = (row.info for row in tables.workers if row.info.id != claim.worker)
    elsewhere = any(message.type in info.handles.get(claim.group, ()) for info in others)
    return UnknownPending(type=message.type, seq=message.seq, known_elsewhere=elsewhere)


def _with_tail(
    tables: Tables, pending: Pending, tails: Tails, limit: int, budget: _Budget
) -> Pending:
    stream_id = pending.claim.stream_id
    after = tails.after.get(stream_id)
    stream = tables.log.stream(stream_id)
    if after is None or stream is None:
        return pending
    tail: list[StoredMessage] = []
    tail_to = stream.head
    for message in stream.walk(tails.types, after + 1):
        if len(tail) == limit or not budget.take(message):
            tail_to = tail[-1].seq if tail else after
            break
        tail.append(message)
    return replace(pending, tail=tuple(tail), tail_to=tail_to)

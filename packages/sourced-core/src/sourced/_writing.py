"""How messages are recorded from outside: dispatched, scheduled, appended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sourced._arguments import several
from sourced._engine import Engine
from sourced._failures import safe_repr
from sourced._measuring import note_appended
from sourced._messages import Message, decode, encode
from sourced._moments import due
from sourced._receipt import Receipt
from sourced._records import NewMessage, ScheduledMessage, StoredMessage
from sourced._running import refuse_writing
from sourced._store import Expectation, ExpectedSeq, Store, Verbs
from sourced.errors import DuplicateMessageError, UsageError

__all__ = ["append_events", "dispatch_many", "dispatch_message"]


def dispatch_message(
    verbs: Verbs,
    engine: Engine,
    message: Message,
    stream_id: str,
    *,
    at: datetime | None,
    after: timedelta | None,
) -> Receipt:
    """Record or schedule one message; a repeat of it gets the first one's receipt.

    Raises:
        UsageError: `at` and `after` are both given, or name no moment that can be; or a handler
            that decides or evolves asks for it.
    """
    refuse_writing()
    store = engine.store
    with engine.tracing.appending([(message, stream_id)]):
        new = encode(message, stream_id)
        if at is None and after is None:
            return _append(verbs, engine, new)
        return _schedule(verbs, store, new, due(store.now, at=at, after=after))


def dispatch_many(
    verbs: Verbs, engine: Engine, addressed: Sequence[tuple[Message, str]]
) -> list[Receipt]:
    """Record many messages in one transaction; repeats get the first one's receipt."""
    refuse_writing()
    with engine.tracing.appending(addressed):
        encoded = [encode(message, stream_id) for message, stream_id in addressed]
        return _append_many(verbs, engine, encoded)


def _append_many(verbs: Verbs, engine: Engine, encoded: Sequence[NewMessage]) -> list[Receipt]:
    receipts: dict[UUID, Receipt] = {}
    left = _first_of_each(encoded)
    while left:
        try:
            stored = verbs.append(list(left.values())).messages
        except DuplicateMessageError as duplicate:
            repeat = left.pop(duplicate.message_id)
            receipts[repeat.id] = _first_receipt(verbs, engine.store, repeat, duplicate)
        else:
            note_appended(engine.metrics, stored)
            receipts.update((record.id, _receipt(record)) for record in stored)
            break
    given: set[UUID] = set()
    listed = []
    for new in encoded:
        receipt = receipts[new.id]
        listed.append(replace(receipt, repeated=True) if new.id in given else receipt)
        given.add(new.id)
    return listed


def _first_of_each(encoded: Sequence[NewMessage]) -> dict[UUID, NewMessage]:
    first: dict[UUID, NewMessage] = {}
    for new in encoded:
        known = first.setdefault(new.id, new)
        if (known.type, known.stream_id) != (new.type, new.stream_id):
            raise DuplicateMessageError(new.id, known.stream_id, 0, known.type)
    return first


def append_events(
    verbs: Verbs,
    engine: Engine,
    events: Sequence[Message] | Message,
    stream_id: str,
    expected_seq: int | None,
) -> list[Message]:
    """Record messages at the end of one stream."""
    refuse_writing()
    given = [events] if isinstance(events, Message | Mapping) else several(events)
    for event in given:
        if not isinstance(event, Message):
            raise UsageError(f"expected an event, or several, got {safe_repr(event)}")
    expect: dict[str, Expectation] = {}
    if expected_seq is not None:
        expect[stream_id] = ExpectedSeq(expected_seq)
    with engine.tracing.appending([(event, stream_id) for event in given]):
        new = [encode(event, stream_id) for event in given]
        stored = verbs.append(new, expect=expect).messages
    note_appended(engine.metrics, stored)
    return [decode(record) for record in stored]


def _append(verbs: Verbs, engine: Engine, new: NewMessage) -> Receipt:
    try:
        stored = verbs.append([new]).messages
    except DuplicateMessageError as duplicate:
        return _first_receipt(verbs, engine.store, new, duplicate)
    note_appended(engine.metrics, stored)
    return _receipt(stored[0])


def _receipt(stored: StoredMessage) -> Receipt:
    return Receipt(
        message_id=stored.id,
        correlation_id=stored.correlation_id,
        stream_id=stored.stream_id,
        seq=stored.seq,
        position=stored.position,
    )


def _schedule(verbs: Verbs, store: Store, new: NewMessage, due_at: datetime) -> Receipt:
    try:
        verbs.schedule([ScheduledMessage(message=new, due_at=due_at)])
    except DuplicateMessageError as duplicate:
        return _first_receipt(verbs, store, new, duplicate)
    return _waiting_receipt(new, due_at, repeated=False)


def _first_receipt(
    verbs: Verbs, store: Store, new: NewMessage, duplicate: DuplicateMessageError
) -> Receipt:
    """Return the receipt of the first dispatch, if this is a repeat of the same message."""
    first = verbs.read_one(new.id)
    if first is not None and (first.type, first.stream_id) == (new.type, new.stream_id):
        return replace(_receipt(first), repeated=True)
    waiting = store.inspect.scheduled(new.id)
    if waiting is not None:
        known = waiting.message
        if (known.type, known.stream_id) == (new.type, new.stream_id):
            return _waiting_receipt(known, waiting.due_at, repeated=True)
    raise duplicate


def _waiting_receipt(new: NewMessage, due_at: datetime, *, repeated: bool) -> Receipt:
    return Receipt(
        message_id=new.id,
        correlation_id=new.correlation_id,
        stream_id=new.stream_id,
        seq=None,
        position=None,
        due_at=due_at,
        repeated=repeated,
    )

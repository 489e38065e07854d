"""Appending: expectations, ids, the log, and the deliveries that new messages cause."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from sourced._records import NewMessage, StoredMessage
from sourced._store import Appended, Expectation, ExpectedSeq
from sourced.errors import ConcurrencyError, DuplicateMessageError
from sourced.memory._tables import Tables

__all__ = ["append", "check_expectations", "check_ids"]

Handled = Mapping[tuple[str, str], Collection[UUID]]


def append(
    tables: Tables,
    messages: Sequence[NewMessage],
    expect: Mapping[str, Expectation],
    handled: Handled | None = None,
) -> Appended:
    """Write messages to the ends of their streams, with the deliveries they cause.

    Args:
        tables: where to.
        messages: in order, over any number of streams.
        expect: stream → expectation.
        handled: (group, stream) → ids of messages that cause no delivery there.

    Raises:
        ConcurrencyError: an expectation does not hold.
        DuplicateMessageError: an id is known, or stands twice in `messages`.
    """
    check_expectations(tables, expect)
    check_ids(tables, messages)
    stored = tuple(tables.log.add(message) for message in messages)
    return Appended(messages=stored, groups=_fan_out(tables, stored, handled or {}))


def check_expectations(tables: Tables, expect: Mapping[str, Expectation]) -> None:
    """Refuse what was decided on a stream that has moved since (I7).

    Raises:
        ConcurrencyError: names the first such stream by id.
    """
    for stream_id, expectation in sorted(expect.items(), key=lambda item: item[0]):
        stream = tables.log.stream(stream_id)
        head = stream.head if stream is not None else 0
        if isinstance(expectation, ExpectedSeq):
            holds = head == expectation.seq
        else:
            holds = stream is None or stream.last(expectation.types) <= expectation.seq
        if not holds:
            raise ConcurrencyError(stream_id, expectation.seq, head)


def check_ids(tables: Tables, messages: Iterable[NewMessage]) -> None:
    """Refuse ids that are known already.

    Raises:
        DuplicateMessageError: says where the message of this id is; nowhere yet (stream "", seq 0)
            if it is scheduled or stands twice in `messages`.
    """
    seen: set[UUID] = set()
    for message in messages:
        stored = tables.log.message(message.id)
        if stored is not None:
            raise DuplicateMessageError(message.id, stored.stream_id, stored.seq, stored.type)
        if message.id in seen or message.id in tables.schedule:
            raise DuplicateMessageError(message.id, "", 0, message.type)
        seen.add(message.id)


def _fan_out(tables: Tables, stored: Iterable[StoredMessage], handled: Handled) -> frozenset[str]:
    made: set[str] = set()
    for message in stored:
        for group in tables.groups.handling(message.type):
            key = (group, message.stream_id)
            if key not in tables.deliveries and message.id not in handled.get(key, ()):
                tables.announce(group, message.stream_id, message.seq)
                made.add(group)
    return frozenset(made)

"""What every store refuses before it looks at anything: numbers, names and starts without sense."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sourced._failures import safe_repr
from sourced._json_text import name_problem
from sourced._messages import Message, stored_types
from sourced._moments import checked_moment
from sourced._numbers import checked_bound, checked_limit, checked_place, checked_seconds
from sourced._receipt import Receipt
from sourced._store_values import BEGINNING, NOW, Claim, Done, Keep, Start, StreamCommit
from sourced.errors import RegistrationError, UsageError

__all__ = [
    "check_commit",
    "check_group",
    "checked_bound",
    "checked_decision",
    "checked_limit",
    "checked_message_id",
    "checked_place",
    "checked_seconds",
    "checked_start",
    "checked_stream",
    "checked_text",
    "checked_types",
    "several",
]


def checked_start(start: object) -> Start:
    """Return where a new group starts, a moment in UTC.

    Raises:
        RegistrationError: it is neither of the two words nor a moment.
    """
    for word in (BEGINNING, NOW):
        if isinstance(start, str) and start == word:
            return word
    try:
        if isinstance(start, datetime):
            return checked_moment(start)
    except UsageError as error:
        raise RegistrationError(_no_start(start)) from error
    raise RegistrationError(_no_start(start))


def checked_stream(stream_id: object) -> str:
    """Return the id of a stream that there may be.

    Raises:
        UsageError: it is no text, or one that no store could hold.
    """
    if (problem := name_problem(stream_id)) is not None:
        raise UsageError(f"the stream id {safe_repr(stream_id)}: {problem}")
    return str(stream_id)


def checked_text(text: object, name: str) -> str:
    """Return a text.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(text, str):
        raise UsageError(f"{name}= must be a text, got {safe_repr(text)}")
    return text


def checked_message_id(named: object) -> UUID:
    """Return the id of a message that is named by it, or by its receipt.

    Raises:
        UsageError: it is neither.
    """
    found = named.message_id if isinstance(named, Receipt) else named
    if not isinstance(found, UUID):
        raise UsageError(f"expected a receipt or a message's id, a UUID, got {safe_repr(named)}")
    return found


def checked_types(types: object) -> frozenset[str] | None:
    """Return under which names messages of one class, or of several, are stored; None for all.

    Raises:
        UsageError: one of them is no message class.
    """
    if types is None:
        return None
    classes = several(types)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, Message)):
            raise UsageError(
                f"types= must be message classes such as ItemAdded, got {safe_repr(each)}"
            )
    return stored_types(classes)


def several(given: object) -> list[Any]:
    """Return what was given, one thing or several, as a list.

    A text is one thing, not a collection of letters; so is a class, or an object that cannot be
    gone through.
    """
    if isinstance(given, str | bytes | type) or not isinstance(given, Iterable):
        return [given]
    return list(given)


def check_group(name: object, was: Iterable[object] = ()) -> None:
    """Refuse names of a group, present or former, that could not be stored.

    Raises:
        RegistrationError: says why.
    """
    for each in (name, *was):
        if (problem := name_problem(each)) is not None:
            raise RegistrationError(
                f"the group name {safe_repr(each)}: {problem}; name it with a text of 1 to 255 "
                "characters"
            )


def check_commit(streams: Sequence[StreamCommit]) -> None:
    """Refuse a batch that could never be committed.

    Raises:
        UsageError: it is for several groups, has a stream twice, or acks what it does not hold.
    """
    groups = {one.claim.group for one in streams}
    if len(groups) > 1:
        raise UsageError(f"one commit is for one group, not for {', '.join(sorted(groups))}")
    seen: set[str] = set()
    for one in streams:
        problem = _problem_of(one, seen)
        if problem is not None:
            raise UsageError(f"the commit of stream {one.claim.stream_id!r}: {problem}")
        seen.add(one.claim.stream_id)


def checked_decision(claim: Claim, decided: StreamCommit | None) -> StreamCommit | None:
    """Return what was decided under a stream's lock.

    Raises:
        UsageError: it is for another claim, writes to another stream, or could not be committed.
    """
    if decided is None:
        return None
    if decided.claim != claim:
        raise UsageError(f"what was decided is for {decided.claim!r}, not for {claim!r}")
    others = {one.stream_id for one in decided.append} | decided.expect.keys()
    if others := others - {claim.stream_id}:
        raise UsageError(
            f"under the lock of stream {claim.stream_id!r} nothing is written to or expected of "
            f"{', '.join(map(repr, sorted(others)))}: use commit, which locks streams in order"
        )
    check_commit([decided])
    return decided


def _problem_of(one: StreamCommit, seen: set[str]) -> str | None:
    if one.claim.stream_id in seen:
        return "it is in this commit twice; put its outcomes into one"
    if one.ack_seq is None:
        if isinstance(one.then, Done | Keep):
            return f"{type(one.then).__name__} needs an ack_seq; use Release to give it back"
    elif one.ack_seq < one.claim.next_seq:
        return f"ack_seq {one.ack_seq} is before the claim's next_seq {one.claim.next_seq}"
    return None


def _no_start(start: object) -> str:
    return (
        f"start= must be {BEGINNING!r}, {NOW!r} or an aware datetime within the years 1 to 9999, "
        f"got {safe_repr(start)}"
    )

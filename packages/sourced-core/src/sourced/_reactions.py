"""Turns what a reaction yields into outcomes: here or elsewhere, now or later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sourced._batch import Batch
from sourced._failures import kind_of
from sourced._messages import Message, caused_by, encode, with_meta
from sourced._moments import checked_delay, checked_moment
from sourced._outcomes import Append, Dispatch, Schedule
from sourced._running import Running, consume
from sourced.errors import UsageError

__all__ = ["check_new", "outcome_of", "run_reaction"]


async def run_reaction(
    call: Callable[[], Any], place: str, source: Message, batch: Batch
) -> list[Append | Schedule]:
    """Run a handler that yields messages, and return what it asks for."""
    outcomes: list[Append | Schedule] = []
    seen: set[UUID] = set()
    with Running(place, is_pure=False) as handling:

        def take(item: object) -> None:
            outcome = outcome_of(item, source, batch, place)
            handling.yielded(outcome.message)
            check_new(outcome.message, seen, place)
            outcomes.append(outcome)

        await consume(call(), take)
    return outcomes


def outcome_of(item: object, source: Message, batch: Batch, place: str) -> Append | Schedule:
    """Return what a yielded message or `Dispatch` asks for, complete with causation.

    It is encoded at once, so that what cannot be stored fails the message whose handler made it,
    and what the handler changes later changes nothing.

    Raises:
        UsageError: it is neither, or says when in a way that cannot be right.
        PayloadError: it cannot be stored.
    """
    asked = item if isinstance(item, Dispatch) else Dispatch(_message(item, place))
    message = _message(asked.message, place)
    if asked.meta:
        message = with_meta(message, user=asked.meta)
    message = caused_by(message, source, producer=batch.group)
    to = batch.stream_id if asked.to is None else asked.to
    encoded = encode(message, to)
    if asked.at is None and asked.after is None:
        return Append(message, to, encoded)
    at, after = _times(asked, place)
    return Schedule(message, to, at=at, after=after, encoded=encoded)


def check_new(message: Message, seen: set[UUID], place: str) -> None:
    """Refuse a message that is stored, or whose id is among those seen; note its id there.

    Raises:
        UsageError: it is one of those.
    """
    known = len(seen)
    seen.add(message.meta.id)
    if message.meta.seq is not None or len(seen) == known:
        name = type(message).__name__
        raise UsageError(
            f"{place} yielded a message that exists already, {kind_of(message)}: "
            f"build another one, {name}(**message.payload)"
        )


def _message(item: object, place: str) -> Message:
    if isinstance(item, Message):
        return item
    hint = "; write `yield from` for several" if isinstance(item, list | tuple) else ""
    raise UsageError(
        f"{place} yielded {kind_of(item)}: yield messages, or Dispatch(message, to=…){hint}"
    )


def _times(dispatch: Dispatch[Any], place: str) -> tuple[datetime | None, timedelta | None]:
    at, after = dispatch.at, dispatch.after
    if at is not None and after is not None:
        raise UsageError(f"{place} dispatches with at= and after=: give one of them")
    try:
        return (
            None if at is None else checked_moment(at),
            None if after is None else checked_delay(after),
        )
    except UsageError as error:
        raise UsageError(f"{place} dispatches at no time that can be: {error}") from error

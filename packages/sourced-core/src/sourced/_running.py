"""Runs a handler to its end, plain or async, and minds what it builds and does not yield."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import aclosing
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from sourced._messages import Message
from sourced._outcomes import Dispatch
from sourced.errors import UsageError

__all__ = ["Running", "consume", "refuse_handling", "refuse_writing", "run_now", "running"]

T = TypeVar("T")

_SINGLE = (Message, Dispatch, str, bytes, Mapping)

_current: ContextVar[Running | None] = ContextVar("sourced_running_handler", default=None)


def running() -> Running | None:
    """Return what runs now, if the caller is called by a handler."""
    return _current.get()


def refuse_handling() -> None:
    """Refuse to handle something now on behalf of a handler.

    Raises:
        UsageError: a handler runs.
    """
    handling = running()
    if handling is not None:
        raise UsageError(
            f"{handling.place} handles a command while it runs itself; a handler only says what "
            "follows: yield the command from a reaction (@react), with Dispatch(command, to=…) for "
            "another stream"
        )


def refuse_writing() -> None:
    """Refuse to record messages on behalf of a handler that decides or evolves.

    Raises:
        UsageError: such a one runs.
    """
    handling = running()
    if handling is not None and handling.is_pure:
        raise UsageError(
            f"{handling.place} records messages by itself: they would stay if what it decides is "
            "refused, and be recorded again when it is decided again; yield events, and what "
            "follows from them is yielded by a reaction (@react)"
        )


class Running:
    """Marks, while it is entered, that a handler runs, and collects what it builds.

    Leaving it without an error raises `UsageError` if a message was built through `self` and not
    yielded: whoever writes `self.item_added(...)` without `yield` believes that it happened.

    Args:
        place: the handler, as users know it.
        is_pure: it decides or evolves, so it may run again and must not write by itself.
    """

    __slots__ = ("_built", "_token", "is_pure", "place")

    def __init__(self, place: str, *, is_pure: bool = True) -> None:
        self.place = place
        self.is_pure = is_pure
        self._built: dict[UUID, Message] = {}
        self._token: Token[Running | None] | None = None

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._token is not None
        _current.reset(self._token)
        if kind is None and self._built:
            raise UsageError(
                f"{self.place} built {self._names()} and did not yield it, so it would be lost: "
                "write `yield self.…(...)`"
            )

    def built(self, message: Message) -> None:
        """Note a message that the handler built through `self`."""
        self._built[message.meta.id] = message

    def yielded(self, message: Message) -> None:
        """Note that the handler has yielded a message."""
        self._built.pop(message.meta.id, None)

    def _names(self) -> str:
        return ", ".join(message.meta.type for message in self._built.values())


async def consume(result: object, take: Callable[[object], None]) -> None:
    """Give all that a handler yields or returns to `take`, each before the handler goes on.

    What a generator returns counts as yielded. Nothing is awaited unless the handler is async, so
    that plain handlers run without an event loop: see `run_now`.
    """
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncGenerator):
        async with aclosing(result) as items:
            async for item in items:
                take(item)
    elif isinstance(result, Generator):
        _drain(result, take)
    else:
        _take_returned(result, take)


def _drain(generator: Generator[object, None, object], take: Callable[[object], None]) -> None:
    try:
        while True:
            try:
                item = next(generator)
            except StopIteration as stop:
                _take_returned(stop.value, take)
                return
            take(item)
    finally:
        generator.close()


def _take_returned(result: object, take: Callable[[object], None]) -> None:
    if result is None:
        return
    if isinstance(result, Iterable) and not isinstance(result, _SINGLE):
        for item in result:
            take(item)
    else:
        take(result)


def run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that awaits nothing, without an event loop.

    If something in it does wait, `UsageError` is raised there, so that it is that handler's.
    """
    try:
        coroutine.send(None)
        coroutine.throw(_waited())
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise _waited()


def _waited() -> UsageError:
    return UsageError(
        "a handler returned an awaitable though none of its class is async; "
        "write it as `async def`, so that its class is run on an event loop"
    )

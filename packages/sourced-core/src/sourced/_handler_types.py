"""What handlers are to type checkers: on their class, and on an instance.

At run time they are the classes of `_handler_slots`. The short form is generic in the state and the
payload's parameters alone, which is what mypy and pyright both follow through `__get__`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, ParamSpec, TypeVar, overload

from sourced._messages import Command, Event

__all__ = [
    "Events",
    "LongCommand",
    "LongCommandOnSelf",
    "LongEvent",
    "LongEventOnSelf",
    "MakeCommand",
    "MakeEvent",
    "ShortCommand",
    "ShortCommandOnSelf",
    "ShortEvent",
    "ShortEventOnSelf",
]

Events = Iterator[Event]
"""What a command handler gives: annotate it with `-> Events`."""

S = TypeVar("S")
P = ParamSpec("P")
C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)


class MakeCommand(Generic[P]):
    """A short-form command on its class: builds the command."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Command:
        """Build the command, without checking it."""
        raise NotImplementedError


class MakeEvent(Generic[P]):
    """A short-form event on its class: builds the event."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Event:
        """Build the event, without checking it."""
        raise NotImplementedError


class ShortCommandOnSelf(Generic[S, P]):
    """A short-form command on an instance: performs it; with a state, runs the plain handler."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Command: ...
    @overload
    def __call__(self, state: S, /, *args: P.args, **kwargs: P.kwargs) -> Events: ...
    # mypy does not see that `*args` takes a state before `P.args`.
    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
        """Perform the command."""
        raise NotImplementedError


class ShortEventOnSelf(Generic[S, P]):
    """A short-form event on an instance: builds it; with a state, runs the plain handler."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Event: ...
    @overload
    def __call__(self, state: S, /, *args: P.args, **kwargs: P.kwargs) -> S | None: ...
    # mypy does not see that `*args` takes a state before `P.args`.
    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
        """Build the event."""
        raise NotImplementedError


class LongCommandOnSelf(Generic[S, C]):
    """A command on an instance: performs it; with state and command, runs the plain handler."""

    @overload
    def __call__(self, state: S, command: C, /) -> Events: ...
    @overload
    def __call__(self, **payload: Any) -> C: ...
    def __call__(self, *args: Any, **payload: Any) -> Any:
        """Perform the command."""
        raise NotImplementedError


class LongEventOnSelf(Generic[S, E]):
    """An event on an instance: builds it; with state and event, runs the plain handler."""

    @overload
    def __call__(self, state: S, event: E, /) -> S | None: ...
    @overload
    def __call__(self, **payload: Any) -> E: ...
    def __call__(self, *args: Any, **payload: Any) -> Any:
        """Build the event."""
        raise NotImplementedError


class ShortCommand(Generic[S, P]):
    """A command handler whose keyword-only parameters are the payload."""

    @overload
    def __get__(self, instance: None, owner: type[Any], /) -> MakeCommand[P]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any], /) -> ShortCommandOnSelf[S, P]: ...
    def __get__(self, instance: object, owner: type[Any], /) -> Any:
        """Return the message's maker on the class, its performer on an instance."""
        raise NotImplementedError


class ShortEvent(Generic[S, P]):
    """An event handler whose keyword-only parameters are the payload."""

    @overload
    def __get__(self, instance: None, owner: type[Any], /) -> MakeEvent[P]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any], /) -> ShortEventOnSelf[S, P]: ...
    def __get__(self, instance: object, owner: type[Any], /) -> Any:
        """Return the message's maker."""
        raise NotImplementedError


class LongCommand(Generic[S, C]):
    """A command handler of a message class."""

    @overload
    def __get__(self, instance: None, owner: type[Any], /) -> type[C]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any], /) -> LongCommandOnSelf[S, C]: ...
    def __get__(self, instance: object, owner: type[Any], /) -> Any:
        """Return the message class on the class, its performer on an instance."""
        raise NotImplementedError


class LongEvent(Generic[S, E]):
    """An event handler of a message class."""

    @overload
    def __get__(self, instance: None, owner: type[Any], /) -> type[E]: ...
    @overload
    def __get__(self, instance: object, owner: type[Any], /) -> LongEventOnSelf[S, E]: ...
    def __get__(self, instance: object, owner: type[Any], /) -> Any:
        """Return the message class on the class, its maker on an instance."""
        raise NotImplementedError

"""The decorators that make methods handlers, and what such a method is on a class and on `self`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from sourced._handler_table import Handler, Mark, table_of
from sourced._messages import Command, Event, Message
from sourced._running import running
from sourced.errors import UsageError

__all__ = ["Events", "command", "event", "on", "react"]

Events = Iterator[Event]
"""What a command handler gives: annotate it with `-> Events`."""

S = TypeVar("S")
P = ParamSpec("P")
C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)
M = TypeVar("M", bound=Message)
F = TypeVar("F", bound=Callable[..., Any])

Decided = Iterable[Event] | Event | None


# --- what `Cart.add_item` is, to type checkers ----------------------------------------------------


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
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Perform the command."""
        raise NotImplementedError


class ShortEventOnSelf(Generic[S, P]):
    """A short-form event on an instance: builds it; with a state, runs the plain handler."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Event: ...
    @overload
    def __call__(self, state: S, /, *args: P.args, **kwargs: P.kwargs) -> S | None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
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


# --- what it is at run time -----------------------------------------------------------------------


class _HandlerSlot:
    """A command or event handler in its class."""

    def __init__(self, mark: Mark) -> None:
        self.__sourced_mark__ = mark
        self.__doc__ = mark.function.__doc__
        self.__name__ = mark.function.__name__
        self.__qualname__ = mark.function.__qualname__
        self.__module__ = mark.function.__module__
        self.__wrapped__ = mark.function

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name

    def __get__(self, instance: Any, owner: type) -> Any:
        table = table_of(owner)
        handler = None if table is None else table.by_name.get(self.__name__)
        if handler is None:  # still being defined, or a plain class to inherit from
            return self
        if instance is not None:
            return _OnSelf(handler, self.__sourced_mark__.function, instance)
        if handler.payload is None and len(handler.messages) == 1:
            return handler.messages[0]
        return _Maker(handler)

    def __repr__(self) -> str:
        return f"<@{self.__sourced_mark__.kind} {self.__qualname__}>"


class _Maker:
    """Builds a handler's message."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.__doc__ = handler.function.__doc__
        self.__name__ = handler.name

    @property
    def message(self) -> type[Message]:
        """The message class."""
        if len(self._handler.messages) != 1:
            names = ", ".join(cls.__name__ for cls in self._handler.messages)
            raise UsageError(f"{self._handler.place} handles several messages: {names}; name one")
        return self._handler.messages[0]

    def __call__(self, **payload: Any) -> Message:
        return self.message(**payload)

    def __repr__(self) -> str:
        return f"<{self._handler.place} of {', '.join(c.__name__ for c in self._handler.messages)}>"


class _OnSelf:
    """A handler reached through an instance."""

    def __init__(self, handler: Handler, function: Callable[..., Any], instance: Any) -> None:
        self._handler = handler
        self._function = function
        self._instance = instance
        self.__doc__ = function.__doc__
        self.__name__ = handler.name

    def __call__(self, *args: Any, **payload: Any) -> Any:
        if args:  # super().add_item(cart, command)
            return self._function(self._instance, *args, **payload)
        if self._handler.kind == "command":
            return self._perform(payload)
        message = _Maker(self._handler)(**payload)
        handling = running()
        if handling is not None:
            handling.built(message)
        return message

    def _perform(self, payload: dict[str, Any]) -> Message:
        handling, name = running(), self._handler.name
        owner = type(self._instance).__name__
        if handling is not None:
            raise UsageError(
                f"{handling.place} performs the command {name!r}; a handler only says what follows: "
                f"build it with {owner}.{name}(...) and yield it from a reaction"
            )
        console = getattr(self._instance, "_console", None)
        if console is None:
            raise UsageError(
                f"this {owner} has no stream, so {name}(...) has nowhere to go; take "
                f'{owner}("a-stream"), or app.load(...) if it is registered as an instance'
            )
        performed: Message = console.perform(_Maker(self._handler).message, payload)
        return performed


# --- the decorators -------------------------------------------------------------------------------


@overload
def command(handler: Callable[[Any, S, C], Decided], /) -> LongCommand[S, C]: ...
@overload
def command(handler: Callable[Concatenate[Any, S, P], Decided], /) -> ShortCommand[S, P]: ...
def command(handler: Callable[..., Any], /) -> Any:
    """Make a method decide a command: check it against the state and yield what happened.

    ```python
    @command
    def add_item(self, cart: CartState, cmd: AddItem) -> Events:
        if cart.status != "open":
            raise CartClosed(cart.id)
        yield ItemAdded(product_id=cmd.product_id, price=cmd.price)
    ```

    Each event is applied to the state before the handler goes on. The handler may also return one
    event or a list. What it raises is the command's failure, and nothing it yielded remains. In the
    short form, `def add_item(self, cart, *, product_id: str)`, the keyword-only parameters are the
    command's payload.
    """
    return _HandlerSlot(Mark("command", handler))


@overload
def event(handler: Callable[[Any, S, E], S | None], /) -> LongEvent[S, E]: ...
@overload
def event(handler: Callable[Concatenate[Any, S, P], S | None], /) -> ShortEvent[S, P]: ...
def event(handler: Callable[..., Any], /) -> Any:
    """Make a method evolve the state by an event: change the state, or return a new one.

    ```python
    @event
    def item_added(self, cart: CartState, event: ItemAdded) -> None:
        cart.items.append(CartItem(event.product_id, event.price))
    ```

    It is run again whenever the state is rebuilt, so it does no I/O, reads no clock and refuses
    nothing. In the short form the keyword-only parameters are the event's payload.
    """
    return _HandlerSlot(Mark("event", handler))


@overload
def react(
    *events: MakeEvent[...] | ShortEvent[Any, ...],
) -> Callable[[F], F]: ...
@overload
def react(handler: F, /) -> F: ...
def react(*handlers: Any) -> Any:
    """Make a method react to events: yield the commands that follow.

    ```python
    @react
    def reserve(self, order: OrderState, event: OrderPlaced) -> Yielded:
        yield Dispatch(Reserve(sku=event.sku), to=f"stock-{event.sku}")
    ```

    With `(self, event)` no history is read; with `(self, state, event)` the state is as of that
    event. A union names several events, `Event` every evolved one without a reaction of its own,
    and `@react(item_added)` short-form events. Plain messages go to the event's own stream. May be
    async.
    """
    if len(handlers) == 1 and _is_plain(handlers[0]):
        return _marked(Mark("react", handlers[0]))

    def decorate(handler: F) -> F:
        return _marked(Mark("react", handler, named=handlers))

    return decorate


def on(handler: F, /) -> F:
    """Make a method of a `Reactor` handle messages.

    ```python
    @on
    def log(self, event: Started | Placed, *, replaying: bool) -> None: ...
    ```

    It may ask by name for `history`, `replaying`, `batch`, and `connection`: with the last it runs
    inside the commit's transaction. It may yield messages. May be async.
    """
    return _marked(Mark("on", handler))


def _is_plain(handler: Any) -> bool:
    return callable(handler) and not isinstance(handler, type | _Maker)


def _marked(mark: Mark) -> Any:
    mark.function.__sourced_mark__ = mark  # type: ignore[attr-defined]  # functions take attributes
    return mark.function



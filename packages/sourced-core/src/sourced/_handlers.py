"""The decorators that make methods handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from sourced._handler_slots import HandlerSlot, Maker
from sourced._handler_table import Mark
from sourced._handler_types import (
    LongCommand,
    LongEvent,
    MakeEvent,
    ShortCommand,
    ShortEvent,
)
from sourced._messages import Command, Event

__all__ = ["command", "event", "on", "react"]

S = TypeVar("S")
P = ParamSpec("P")
C = TypeVar("C", bound=Command)
E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Callable[..., Any])

Decided = Iterable[Event] | Event | None


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
    return HandlerSlot(Mark("command", handler))


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
    return HandlerSlot(Mark("event", handler))


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
        return _marked(handlers[0], Mark("react", handlers[0]))

    def decorate(handler: F) -> F:
        return _marked(handler, Mark("react", handler, named=handlers))

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
    return _marked(handler, Mark("on", handler))


def _is_plain(handler: Any) -> bool:
    return callable(handler) and not isinstance(handler, type | Maker)


def _marked(handler: F, mark: Mark) -> F:
    handler.__sourced_mark__ = mark  # type: ignore[attr-defined]  # functions take attributes
    return handler

"""The handlers of a class, by name, by kind and by message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from sourced._messages import Message
from sourced._short_form import PayloadParameter

__all__ = ["Handler", "HandlerTable", "Kind", "Mark", "mark_of", "table_of"]

Kind = Literal["command", "event", "react", "on"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What a decorator notes.

    Attributes:
        named: what `@react(item_added)` names: short-form events.
    """

    kind: Kind
    function: Callable[..., Any]
    named: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One handler, with what its signature says.

    Attributes:
        place: where it is, for errors.
        is_async: calling it gives something to be awaited or iterated asynchronously.
        messages: the message classes it takes; empty for a wildcard.
        takes_state: it has a parameter for the state.
        payload: the fields of a short form; None in the long form.
        wants: the keyword-only parameters of an `@on` handler.
        is_wildcard: a reaction to every evolved event without its own reaction.
    """

    kind: Kind
    name: str
    function: Callable[..., Any]
    place: str
    is_async: bool
    messages: tuple[type[Message], ...] = ()
    takes_state: bool = True
    payload: tuple[PayloadParameter, ...] | None = None
    wants: frozenset[str] = frozenset()
    is_wildcard: bool = False

    def call(self, owner: Any, state: Any, message: Message, **wanted: Any) -> Any:
        """Call the handler the way its signature asks for."""
        if self.payload is not None:
            return self.function(owner, state, **message.payload)
        if self.takes_state:
            return self.function(owner, state, message)
        return self.function(owner, message, **wanted)


@dataclass(slots=True)
class HandlerTable:
    """All handlers of one class, by name and by message class."""

    by_name: dict[str, Handler] = field(default_factory=dict)
    commands: dict[type[Message], Handler] = field(default_factory=dict)
    events: dict[type[Message], Handler] = field(default_factory=dict)
    reactions: dict[type[Message], Handler] = field(default_factory=dict)
    listeners: dict[type[Message], Handler] = field(default_factory=dict)

    def of_kind(self, kind: Kind) -> dict[type[Message], Handler]:
        """Return the handlers of a kind by message class."""
        return {
            "command": self.commands,
            "event": self.events,
            "react": self.reactions,
            "on": self.listeners,
        }[kind]

    def find(self, kind: Kind, message: Message) -> Handler | None:
        """Return the handler of a message: its own class's, or that of the nearest base."""
        handlers = self.of_kind(kind)
        cls = type(message)
        found = handlers.get(cls)
        if found is None:
            found = next((handlers[base] for base in cls.__mro__ if base in handlers), None)
        return found

    @property
    def needs_state(self) -> bool:
        """Whether any handler is given a state."""
        return any(handler.takes_state for handler in self.by_name.values())


def mark_of(value: object) -> Mark | None:
    """Return what a decorator noted on a class attribute, if it is a handler."""
    mark = getattr(value, "__sourced_mark__", None)
    return mark if isinstance(mark, Mark) else None


def table_of(cls: type) -> HandlerTable | None:
    """Return the handlers of a class that has been read."""
    table = vars(cls).get("handler_table")
    return table if isinstance(table, HandlerTable) else None

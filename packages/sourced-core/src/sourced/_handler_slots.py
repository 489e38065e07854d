"""What a command or event handler is in its class: a message's maker, and a command's performer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sourced._handler_table import Handler, Mark, table_of
from sourced._messages import Message
from sourced._running import running
from sourced.errors import UsageError

__all__ = ["HandlerSlot", "Maker"]


class HandlerSlot:
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
        return Maker(handler)

    def __repr__(self) -> str:
        return f"<@{self.__sourced_mark__.kind} {self.__qualname__}>"


class Maker:
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
        message = Maker(self._handler)(**payload)
        handling = running()
        if handling is not None:
            handling.built(message)
        return message

    def _perform(self, payload: dict[str, Any]) -> Message:
        handling, name = running(), self._handler.name
        owner = type(self._instance).__name__
        if handling is not None:
            raise UsageError(
                f"{handling.place} performs the command {name!r}; a handler only says what "
                f"follows: build it with {owner}.{name}(...) and yield it from a reaction"
            )
        console = getattr(self._instance, "_console", None)
        if console is None:
            raise UsageError(
                f"this {owner} has no stream, so {name}(...) has nowhere to go; take "
                f'{owner}("a-stream"), or app.load(...) if it is registered as an instance'
            )
        performed: Message = console.perform(Maker(self._handler).message, payload)
        return performed

"""Reads the handlers of a class when it is defined, and refuses what does not fit."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from sourced._annotations import Scope, scope_of
from sourced._handler_table import Handler, HandlerTable, Kind, Mark, mark_of, table_of
from sourced._messages import Command, Event, Message
from sourced._naming import with_article
from sourced._short_form import define_message, payload_fields
from sourced._signatures import (
    Parameters,
    describe,
    kind_word,
    message_classes,
    parameters_of,
    place_of,
    resolved,
)
from sourced.errors import HandlerError

__all__ = ["read_handlers"]

ON_KEYWORDS = frozenset({"batch", "connection", "history", "replaying"})

_KINDS: dict[Kind, type[Message]] = {
    "command": Command,
    "event": Event,
    "react": Event,
    "on": Message,
}
_FITS: dict[Kind, str] = {
    "command": "def {name}(self, state, command: SomeCommand) -> Events, "
    "or def {name}(self, state, *, field: type) -> Events",
    "event": "def {name}(self, state, event: SomeEvent) -> None, "
    "or def {name}(self, state, *, field: type) -> None",
    "react": "def {name}(self, event: SomeEvent), or def {name}(self, state, event: SomeEvent)",
    "on": "def {name}(self, event: SomeEvent), "
    "or with any of *, history, replaying, connection, batch",
}


def read_handlers(cls: type, kinds: Collection[Kind], reserved: Collection[str]) -> HandlerTable:
    """Read all handlers of a class that is being defined, inherited ones included.

    Args:
        cls: the class.
        kinds: the kinds of handlers it may have.
        reserved: names that a handler cannot have.

    Raises:
        DefinitionError: a handler or their combination is wrong.
    """
    return _Reading(cls, frozenset(kinds), frozenset(reserved)).table()


def _bare(name: str, mark: Mark) -> Handler:
    function = mark.function
    return Handler(
        kind=mark.kind,
        name=name,
        function=function,
        place=place_of(function),
        is_async=inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function),
    )


_HOMES = {
    "command": "an Actor",
    "event": "an Actor or a projector",
    "react": "an Actor or a projector",
    "on": "a Reactor",
}


class _Reading:
    def __init__(self, cls: type, kinds: frozenset[Kind], reserved: frozenset[str]) -> None:
        self._cls = cls
        self._kinds = kinds
        self._reserved = reserved
        self._scope: Scope = scope_of(cls.__module__, cls.__qualname__)
        self._table = HandlerTable()

    def table(self) -> HandlerTable:
        marks = self._marks()
        # Reactions may name short-form events and stand for all evolved ones: they come last.
        for name, mark in sorted(marks.items(), key=lambda item: item[1].kind in ("react", "on")):
            self._add(self._inherited(name, mark) or self._read(name, mark))
        for handler in self._wildcards():
            covered = [cls for cls in self._table.events if cls not in self._table.reactions]
            self._table.reactions.update(dict.fromkeys(covered, handler))
        return self._table

    def _wildcards(self) -> Iterator[Handler]:
        found = [handler for handler in self._table.by_name.values() if handler.is_wildcard]
        if len(found) > 1:
            names = " and ".join(handler.name for handler in found)
            raise HandlerError(found[1].place, f"{names} both react to every event; join them")
        yield from found

    def _marks(self) -> dict[str, Mark]:
        """Collect handlers, the most derived last word first."""
        marks: dict[str, Mark] = {}
        for cls in reversed(self._cls.__mro__):
            for name, value in vars(cls).items():
                mark = mark_of(value)
                if mark is not None:
                    marks[name] = mark
                elif name in marks and value is None:
                    del marks[name]
                elif name in marks:
                    raise HandlerError(
                        f"{cls.__module__}.{cls.__qualname__}.{name}",
                        f"replaces a handler, so it needs @{marks[name].kind} too",
                    )
        for name, mark in marks.items():
            self._check_place(name, mark)
        return marks

    def _check_place(self, name: str, mark: Mark) -> None:
        if mark.kind not in self._kinds:
            allowed = " and ".join(f"@{kind}" for kind in sorted(self._kinds))
            raise HandlerError(
                place_of(mark.function),
                f"{self._kind_of_class()} has no @{mark.kind} handlers; it takes {allowed} "
                f"(@{mark.kind} belongs in {_HOMES[mark.kind]})",
            )
        if name in self._reserved:
            raise HandlerError(
                place_of(mark.function),
                f"{name!r} is a name of {self._kind_of_class()} itself; call the handler otherwise",
            )

    def _kind_of_class(self) -> str:
        return next(c.__name__ for c in self._cls.__mro__ if c.__module__.startswith("sourced."))

    def _inherited(self, name: str, mark: Mark) -> Handler | None:
        """Return what a parent has read of the same function, so that its messages are the same."""
        if mark.named:
            return None
        known = self._from_parents(name)
        return known if known is not None and known.function is mark.function else None

    def _from_parents(self, name: str) -> Handler | None:
        tables = [table_of(cls) for cls in self._cls.__mro__[1:]]
        found = (table.by_name.get(name) for table in tables if table is not None)
        return next((handler for handler in found if handler is not None), None)

    def _add(self, handler: Handler) -> None:
        self._table.by_name[handler.name] = handler
        known = self._table.of_kind(handler.kind)
        for message in handler.messages:
            if message in known:
                raise HandlerError(
                    handler.place,
                    f"{message.__name__} has a handler already, {known[message].name}; "
                    "a message has one handler of each kind",
                )
            known[message] = handler

    # --- one handler ------------------------------------------------------------------------------

    def _read(self, name: str, mark: Mark) -> Handler:
        parameters = parameters_of(mark.function)
        bare = _bare(name, mark)
        if mark.kind in ("command", "event"):
            self._check_plain(bare)
            if len(parameters.positional) == 1:
                return self._read_short(bare, parameters)
            self._check_count(bare, parameters, {2}, keywords=frozenset())
        elif mark.kind == "react":
            self._check_count(bare, parameters, {1, 2}, keywords=frozenset())
        else:
            self._check_count(bare, parameters, {1}, keywords=ON_KEYWORDS)
        takes_state = len(parameters.positional) == 2
        wants = frozenset(p.name for p in parameters.keywords)
        long = replace(bare, takes_state=takes_state, wants=wants)
        if mark.named:
            return replace(long, messages=tuple(self._named(long, one) for one in mark.named))
        return self._read_annotation(long, parameters.positional[-1])

    def _check_plain(self, handler: Handler) -> None:
        if handler.is_async:
            raise HandlerError(
                handler.place,
                f"@{handler.kind} handlers are plain functions, since they do no I/O; "
                "write `def`, and await in a reaction or in sync",
            )
        if handler.kind == "event" and inspect.isgeneratorfunction(handler.function):
            raise HandlerError(
                handler.place,
                "an event handler yields nothing: it changes the state or returns a new one; "
                "what follows from an event is a reaction (@react)",
            )

    def _check_count(
        self, handler: Handler, parameters: Parameters, counts: set[int], keywords: frozenset[str]
    ) -> None:
        strange = [p.name for p in parameters.keywords if p.name not in keywords]
        if len(parameters.positional) not in counts or strange:
            fits = _FITS[handler.kind].format(name=handler.name)
            what = f"the keyword {strange[0]!r}" if strange else "these parameters"
            raise HandlerError(handler.place, f"@{handler.kind} does not fit {what}; write {fits}")

    def _read_short(self, handler: Handler, parameters: Parameters) -> Handler:
        only = parameters.positional[0]
        if only.annotation is not only.empty:
            annotation = self._try_resolve(handler, parameters)
            if message_classes(annotation) is not None:
                fits = _FITS[handler.kind].format(name=handler.name)
                raise HandlerError(handler.place, f"the state is missing; write {fits}")
        fields = payload_fields(handler.function, parameters.keywords, self._cls, self._scope)
        known = self._from_parents(handler.name)
        if known is not None and known.kind == handler.kind and known.payload == fields:
            return replace(handler, messages=known.messages, payload=fields)
        kind = Command if handler.kind == "command" else Event
        message = define_message(self._cls, handler.name, kind, fields)
        return replace(handler, messages=(message,), payload=fields)

    def _try_resolve(self, handler: Handler, parameters: Parameters) -> Any:
        """Resolve the state's annotation, which may as well exist for type checkers only."""
        try:
            return resolved(handler.function, parameters.positional[0], self._cls, self._scope)
        except HandlerError:
            return None

    def _read_annotation(self, handler: Handler, parameter: inspect.Parameter) -> Handler:
        fits = _FITS[handler.kind].format(name=handler.name)
        if parameter.annotation is parameter.empty:
            raise HandlerError(
                handler.place,
                f"{parameter.name!r} needs an annotation, which says what is handled; write {fits}",
            )
        annotation = resolved(handler.function, parameter, self._cls, self._scope)
        if annotation is Event and handler.kind == "react":
            return replace(handler, is_wildcard=True)
        classes = message_classes(annotation)
        if classes is None or set(classes) & {Message, Command, Event}:
            raise HandlerError(
                handler.place,
                f"{parameter.name!r} is annotated with {describe(annotation)}, which is no message "
                f"class; write {fits}",
            )
        self._check_kinds(handler, classes)
        return replace(handler, messages=tuple(dict.fromkeys(classes)))

    def _check_kinds(self, handler: Handler, classes: Collection[type[Message]]) -> None:
        wanted = _KINDS[handler.kind]
        for cls in classes:
            if not issubclass(cls, wanted):
                raise HandlerError(
                    handler.place,
                    f"{cls.__name__} is {with_article(kind_word(cls))}; @{handler.kind} takes "
                    f"{wanted.__name__.lower()}s: {_FITS[handler.kind].format(name=handler.name)}",
                )
        if handler.kind == "command" and len(classes) > 1:
            raise HandlerError(
                handler.place, "a command handler decides one command; write several"
            )

    def _named(self, handler: Handler, named: Any) -> type[Message]:
        """Return the message class of what `@react(item_added)` names."""
        mark = mark_of(named)
        if mark is not None:
            for known in self._table.by_name.values():
                if known.kind == "event" and known.name == mark.function.__name__:
                    return known.messages[0]
        message = getattr(named, "message", named)
        if isinstance(message, type) and issubclass(message, Event):
            return message
        raise HandlerError(
            handler.place,
            f"@react({named!r}): name short-form event handlers of this class, "
            "or annotate the event",
        )

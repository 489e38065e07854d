"""What a handler's signature says: its messages, with or without state, in which form."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from sourced._annotations import Scope, UnresolvedNameError
from sourced._messages import Command, Event, Message
from sourced.errors import HandlerError

__all__ = [
    "Parameters",
    "describe",
    "kind_word",
    "message_classes",
    "parameters_of",
    "place_of",
    "resolved",
]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Parameters:
    """A handler's parameters without `self`.

    Attributes:
        positional: those that can be given by place.
        keywords: those that can only be given by name.
    """

    positional: tuple[inspect.Parameter, ...]
    keywords: tuple[inspect.Parameter, ...]


def place_of(function: Callable[..., Any]) -> str:
    """Return where a handler is, such as `shop.carts.Cart.add_item`."""
    name = getattr(function, "__qualname__", repr(function))
    return f"{getattr(function, '__module__', '?')}.{name}"


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """Read a handler's parameters.

    Raises:
        HandlerError: it takes `*args` or `**kwargs`, or not even `self`.
    """
    listed = list(_signature(function).parameters.values())
    if not listed or listed[0].kind not in _POSITIONAL:
        raise HandlerError(place_of(function), "a handler is a method: its first parameter is self")
    listed = listed[1:]
    stray = [p for p in listed if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if stray:
        raise HandlerError(
            place_of(function),
            f"a handler cannot take {stray[0]}: its parameters say what it handles",
        )
    return Parameters(
        tuple(p for p in listed if p.kind in _POSITIONAL),
        tuple(p for p in listed if p.kind is p.KEYWORD_ONLY),
    )


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        # Names that are not defined yet matter only for those annotations that are needed.
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)


def resolved(
    function: Callable[..., Any], parameter: inspect.Parameter, owner: type, scope: Scope
) -> Any:
    """Return what a parameter's annotation stands for.

    Raises:
        HandlerError: a name in it is not defined, or exists for type checkers only.
    """
    module: Mapping[str, Any] = getattr(inspect.unwrap(function), "__globals__", scope.module)
    try:
        if module is scope.module:
            return scope.resolve(parameter.annotation, owner)
        return Scope(dict(module), ()).resolve(parameter.annotation)
    except UnresolvedNameError as error:
        raise HandlerError(
            place_of(function), f"the annotation of {parameter.name!r}: {error}"
        ) from error
    except Exception as error:  # an annotation can be any expression
        raise HandlerError(
            place_of(function),
            f"the annotation of {parameter.name!r} is no type: {parameter.annotation!r} ({error})",
        ) from error


def message_classes(annotation: Any) -> Sequence[type[Message]] | None:
    """Return the message classes an annotation names, one or a union; None if it names others."""
    if get_origin(annotation) is Annotated:
        return message_classes(get_args(annotation)[0])
    if hasattr(annotation, "__value__"):  # `type Placed = A | B`
        return message_classes(annotation.__value__)
    if get_origin(annotation) in (Union, types.UnionType):
        found = [message_classes(argument) for argument in get_args(annotation)]
        if any(classes is None for classes in found):
            return None
        return [cls for classes in found if classes is not None for cls in classes]
    if isinstance(annotation, type) and issubclass(annotation, Message):
        return [annotation]
    return None


def describe(annotation: Any) -> str:
    """Return an annotation as it would be written."""
    if isinstance(annotation, TypeVar):
        return f"the type parameter {annotation.__name__}"
    return getattr(annotation, "__name__", None) or str(annotation)


def kind_word(cls: type[Message]) -> str:
    """Return which kind of message a class is."""
    if issubclass(cls, Command):
        return "command"
    return "event" if issubclass(cls, Event) else "message"

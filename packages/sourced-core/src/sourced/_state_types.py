"""What `Actor[State]` says of the state: its type, and how a first one is made."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, ForwardRef, TypeVar, Union, get_args, get_origin, is_typeddict

from sourced._annotations import UnresolvedNameError, scope_of
from sourced.errors import DefinitionError

__all__ = ["instance_check", "make_initial", "state_annotation"]


def state_annotation(cls: type, generic: type) -> Any:
    """Return what stands in the brackets of `Actor[State]`; None if nothing does, or a variable.

    Raises:
        DefinitionError: it is a name that is not defined.
    """
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if not (isinstance(origin, type) and issubclass(origin, generic)):
            continue
        argument = next(iter(get_args(base)), None)
        if isinstance(argument, ForwardRef):
            return _resolved(cls, argument.__forward_arg__)
        if not isinstance(argument, TypeVar):
            return type(None) if argument is None else argument
    inherited = (vars(base).get("_state_annotation") for base in cls.__mro__[1:])
    return next((annotation for annotation in inherited if annotation is not None), None)


def _resolved(cls: type, name: str) -> Any:
    try:
        return scope_of(cls.__module__, cls.__qualname__).resolve(name, cls)
    except UnresolvedNameError as error:
        raise DefinitionError(
            f"{cls.__module__}.{cls.__qualname__}", f"its state: {error}"
        ) from error


def instance_check(annotation: Any) -> Any:
    """Return what `isinstance` can check a state against; None if nothing can be said."""
    if hasattr(annotation, "__value__"):  # `type State = Open | Closed`
        return instance_check(annotation.__value__)
    if annotation is None or annotation is Any:
        return None
    if is_typeddict(annotation):
        return dict
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        parts = [instance_check(argument) for argument in get_args(annotation)]
        return None if any(part is None for part in parts) else tuple(parts)
    found = origin or annotation
    if found is float:  # an int is a float, to every type checker
        return (float, int)
    is_plain = isinstance(found, type) and not getattr(found, "_is_protocol", False)
    return found if is_plain else None


def make_initial(cls: type, annotation: Any) -> Callable[[str], Any]:
    """Return what makes a first state of a stream id: the state's class, with or without it.

    Raises:
        DefinitionError: the class needs other arguments.
    """
    made = get_origin(annotation) or annotation
    if made is type(None):
        return lambda _stream_id: None
    if not isinstance(made, type) or inspect.isabstract(made):
        raise _cannot(cls, annotation)
    try:
        signature = inspect.signature(made)
    except ValueError:  # some built-in classes have none; all of them can be empty
        return lambda _stream_id: made()
    if is_typeddict(made) or _fits(signature):
        return lambda _stream_id: made()
    if _fits(signature, "stream"):
        return made
    raise _cannot(cls, annotation)


def _fits(signature: inspect.Signature, *arguments: str) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _cannot(cls: type, annotation: Any) -> DefinitionError:
    name = getattr(annotation, "__name__", str(annotation))
    return DefinitionError(
        f"{cls.__module__}.{cls.__qualname__}",
        f"{name} can be made neither without arguments nor of a stream id; "
        f"define initial_state(self, stream_id) -> {name}",
    )

"""The short form: a handler's keyword-only parameters are a message class, which this makes."""

from __future__ import annotations

import copy
import inspect
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sourced._annotations import Scope
from sourced._messages import Command, Event, Message
from sourced._naming import camel_case, plain_name
from sourced._signatures import place_of, resolved
from sourced._type_names import default_name
from sourced.errors import DefinitionError, HandlerError

__all__ = ["PayloadParameter", "define_message", "payload_fields"]

_REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class PayloadParameter:
    """One keyword-only parameter, read as a field of the message."""

    name: str
    annotation: Any
    default: Any


def payload_fields(
    function: Callable[..., Any],
    parameters: Sequence[inspect.Parameter],
    owner: type,
    scope: Scope,
) -> tuple[PayloadParameter, ...]:
    """Read keyword-only parameters as fields.

    Raises:
        HandlerError: one has no annotation, or one that means nothing.
    """
    for parameter in parameters:
        if parameter.annotation is _REQUIRED:
            raise HandlerError(
                place_of(function),
                f"the payload's {parameter.name!r} needs a type: write `{parameter.name}: str` "
                "or whatever it holds",
            )
    return tuple(
        PayloadParameter(p.name, resolved(function, p, owner, scope), p.default) for p in parameters
    )


def define_message(
    owner: type, name: str, kind: type[Command | Event], fields: Sequence[PayloadParameter]
) -> type[Message]:
    """Make the message class of a short-form handler, and set it on the class as an attribute.

    For `add_item` of `Cart` this is `Cart.AddItem` with the type `cart.add_item`.

    Raises:
        DefinitionError: the class has another attribute of that name, or a field is refused.
    """
    class_name = camel_case(name)
    taken = getattr(owner, class_name, None)
    if taken is not None and not (isinstance(taken, type) and issubclass(taken, Message)):
        raise DefinitionError(
            f"{owner.__module__}.{owner.__qualname__}",
            f"{name} defines the message class {class_name}, but {class_name} is {taken!r} here; "
            "rename one of them",
        )

    def body(namespace: dict[str, Any]) -> None:
        namespace["__module__"] = owner.__module__
        namespace["__qualname__"] = f"{owner.__qualname__}.{class_name}"
        namespace["__doc__"] = f"What `{plain_name(owner)}.{name}` handles."
        namespace["__annotations__"] = {f.name: f.annotation for f in fields}
        namespace.update((f.name, _default(f)) for f in fields if f.default is not _REQUIRED)

    type_name = f"{default_name(owner.__qualname__)}.{name}"
    message: type[Message] = types.new_class(class_name, (kind,), {"type": type_name}, body)
    setattr(owner, class_name, message)
    return message


def _default(payload_field: PayloadParameter) -> Any:
    default = payload_field.default
    if isinstance(default, list | dict | set):  # every message gets its own
        return field(default_factory=lambda: copy.deepcopy(default))
    return default

"""From an annotation to the node that reads and writes its values."""

from __future__ import annotations

import types as python_types
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, InitVar, fields, is_dataclass, replace
from enum import Enum
from typing import Annotated, Any, Literal, NewType, TypeVar, Union, get_args, get_origin

from sourced._annotations import Scope
from sourced._codec._choices import enum_node, literal_node
from sourced._codec._collections import (
    dict_node,
    fixed_tuple_node,
    json_value_node,
    list_node,
    set_node,
    tuple_node,
)
from sourced._codec._constraints import annotated_node
from sourced._codec._node import ALL_JSON, Node, UnsupportedError
from sourced._codec._records import (
    REQUIRED,
    Default,
    Member,
    Record,
    constant,
    member_of,
    record_node,
    typed_dict_node,
)
from sourced._codec._scalars import SCALARS
from sourced._codec._unions import union_node
from sourced._naming import with_article

__all__ = ["Compiler", "default_of"]

SUPPORTED = (
    "str, int, float, bool, None, Decimal, datetime, date, time, timedelta, UUID, bytes, Enum, "
    "Literal, Optional and unions, list, tuple, set, frozenset, dict[str, …], dataclasses, "
    "TypedDict, NamedTuple, NewType, Annotated and Any (plain JSON)"
)

_QUALIFIERS = ("Required", "NotRequired", "ReadOnly")


class Compiler:
    """Compiles the annotations of one message class.

    Args:
        scope: the names around its definition.
        closed: unknown keys of untrusted input are problems, also in nested objects.
    """

    def __init__(self, scope: Scope, *, closed: bool) -> None:
        self._scope = scope
        self._closed = closed
        self._classes: dict[Any, Node] = {}

    def node(self, annotation: Any) -> Node:
        """Return the node of a resolved annotation.

        Raises:
            UnsupportedError: there is none; says what there is.
            UnresolvedNameError: a class within uses a name that is not defined yet.
        """
        if annotation is None:
            return SCALARS[type(None)]
        if annotation is Any:
            return json_value_node()
        origin = get_origin(annotation)
        if origin is not None:
            return self._generic(annotation, origin)
        if isinstance(annotation, NewType):
            return self.node(annotation.__supertype__)
        if type(annotation).__name__ == "TypeAliasType":
            return self._class(annotation, lambda: self._alias(annotation))
        if isinstance(annotation, type):
            return self._plain(annotation)
        raise _unsupported(annotation)

    def _plain(self, python: type) -> Node:
        if python in SCALARS:
            return SCALARS[python]
        if python is list:
            return list_node(json_value_node())
        if python is dict:
            return dict_node(SCALARS[str], json_value_node())
        if issubclass(python, Enum):
            return enum_node(python)
        if typing.is_typeddict(python) or _is_extension_typed_dict(python):
            return self._class(python, lambda: self._typed_dict(python))
        if issubclass(python, tuple) and hasattr(python, "_fields"):
            return self._class(python, lambda: self._named_tuple(python))
        if is_dataclass(python):
            return self._class(python, lambda: self._dataclass(python))
        raise _unsupported(python)

    def _generic(self, annotation: Any, origin: Any) -> Node:
        arguments = get_args(annotation)
        if origin is Annotated:
            return annotated_node(self.node(arguments[0]), arguments[1:])
        if origin is Literal:
            return literal_node(arguments)
        if origin is Union or origin is python_types.UnionType:
            return union_node([self.node(argument) for argument in arguments])
        if origin is list:
            return list_node(self.node(arguments[0]))
        if origin in (set, frozenset):
            return set_node(origin, self.node(arguments[0]))
        if origin is dict:
            return dict_node(self.node(arguments[0]), self.node(arguments[1]))
        if origin is tuple:
            return self._tuple(arguments)
        raise _unsupported(annotation)

    def _tuple(self, arguments: tuple[Any, ...]) -> Node:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple_node(self.node(arguments[0]))
        return fixed_tuple_node([self.node(argument) for argument in arguments])

    # --- classes, which may refer to themselves ---------------------------------------------------

    def _class(self, key: Any, build: Callable[[], Node]) -> Node:
        if key not in self._classes:
            self._classes[key] = _reference(key, self._classes)
            self._classes[key] = build()
        return self._classes[key]

    def _alias(self, alias: Any) -> Node:
        node = self.node(self._scope.resolve(alias.__value__))
        inner = node.describe
        return replace(node, describe=lambda known: known.refer(alias, alias.__name__, inner))

    def _dataclass(self, python: type) -> Node:
        stored = [field for field in fields(python) if field.init]
        _refuse_init_variables(python)
        members = [
            self._inner(python, field.name, self._annotation(python, field), default_of(field))
            for field in stored
        ]
        names = [field.name for field in stored]
        return record_node(
            self._record(members),
            python,
            take_apart=lambda value: {name: getattr(value, name) for name in names},
            hashable=_is_hashable(python) and all(m.node.hashable for m in members),
            bounded=all(member.node.bounded for member in members),
        )

    def _annotation(self, python: type, field: Field[Any]) -> Any:
        return self._scope.resolve(field.type, owner_of(python, field.name))

    def _named_tuple(self, python: Any) -> Node:
        defaults = python._field_defaults
        members = [
            self._inner(
                python,
                name,
                self._scope.resolve(python.__annotations__.get(name, Any), python),
                constant(defaults[name]) if name in defaults else REQUIRED,
            )
            for name in python._fields
        ]
        return record_node(
            self._record(members),
            python,
            take_apart=lambda value: value._asdict(),
            hashable=all(member.node.hashable for member in members),
            bounded=all(member.node.bounded for member in members),
        )

    def _typed_dict(self, python: Any) -> Node:
        members = []
        for name, annotation in python.__annotations__.items():
            resolved = self._scope.resolve(annotation, python)
            bare, is_required = _unqualified(resolved, name in python.__required_keys__)
            members.append(self._inner(python, name, bare, REQUIRED if is_required else None))
        bounded = all(member.node.bounded for member in members)
        return typed_dict_node(self._record(members), python, bounded=bounded)

    def _inner(self, python: type, name: str, annotation: Any, default: Default | None) -> Member:
        try:
            return member_of(name, self.node(annotation), default)
        except UnsupportedError as unsupported:
            raise UnsupportedError(f"{python.__name__}.{name}: {unsupported}") from None

    def _record(self, members: list[Member]) -> Record:
        return Record(tuple(members), closed=self._closed)


def default_of(field: Field[Any]) -> Default:
    """Return the default of a dataclass's field, `REQUIRED` if it has none."""
    if field.default_factory is not MISSING:
        return Default(field.default_factory)
    return REQUIRED if field.default is MISSING else constant(field.default)


def owner_of(python: type, name: str) -> type:
    """Return the class that annotates a field: the one itself, or a parent."""
    return next(c for c in python.__mro__ if name in vars(c).get("__annotations__", {}))


def _reference(key: Any, classes: dict[Any, Node]) -> Node:
    """Return a node that stands for a class while it is being compiled.

    Whoever refers to it asks it later, when the class has its own node.
    """
    is_record = isinstance(key, type)

    def later(verb: str) -> Callable[[Any], Any]:
        def ask(value: Any) -> Any:
            return getattr(classes[key], verb)(value)

        return ask

    return Node(
        what=with_article(key.__name__),
        encode=later("encode"),
        decode=later("decode"),
        parse=later("parse"),
        describe=later("describe"),
        python=None if not is_record else dict if issubclass(key, dict) else key,
        json=frozenset({dict}) if is_record else ALL_JSON,
        keys=_keys_of(key) if is_record else None,
        hashable=is_record and _is_hashable(key),
        bounded=False,
    )


def _is_hashable(python: Any) -> bool:
    return python.__hash__ is not None


def _keys_of(python: Any) -> frozenset[str]:
    if is_dataclass(python):
        return frozenset(field.name for field in fields(python) if field.init)
    return frozenset(getattr(python, "_fields", python.__annotations__))


def _unqualified(annotation: Any, is_required: bool) -> tuple[Any, bool]:
    """Return the annotation of a typed dict's key without qualifiers, and if it must be there."""
    name = getattr(get_origin(annotation), "_name", None) or getattr(
        get_origin(annotation), "__name__", None
    )
    if get_origin(annotation) is Annotated or name not in _QUALIFIERS:
        return annotation, is_required
    is_required = {"Required": True, "NotRequired": False}.get(name, is_required)
    return _unqualified(get_args(annotation)[0], is_required)


def _is_extension_typed_dict(python: type) -> bool:
    return type(python).__name__ == "_TypedDictMeta"


def _refuse_init_variables(python: type) -> None:
    for name, field in python.__dataclass_fields__.items():  # type: ignore[attr-defined]
        if (
            isinstance(field.type, InitVar)
            or getattr(field._field_type, "name", "") == "_FIELD_INITVAR"
        ):
            raise UnsupportedError(f"{python.__name__}.{name} is an InitVar, which is not kept")


def _unsupported(annotation: Any) -> UnsupportedError:
    name = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
    text = name or str(annotation).replace("typing.", "")
    if hasattr(annotation, "__struct_fields__"):
        hint = "for msgspec's types, define the message with schema=MsgspecSchema"
    elif hasattr(annotation, "__get_pydantic_core_schema__"):
        hint = "for pydantic's types, define the message with schema=PydanticSchema"
    elif isinstance(annotation, TypeVar):
        hint = "give a generic class its types"
    else:
        hint = f"supported are {SUPPORTED}"
    return UnsupportedError(f"the type {text} is not supported; {hint}")

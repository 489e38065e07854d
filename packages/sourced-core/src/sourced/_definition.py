"""What the statement of a message class means: its fields, its type name, its schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from sourced._annotations import Scope, UnresolvedNameError, scope_of
from sourced._codec import default_of, owner_of
from sourced._schema import BuiltinSchema, Extra, PayloadField, PayloadShape, Schema, SchemaFactory
from sourced._type_names import checked_name, default_name
from sourced.errors import DefinitionError

__all__ = ["Definition", "define"]


class Definition:
    """One message class: how it is called in storage, and how its payload is read and written.

    Attributes:
        type: its name in storage.
        was: its former names.
        extra: what parsing does with unknown keys.
        factory: what makes its schema.
        names: its fields.
        shown: its fields that `repr` shows.
        make: makes an instance of all its fields' values, without the constructor if it can.
    """

    def __init__(
        self, cls: Any, *, type: str, was: tuple[str, ...], extra: Extra, factory: SchemaFactory
    ) -> None:
        self.type = type
        self.was = was
        self.extra = extra
        self.factory = factory
        fields = dataclasses.fields(cls)
        self.names = tuple(field.name for field in fields)
        self.shown = tuple(field.name for field in fields if field.repr)
        self.make = _maker(cls)
        self._cls = cls
        self._doc = _own_doc(cls)
        self._scope: Scope | None = scope_of(cls.__module__, cls.__qualname__)
        self._schema: Schema | None = None

    @property
    def schema(self) -> Schema:
        """What reads and writes the payload.

        It is made with the class if every name in the annotations is defined by then, and
        otherwise when it is first needed.

        Raises:
            DefinitionError: a name is still not defined, or a type cannot be stored.
        """
        if self._schema is None:
            try:
                self._schema = self._build()
            except UnresolvedNameError as error:
                raise DefinitionError(self._cls.__qualname__, str(error)) from error
            self._scope = None
        return self._schema

    def try_early(self) -> None:
        """Make the schema unless it needs names that may be defined later.

        Raises:
            DefinitionError: a type cannot be stored, or a name will never be defined.
        """
        try:
            self._schema = self._build()
            self._scope = None
        except UnresolvedNameError as error:
            if error.type_checking_only:
                raise DefinitionError(self._cls.__qualname__, str(error)) from error

    def _build(self) -> Schema:
        assert self._scope is not None
        scope = self._scope
        fields = tuple(self._field(field, scope) for field in dataclasses.fields(self._cls))
        return self.factory(
            PayloadShape(
                name=self._cls.__name__,
                type=self.type,
                doc=self._doc,
                fields=fields,
                extra=self.extra,
                scope=scope,
            )
        )

    def _field(self, field: dataclasses.Field[Any], scope: Scope) -> PayloadField:
        try:
            annotation = scope.resolve(field.type, owner_of(self._cls, field.name))
        except (TypeError, SyntaxError, AttributeError) as error:
            where = f"{self._cls.__qualname__}.{field.name}"
            raise DefinitionError(where, f"its annotation is no type: {error}") from error
        return PayloadField(name=field.name, annotation=annotation, default=default_of(field))


def define(
    cls: Any,
    base: Any,
    *,
    type: str | None,
    was: Iterable[str],
    extra: Extra | None,
    schema: SchemaFactory | None,
) -> Definition:
    """Turn a message class into a dataclass of its payload and return its definition.

    Options that are not given are those of the class it inherits from.

    Raises:
        DefinitionError: anything about the class is wrong; it then has no place in any registry.
    """
    where = cls.__qualname__
    _refuse_reserved(cls, base)
    _make_dataclass(cls)
    inherited: Definition | None = getattr(cls, "__message__", None)
    definition = Definition(
        cls,
        type=checked_name(default_name(where) if type is None else type, where),
        was=_former_names(was, where),
        extra=extra or (inherited.extra if inherited else "forbid"),
        factory=schema or (inherited.factory if inherited else BuiltinSchema),
    )
    if definition.extra not in ("forbid", "ignore"):
        raise DefinitionError(where, f"extra is 'forbid' or 'ignore', not {extra!r}")
    definition.try_early()
    return definition


def _former_names(was: Iterable[str], where: str) -> tuple[str, ...]:
    if isinstance(was, str):
        raise DefinitionError(where, f"was is a tuple of former names: was=({was!r},)")
    return tuple(checked_name(name, where) for name in was)


def _refuse_reserved(cls: Any, base: Any) -> None:
    public = [name for name in vars(base) if not name.startswith("_")]
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        where = f"{cls.__qualname__}.{name}"
        if name in public:
            listed = ", ".join(public)
            raise DefinitionError(
                where,
                f"{name!r} is reserved: every message has {listed}; give the field another name",
            )
        if name.startswith("_") and "ClassVar" not in str(annotation):
            raise DefinitionError(
                where,
                "names that begin with an underscore are reserved; give the field another name",
            )


def _make_dataclass(cls: Any) -> None:
    where = cls.__qualname__
    documented = cls.__doc__
    try:
        dataclasses.dataclass(frozen=True, kw_only=True, repr=False)(cls)
    except (TypeError, ValueError) as error:
        raise DefinitionError(where, str(error)) from error
    cls.__doc__ = documented
    for field in dataclasses.fields(cls):
        if not field.init:
            raise DefinitionError(
                f"{where}.{field.name}", "every field is payload: init=False is not"
            )


def _own_doc(cls: Any) -> str | None:
    import inspect

    text: str | None = vars(cls).get("__doc__")
    return inspect.cleandoc(text) if text else None


def _maker(cls: Any) -> Callable[[dict[str, Any]], Any]:
    if hasattr(cls, "__post_init__"):
        return lambda values: cls(**values)
    new = object.__new__

    def make(values: dict[str, Any]) -> Any:
        message = new(cls)
        message.__dict__.update(values)
        return message

    return make

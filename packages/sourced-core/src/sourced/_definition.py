"""What the statement of a message class means: its fields, its type name, its schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from typing import Any, get_args

from sourced._annotations import Scope, UnresolvedNameError, scope_of
from sourced._codec import default_of, owner_of
from sourced._problems import WHOLE
from sourced._schema import BuiltinSchema, Extra, PayloadField, PayloadShape, Schema, SchemaFactory
from sourced._type_names import checked_name, default_name
from sourced.errors import DefinitionError, PayloadError

__all__ = ["Definition", "define"]

DEFAULT_EXTRA: Extra = "forbid"


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
        self.extra: Extra = extra
        self.factory = factory
        fields = dataclasses.fields(cls)
        self.names: tuple[str, ...] = tuple(field.name for field in fields)
        self.shown: tuple[str, ...] = tuple(field.name for field in fields if field.repr)
        self.make: Callable[[dict[str, Any]], Any] = _maker(cls, type)
        self._cls = cls
        self._doc = _own_doc(cls)
        self._scope: Scope | None = scope_of(cls.__module__, cls.__qualname__)
        self._schema: Schema | None = None

    @property
    def schema(self) -> Schema:
        """What reads and writes the payload.

        It is made with the class if every name in the annotations is defined by then, and
        otherwise when it is first needed: for the first message, or when a group that handles the
        class is announced.

        Raises:
            DefinitionError: a name is still not defined, or a type cannot be stored.
        """
        if self._schema is None:
            scope = self._scope
            try:
                self._settle(scope)
            except UnresolvedNameError as error:
                raise self._named(error, scope) from error
        assert self._schema is not None
        return self._schema

    def try_early(self) -> None:
        """Make the schema unless it needs names that may be defined later.

        Raises:
            DefinitionError: a type cannot be stored, or a name will never be defined.
        """
        try:
            self._settle(self._scope)
        except UnresolvedNameError as error:
            if error.type_checking_only:
                raise self._named(error, self._scope) from error
            for field in dataclasses.fields(self._cls):  # the others are told about now
                with suppress(UnresolvedNameError):
                    self._build(self._scope, [field])
            self._settle_with_the_first_message()

    def _settle_with_the_first_message(self) -> None:
        """Let the constructor make the schema once; then it is again what it was, at no cost."""
        cls, construct = self._cls, self._cls.__init__

        @wraps(construct)
        def settle_and_construct(message: Any, /, *args: Any, **values: Any) -> None:
            _ = self.schema
            cls.__init__ = construct
            construct(message, *args, **values)

        cls.__init__ = settle_and_construct

    def _named(self, error: UnresolvedNameError, scope: Scope | None) -> DefinitionError:
        """Return what is told of a name that is not defined: with its field."""
        where = self._cls.__qualname__
        for field in dataclasses.fields(self._cls):
            try:
                self._build(scope, [field])
            except UnresolvedNameError as found:
                return DefinitionError(f"{where}.{field.name}", str(found))
        return DefinitionError(where, str(error))

    def _settle(self, scope: Scope | None) -> None:
        if scope is not None:  # else another thread has settled it meanwhile
            self._schema = self._build(scope, dataclasses.fields(self._cls))
            self._scope = None

    def _build(self, scope: Scope | None, fields: Iterable[dataclasses.Field[Any]]) -> Schema:
        assert scope is not None
        return self.factory(
            PayloadShape(
                name=self._cls.__name__,
                type=self.type,
                doc=self._doc,
                fields=tuple(self._field(field, scope) for field in fields),
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
        extra=_checked_extra(extra, where) or (inherited.extra if inherited else DEFAULT_EXTRA),
        factory=schema or (inherited.factory if inherited else BuiltinSchema),
    )
    definition.try_early()
    return definition


def _checked_extra(extra: Extra | None, where: str) -> Extra | None:
    if extra is None or extra in get_args(Extra):
        return extra
    raise DefinitionError(where, f"extra is 'forbid' or 'ignore', not {extra!r}")


def _former_names(was: Iterable[str], where: str) -> tuple[str, ...]:
    if isinstance(was, str):
        raise DefinitionError(where, f"was is a tuple of former names: was=({was!r},)")
    return tuple(checked_name(name, where) for name in was)


def _refuse_reserved(cls: Any, base: Any) -> None:
    public = [name for name in vars(base) if not name.startswith("_")]
    own = [parent for parent in cls.__mro__ if parent not in base.__mro__]
    for name in ("meta", "payload"):
        if name in vars(cls):
            raise _reserved(f"{cls.__qualname__}.{name}", public)
    for name, annotation in ((n, a) for c in own for n, a in _annotations(c).items()):
        where = f"{cls.__qualname__}.{name}"
        if name in public:
            raise _reserved(where, public)
        if name.startswith("_") and "ClassVar" not in str(annotation):
            raise DefinitionError(
                where,
                "names that begin with an underscore are reserved; name the field differently",
            )


def _reserved(where: str, names: Iterable[str]) -> DefinitionError:
    listed = ", ".join(names)
    text = f"the name is reserved: every message has {listed}; name the field differently"
    return DefinitionError(where, text)


def _annotations(cls: Any) -> dict[str, Any]:
    found: dict[str, Any] = vars(cls).get("__annotations__", {})
    return {} if cls.__module__ == "sourced._message" else found


def _make_dataclass(cls: Any) -> None:
    where = cls.__qualname__
    documented = cls.__doc__
    try:
        dataclasses.dataclass(frozen=True, kw_only=True, repr=False)(cls)
    except (TypeError, ValueError) as error:
        raise DefinitionError(where, str(error)) from error
    cls.__doc__ = documented
    stored = [field.name for field in dataclasses.fields(cls) if field.init]
    for name in cls.__dataclass_fields__:
        if name not in stored and not _is_class_variable(cls, name):
            raise DefinitionError(
                f"{where}.{name}", "every field is payload: it cannot be an InitVar or init=False"
            )


def _is_class_variable(cls: Any, name: str) -> bool:
    kind = cls.__dataclass_fields__[name]._field_type
    return getattr(kind, "name", "") == "_FIELD_CLASSVAR"


def _own_doc(cls: Any) -> str | None:
    import inspect

    text: str | None = vars(cls).get("__doc__")
    return inspect.cleandoc(text) if text else None


def _maker(cls: Any, type: str) -> Callable[[dict[str, Any]], Any]:
    new = object.__new__

    def make(values: dict[str, Any]) -> Any:
        message = new(cls)
        message.__dict__.update(values)
        return message

    def construct(values: dict[str, Any]) -> Any:
        try:
            return cls(**values)
        except (ValueError, TypeError) as error:  # the class checks its own values
            raise PayloadError(type, {WHOLE: [str(error)]}) from error

    return construct if hasattr(cls, "__post_init__") else make

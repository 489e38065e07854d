"""Which class a stored type name means: the registry of message classes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from weakref import WeakValueDictionary

from sourced.errors import DefinitionError, DuplicateTypeError

__all__ = ["MAX_NAME", "TypeNames", "checked_name", "default_name"]

MAX_NAME = 255
"""How many characters a type name may have; stores index it."""

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LOCALS = ".<locals>."


def default_name(qualname: str) -> str:
    """Return the type name of a class that names none: `Cart.AddItem` → `cart.add_item`."""
    return _WORD_START.sub("_", qualname.replace(_LOCALS, ".")).lower()


def checked_name(name: object, where: str) -> str:
    """Return a type name that every store can hold.

    Raises:
        DefinitionError: it is no text, empty, too long, or has characters that cannot be seen.
    """
    if not isinstance(name, str):
        raise DefinitionError(where, f"its type must be a text, not {name!r}")
    if not name or name != name.strip() or not name.isprintable():
        raise DefinitionError(
            where, f"its type {name!r} must be visible text such as 'carts.add_item'"
        )
    if len(name) > MAX_NAME:
        raise DefinitionError(
            where, f"its type has {len(name)} characters, the limit is {MAX_NAME}"
        )
    return name


class TypeNames:
    """Finds classes by type name, former names included.

    Classes are held weakly: one that nobody can reach any more, such as a class local to a test,
    is forgotten, and its name is free again.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._classes: WeakValueDictionary[str, type] = WeakValueDictionary()

    def add(self, cls: type, names: Iterable[str]) -> None:
        """Make a class known under its names; a class of the same place in the code is replaced.

        Raises:
            DuplicateTypeError: another class has one of the names; nothing is changed.
        """
        names = tuple(names)
        with self._lock:
            for name in names:
                self._refuse_duplicate(cls, name)
            self._classes.update((name, cls) for name in names)

    def find(self, name: object) -> type | None:
        """Return the class of a present or former name; what comes from outside may be no text."""
        return self._classes.get(name) if isinstance(name, str) else None

    def items(self) -> Iterator[tuple[str, type]]:
        """Give names with their classes, in the order of definition."""
        with self._lock:
            return iter(list(self._classes.items()))

    def _refuse_duplicate(self, cls: type, name: str) -> None:
        other = self._classes.get(name)
        if other is None or _is_same_place(cls, other):
            return
        if _LOCALS in other.__qualname__:
            del other
            if not self._survives_collection(name):
                return
            other = self._classes[name]
        raise DuplicateTypeError(cls.__qualname__, _sentence(cls, other, name))

    def _survives_collection(self, name: str) -> bool:
        # Classes are parts of reference cycles: a local one lives on until it is collected.
        import gc

        gc.collect()
        return name in self._classes


def _is_same_place(cls: type, other: type) -> bool:
    return (cls.__module__, cls.__qualname__) == (other.__module__, other.__qualname__)


def _sentence(cls: type, other: type, name: str) -> str:
    text = (
        f"the type {name!r} is already that of {other.__module__}.{other.__qualname__}; "
        "give one of them another type="
    )
    if "__main__" in (cls.__module__, other.__module__) and cls.__qualname__ == other.__qualname__:
        return f"{text}; if this is one file that is run and imported, run another that imports it"
    return text

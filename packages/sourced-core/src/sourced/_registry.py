"""What an app has registered: reactors by group, and which of them handle a message class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sourced._messages import Message
from sourced._naming import nearest
from sourced._store import BEGINNING, Start
from sourced.errors import RegistrationError, UnknownGroupError

__all__ = ["Registered", "Registry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A reactor with its group.

    Attributes:
        key: what the user registered (a class or an instance), to be named by it later.
        reactor: what handles batches.
        types: the type strings it handles, former names included.
        decides: the command classes it decides.
        evolved_types: the type strings its state is made of.
    """

    key: Any
    reactor: Any
    group: str
    handles: frozenset[type[Message]]
    types: frozenset[str]
    decides: frozenset[type[Message]]
    evolved_types: frozenset[str] = frozenset()
    start: Start = BEGINNING
    was: tuple[str, ...] = field(default=())

    def takes(self, message: type[Message]) -> bool:
        """Return whether a message class, or one it is derived from, is handled."""
        return message in self.handles or any(issubclass(message, cls) for cls in self.handles)

    def setting(self, name: str, default: Any) -> Any:
        """Return an optional attribute of the reactor."""
        value = getattr(self.reactor, name, None)
        return default if value is None else value


class Registry:
    """The reactors of one app."""

    def __init__(self) -> None:
        self._by_group: dict[str, Registered] = {}

    def __iter__(self) -> Iterator[Registered]:
        return iter(tuple(self._by_group.values()))

    def __len__(self) -> int:
        return len(self._by_group)

    def __contains__(self, group: str) -> bool:
        return group in self._by_group

    def add(self, entry: Registered) -> bool:
        """Add a reactor; False if this very one is there already.

        Raises:
            RegistrationError: another reactor has its group, or decides one of its commands.
        """
        known = self._by_group.get(entry.group)
        if known is not None:
            if known.key is entry.key:
                return False
            raise RegistrationError(
                f"group {entry.group!r} is taken by {_name(known.key)}; give {_name(entry.key)} "
                'another: class …(…, group="another name")'
            )
        for command in entry.decides:
            rival = self.decider_of(command)
            if rival is not None:
                raise RegistrationError(
                    f"{command.__name__} is decided by {_name(rival.key)} already, "
                    f"so {_name(entry.key)} cannot decide it too; a command has one decider"
                )
        self._by_group[entry.group] = entry
        return True

    def decider_of(self, command: type[Message]) -> Registered | None:
        """Return who decides a command class."""
        return next((e for e in self if any(issubclass(command, c) for c in e.decides)), None)

    def handlers_of(self, message: type[Message]) -> list[Registered]:
        """Return who handles a message class, in order of registration."""
        return [entry for entry in self if entry.takes(message)]

    def of(self, reactor: Any) -> Registered:
        """Return the entry of a reactor class, an instance, or a group's name.

        Raises:
            UnknownGroupError: it is not registered here.
        """
        if isinstance(reactor, str):
            found = self._by_group.get(reactor)
        else:
            found = next((e for e in self if e.key is reactor or type(e.key) is reactor), None)
        if found is None:
            if isinstance(reactor, str):
                raise UnknownGroupError(reactor, nearest(reactor, self._by_group))
            raise UnknownGroupError(_name(reactor))
        return found


def _name(key: Any) -> str:
    return getattr(key, "__qualname__", None) or type(key).__qualname__

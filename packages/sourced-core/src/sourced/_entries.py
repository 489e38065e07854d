"""Reads off a reactor what the registry has to know of it."""

from __future__ import annotations

from typing import Any

from sourced._arguments import check_group, checked_start
from sourced._errors_policy import policy_problem
from sourced._messages import Message, stored_types
from sourced._registry import Registered
from sourced._store import Start
from sourced.errors import RegistrationError

__all__ = ["check_messages", "entry_of"]


def entry_of(key: Any, start: Start) -> Registered:
    """Return the entry of a reactor class or instance.

    Raises:
        RegistrationError: it is no reactor, or its group cannot be called so or start there; says
            what is missing or wrong.
    """
    reactor = _reactor(key)
    group = getattr(reactor, "group", None)
    handles = getattr(reactor, "handles", None)
    if not isinstance(group, str) or not group:
        raise RegistrationError(_not_a_reactor(key, "`group`, its name"))
    was = tuple(getattr(reactor, "former_groups", ()))
    check_group(group, was)
    if handles is None or not callable(getattr(reactor, "handle_batch", None)):
        raise RegistrationError(
            _not_a_reactor(key, "`handles` (message classes) and `handle_batch(batch)`")
        )
    classes = frozenset(handles)
    for message in classes:
        if not (isinstance(message, type) and issubclass(message, Message)):
            raise RegistrationError(
                f"group {group!r} handles {message!r}, which is no message class"
            )
    policy = getattr(reactor, "error_policy", None)
    if policy is not None and (problem := policy_problem(policy)) is not None:
        raise RegistrationError(f"group {group!r}: its error_policy {problem}")
    if not classes:
        raise RegistrationError(
            f"group {group!r} handles no message; give {_name(key)} a handler: "
            "@command, @event, @react or @on"
        )
    return Registered(
        key=key,
        reactor=reactor,
        group=group,
        handles=classes,
        types=stored_types(classes),
        decides=frozenset(getattr(reactor, "decides", ())),
        evolved_types=stored_types(getattr(reactor, "evolves", ())),
        start=checked_start(start),
        was=was,
    )


def check_messages(entry: Registered) -> None:
    """Refuse a group whose messages could not be read, before it is given any.

    Raises:
        DefinitionError: a field's annotation uses a name that is still not defined.
    """
    for message in {*entry.handles, *getattr(entry.reactor, "evolves", ())}:
        if hasattr(message, "__message__"):  # a kind of messages has none
            _ = message.__message__.schema


def _reactor(key: Any) -> Any:
    if not isinstance(key, type):
        return key
    make = getattr(key, "prototype", None)
    try:
        return make() if callable(make) else key()
    except TypeError as error:
        raise RegistrationError(
            f"{_name(key)} cannot be made without arguments ({error}); "
            f"register an instance: app.register({_name(key)}(…))"
        ) from error


def _not_a_reactor(key: Any, missing: str) -> str:
    return (
        f"{_name(key)} is no reactor: it lacks {missing}; register an Actor, a projector, "
        "a Reactor, or anything that fits the reactor protocol"
    )


def _name(key: Any) -> str:
    return getattr(key, "__qualname__", None) or type(key).__qualname__

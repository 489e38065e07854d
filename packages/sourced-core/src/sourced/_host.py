"""Who performs the commands of actors in a console: the link from an actor class to its app.

The app is above the actors, so they know it by this protocol only; `register` notes it here.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sourced._batch import StreamReader
from sourced._messages import Message
from sourced.errors import UsageError

__all__ = ["Host", "forget_host", "host_of", "note_host", "provide_default"]


class Host(Protocol):
    """An app, as an actor in a console sees it."""

    def handle(self, command: Message, *, to: str) -> Sequence[Message]:
        """Handle one command now and return its events."""
        ...

    def reader(self, reactor: Any, stream_id: str) -> StreamReader:
        """Give a reader of a stream, without the cache."""
        ...


_hosts: weakref.WeakKeyDictionary[type, list[weakref.ref[Any]]] = weakref.WeakKeyDictionary()
_default: Callable[[type], Host] | None = None


def provide_default(provider: Callable[[type], Host]) -> None:
    """Say who performs for classes that are registered with no app."""
    global _default  # noqa: PLW0603 - set once, by the module above
    _default = provider


def note_host(actor: type, host: Host) -> None:
    """Remember, weakly, that a class is registered with an app."""
    refs = [ref for ref in _hosts.get(actor, []) if ref() is not None]
    if all(ref() is not host for ref in refs):
        refs.append(weakref.ref(host))
    _hosts[actor] = refs


def forget_host(host: Host) -> None:
    """Forget an app that was closed."""
    for actor, refs in list(_hosts.items()):
        _hosts[actor] = [ref for ref in refs if ref() is not None and ref() is not host]


def host_of(actor: type) -> Host:
    """Return the one app of a class, or the default for classes of none.

    Raises:
        UsageError: the class is registered with several live apps.
    """
    live = [host for ref in _hosts.get(actor, []) if (host := ref()) is not None]
    if len(live) > 1:
        name = actor.__name__
        raise UsageError(
            f"{name} is registered with {len(live)} apps; say which: "
            f'app.load({name}, "x") or {name}("x", app=app)'
        )
    if live:
        return live[0]  # type: ignore[no-any-return]  # weak references to `Any`
    if _default is None:
        raise UsageError(f"{actor.__name__} is registered with no app; import sourced first")
    return _default(actor)

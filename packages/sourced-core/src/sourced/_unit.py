"""Runs a whole chain command → events → reactions → … in memory and writes it at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sourced._chain import Step
from sourced._handle_now import HandleNow
from sourced._messages import Message, decode
from sourced._records import StoredMessage
from sourced.errors import UsageError

if TYPE_CHECKING:
    from sourced._app import App

__all__ = ["Unit", "UnitResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitResult:
    """What a unit wrote.

    Attributes:
        messages: all of it, in order, with their places.
        events: group → what its reactor added, in order.
    """

    messages: tuple[Message, ...]
    events: Mapping[str, tuple[Message, ...]]

    def events_of(self, reactor: Any) -> tuple[Message, ...]:
        """Return what a reactor (class, instance or group name) added."""
        name = reactor if isinstance(reactor, str) else reactor.group
        return self.events.get(name, ())


class Unit:
    """A set of reactors whose chain is decided together and written in one transaction.

    Handlers run breadth first, in memory; syncs run inside the one transaction; any error leaves
    nothing behind. When somebody else was at one of the streams first, the unit starts again, so
    handlers may run more than once. Messages that no reactor of the unit handles are left to the
    workers.

    Args:
        app: the app; the reactors must be registered with it.
        reactors: classes, instances or group names.
        max_steps: how many messages may be handled, against endless chains.
        timeout: how long to wait, in seconds, for workers that are at one of the streams.
    """

    def __init__(
        self, app: App, *reactors: Any, max_steps: int = 100, timeout: float = 5.0
    ) -> None:
        if not reactors:
            raise UsageError("a unit needs at least one reactor: Unit(app, Order, Payment)")
        self._app = app
        self._entries = [app.registered(reactor) for reactor in reactors]
        self._max_steps = max_steps
        self._timeout = timeout

    def handle(
        self,
        message: Message,
        *,
        to: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> UnitResult:
        """Handle a message and all that follows from it.

        Raises:
            Exception: what a handler raised, unwrapped; nothing was written.
            LoopError: the chain did not come to rest within `max_steps`.
            ConcurrencyError: others were first, five times in a row.
            BusyError, StreamParkedError, GroupStoppedError: a stream is not free.
        """
        if not any(entry.takes(type(message)) for entry in self._entries):
            raise UsageError(
                f"no reactor of this unit handles {type(message).__name__}; it has "
                f"{', '.join(entry.group for entry in self._entries)}"
            )
        engine, registry = self._app.ready()
        addressed = self._app.addressed(message, to, meta)
        now = HandleNow(engine, registry, timeout=self._timeout)
        with engine.stamping():
            chain, appended = now.run(
                [addressed], self._entries, follow=True, max_steps=self._max_steps
            )
        places = {record.id: record for record in appended.messages}
        return UnitResult(
            messages=tuple(decode(record) for record in appended.messages),
            events={g: _stored(steps, places) for g, steps in chain.by_group.items()},
        )


def _stored(steps: list[Step], places: Mapping[Any, StoredMessage]) -> tuple[Message, ...]:
    return tuple(decode(places[step.new.id]) for step in steps)

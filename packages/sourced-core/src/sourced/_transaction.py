"""Messages inside the caller's own transaction: they commit and roll back with its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sourced._messages import Message
from sourced._receipt import Receipt
from sourced._store import Transaction
from sourced._writing import append_events, dispatch_message

if TYPE_CHECKING:
    from sourced._app import App

__all__ = ["AppTransaction"]


class AppTransaction:
    """The writing verbs of an app, on a transaction that somebody else ends.

    Dispatch last and in one call where you can: the streams written to stay locked until the
    transaction ends. A refusal leaves the transaction usable.
    """

    def __init__(self, app: App, transaction: Transaction) -> None:
        self._app = app
        self._transaction = transaction

    @property
    def connection(self) -> Any:
        """The connection of the transaction, for the caller's own rows; None in memory."""
        return self._transaction.connection

    def dispatch(
        self,
        message: Message,
        *,
        to: str | None = None,
        meta: Mapping[str, Any] | None = None,
        id: UUID | None = None,
        at: datetime | None = None,
        after: timedelta | None = None,
    ) -> Receipt:
        """Record a message with the transaction; see `App.dispatch`."""
        engine, _ = self._app.ready()
        with engine.stamping():
            addressed = self._app.addressed(message, to, meta, id)
            return dispatch_message(self._transaction, engine, *addressed, at=at, after=after)

    def append(
        self, events: Sequence[Message] | Message, *, to: str, expected_seq: int | None = None
    ) -> list[Message]:
        """Record events with the transaction; see `App.append`."""
        engine, _ = self._app.ready()
        with engine.stamping():
            return append_events(self._transaction, engine, events, to, expected_seq)

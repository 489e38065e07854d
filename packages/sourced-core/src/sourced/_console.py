"""An actor in a console: one stream, with its state, and commands performed as method calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from sourced._consumer import Stateful
from sourced._evolve import Evolution
from sourced._host import Host
from sourced._messages import Message

__all__ = ["Console"]

S = TypeVar("S")


class Console(Generic[S]):
    """One stream as a console sees it: as of its `seq`, read when first looked at.

    Args:
        prototype: as which handlers run.
        stream_id: the stream.
        host: the app that performs commands and reads streams.
        upto: stay at this seq until refreshed; the newest when None.
    """

    def __init__(
        self, prototype: Stateful[S], stream_id: str, host: Host, upto: int | None = None
    ) -> None:
        self.prototype = prototype
        self.stream_id = stream_id
        self._host = host
        self._upto = upto
        self._known: Evolution | None = None

    @property
    def state(self) -> S:
        """The state as of `seq`."""
        state: S = self._evolution().state
        return state

    @property
    def seq(self) -> int:
        """How far the stream was read."""
        seq = self._evolution().seq
        return seq if self._upto is None else min(seq, self._upto)

    @property
    def events(self) -> tuple[Message, ...]:
        """All messages of the stream up to `seq`."""
        if self.seq == 0:
            return ()
        pages = self._reader().pages(after=0, upto=self.seq, types=None)
        return tuple(message for page in pages for message in page.messages)

    def perform(self, command: type[Message], payload: Mapping[str, Any]) -> Message:
        """Check the payload, handle the command now, and look at what became of the stream.

        Raises:
            PayloadError: names all that is wrong; nothing has changed.
            Exception: what the handler raised; nothing has changed.
        """
        parsed = command.parse(payload)
        self._host.handle(parsed, to=self.stream_id)
        self.refresh()
        return parsed

    def refresh(self) -> None:
        """Read what came since."""
        if self._known is None or self._upto is not None:
            self._upto = None
            self._known = None
            self._evolution()
        else:
            self._known.reader = self._reader()
            self._known.to_head()

    def _evolution(self) -> Evolution:
        if self._known is None:
            below = None if self._upto is None else self._upto + 1
            known = Evolution.begin(self.prototype, self._reader(), None, below=below)
            known.to_head(self._upto)
            self._known = known
        return self._known

    def _reader(self) -> Any:
        return self._host.reader(type(self.prototype), self.stream_id)

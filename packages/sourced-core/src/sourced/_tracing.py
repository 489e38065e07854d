"""What tells a tracing library of appends and handling; by default nobody is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from sourced._batch import Batch
from sourced._messages import Message

__all__ = ["NO_TRACING", "Failed", "NoTracing", "Tracing"]

Failed = Callable[[BaseException], object]
"""Takes the error of a message that failed."""


class Tracing(Protocol):
    """Follows messages from where they are appended to where they are handled.

    What is encoded inside of either context carries that context in its envelope.
    """

    def appending(self, addressed: Sequence[tuple[Message, str]]) -> AbstractContextManager[object]:
        """Surround the recording of messages, each with its stream."""
        ...

    def handling(self, group: str, batches: Sequence[Batch]) -> AbstractContextManager[Failed]:
        """Surround the handlers of a group; give what takes the errors of messages that fail."""
        ...


class NoTracing:
    """Tells nobody."""

    def __init__(self) -> None:
        self._appending = nullcontext()
        self._handling: AbstractContextManager[Failed] = nullcontext(lambda _error: None)

    def appending(self, addressed: Sequence[tuple[Message, str]]) -> AbstractContextManager[object]:  # noqa: ARG002 - see `Tracing`
        """See `Tracing`."""
        return self._appending

    def handling(self, group: str, batches: Sequence[Batch]) -> AbstractContextManager[Failed]:  # noqa: ARG002 - see `Tracing`
        """See `Tracing`."""
        return self._handling


NO_TRACING: Tracing = NoTracing()

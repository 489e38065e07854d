"""Plain reactors: handlers of messages without a state, and the protocol below all reactors."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

from sourced._batch import Batch
from sourced._consumer import Consumer, seq_of
from sourced._failures import FAILURES, kind_of
from sourced._handler_table import Handler, Kind
from sourced._messages import Message
from sourced._outcomes import Ack, Fail, Outcome, Outcomes, Sync
from sourced._reactions import run_reaction
from sourced._running import Running, consume, run_now
from sourced.errors import HandlerError, UsageError

__all__ = ["Reactor", "ReactorProtocol"]


class ReactorProtocol(Protocol):
    """What the engine drives; anything that fits may be registered.

    A reactor never acts: it returns outcomes. It is shared by threads, which handle batches of
    different streams at the same time, and keeps nothing of a stream.
    """

    @property
    def group(self) -> str:
        """The consumer group: whose progress it is."""
        ...

    @property
    def handles(self) -> Iterable[type[Message]]:
        """The message classes it is given."""
        ...

    def handle_batch(self, batch: Batch, /) -> Outcomes | Awaitable[Outcomes]:
        """Say what follows from pending messages of one stream, in order.

        `Ack(seq)` after the outcomes of each message lets a prefix be kept when a later message
        fails, and `Fail(seq, error)` ends the list. An error that is raised fails the batch's
        first message.
        """
        ...


class Reactor(Consumer):
    """Handles messages with `@on`, without a state.

    ```python
    class OrderTelemetry(Reactor):
        @on
        def log(self, event: Started | Placed, *, replaying: bool) -> None:
            if not replaying:
                count(event.meta.type)
    ```

    Handlers run for replayed messages too; ask for `replaying` to tell.
    """

    handles: tuple[type[Message], ...] = ()
    handler_kinds: ClassVar[frozenset[Kind]] = frozenset({"on"})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.handles = tuple(cls.handler_table.listeners)
        for handler in cls.handler_table.by_name.values():
            _check_connection(handler)

    def handle_batch(self, batch: Batch, /) -> Outcomes | Awaitable[Outcomes]:
        """Handle pending messages of one stream; a coroutine if the class has async handlers."""
        handling = self._handle(batch)
        return handling if self.handles_concurrently else run_now(handling)

    async def _handle(self, batch: Batch) -> Outcomes:
        outcomes: list[Outcome] = []
        for message in batch.messages:
            seq = seq_of(message, batch.head)
            try:
                outcomes += await self._outcomes_of(message, batch)
            except FAILURES as error:  # it is the message's failure
                return [*outcomes, Fail(seq, error)]
            outcomes.append(Ack(seq))
        return outcomes

    async def _outcomes_of(self, message: Message, batch: Batch) -> Sequence[Outcome]:
        handler = self.handler_table.find("on", message)
        if handler is None:
            return ()
        if "connection" in handler.wants:
            return [Sync(partial(self._run_in_commit, handler, message, batch))]
        wanted = _wanted(handler, message, batch, None)
        return await run_reaction(
            lambda: handler.call(self, None, message, **wanted), handler.place, message, batch
        )

    def _run_in_commit(
        self, handler: Handler, message: Message, batch: Batch, connection: Any
    ) -> object:
        wanted = _wanted(handler, message, batch, connection)

        async def run() -> None:
            with Running(handler.place, is_pure=False):
                await consume(handler.call(self, None, message, **wanted), refuse)

        def refuse(item: object) -> None:
            raise UsageError(
                f"{handler.place} gave {kind_of(item)}, but with `connection` it runs inside the "
                "commit, where nothing can be added to it; yield from a handler without "
                "`connection`"
            )

        return run() if handler.is_async else run_now(run())


def _wanted(handler: Handler, message: Message, batch: Batch, connection: Any) -> dict[str, Any]:
    given: dict[str, Callable[[Message], Any]] = {
        "history": batch.history,
        "replaying": batch.is_replaying,
        "batch": lambda _message: batch,
        "connection": lambda _message: connection,
    }
    return {name: given[name](message) for name in handler.wants}


def _check_connection(handler: Handler) -> None:
    function = handler.function
    if "connection" in handler.wants and (
        inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    ):
        raise HandlerError(
            handler.place,
            "with `connection` it runs inside the commit, where it cannot yield messages; "
            "let another handler yield them",
        )

"""One batch of one stream, handled by a projector: load, evolve and react message by message, sync.

A batch is acknowledged as a whole, with one sync of the state after its last message. When a
message fails, the outcome is exactly that of a batch of the messages before it: the state is made
again and evolved up to there, while what their reactions asked for is kept, so none runs twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from sourced._batch import Batch
from sourced._consumer import Stateful, seq_of
from sourced._evolve import Evolution, evolve, own_copy
from sourced._failures import FAILURES
from sourced._messages import Message
from sourced._outcomes import Ack, Evolved, Fail, Outcome, Outcomes
from sourced._reactions import run_reaction

__all__ = ["Projecting", "Projection"]


@dataclass(frozen=True, slots=True)
class Projection:
    """What the two kinds of projectors do differently.

    Attributes:
        role: under which role the state is remembered.
        begin: makes the state as of right before the batch's first message.
        write: gives the outcomes that write the state.
    """

    role: str
    begin: Callable[[Batch], Evolution]
    write: Callable[[Any, Batch], Sequence[Outcome]]


class Projecting:
    """Handles one batch; made anew for each."""

    def __init__(self, projector: Stateful[Any], batch: Batch, projection: Projection) -> None:
        self._projector = projector
        self._batch = batch
        self._projection = projection
        self._reactions: list[Sequence[Outcome]] = []

    async def run(self) -> Outcomes:
        """Handle the messages in order, up to the first that fails."""
        try:
            state = self._projection.begin(self._batch)
            for message in self._batch.messages:
                self._evolve(state, message)
                self._reactions.append(await self._react(state.state, message))
            return self._outcomes(state, self._batch)
        except FAILURES as error:  # what user code raises is the message's failure
            done = len(self._reactions)
            return self._failed_at(min(done, len(self._batch.messages) - 1), error)

    def _evolve(self, state: Evolution, message: Message) -> None:
        state.state = evolve(self._projector, state.state, own_copy(message))
        state.seq = seq_of(message, self._batch.head)

    async def _react(self, state: Any, message: Message) -> Sequence[Outcome]:
        reaction = self._projector.handler_table.find("react", message)
        if reaction is None or self._batch.is_replaying(message):
            return ()
        return await run_reaction(
            lambda: reaction.call(self._projector, state, message),
            reaction.place,
            message,
            self._batch,
        )

    def _failed_at(self, count: int, error: BaseException) -> Outcomes:
        """Return what a batch of the first `count` messages gives, and the failure of the next."""
        messages = self._batch.messages
        failure = Fail(seq_of(messages[count], self._batch.head), error)
        if count == 0:
            return [failure]
        before = replace(self._batch, messages=messages[:count])
        try:
            state = self._projection.begin(before)
            for message in before.messages:
                self._evolve(state, message)
            return [*self._outcomes(state, before), failure]
        except FAILURES as second:  # the store, or a handler that is not pure
            return [Fail(seq_of(messages[0], self._batch.head), second)]

    def _outcomes(self, state: Evolution, batch: Batch) -> list[Outcome]:
        snapshot = state.take_snapshot()
        batch = replace(batch, events=batch.messages)
        return [
            *chain.from_iterable(self._reactions[: len(batch.messages)]),
            *([] if snapshot is None else [snapshot]),
            *self._projection.write(state.state, batch),
            Evolved(self._projection.role, state.state, state.seq, snapshot_seq=state.snapshot_seq),
            Ack(state.seq),
        ]

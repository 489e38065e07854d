"""One batch of one stream, handled by an actor: decisions over one state, reactions over another.

```
newest   state as of the head ── command ── events ── command ── events …      one Expect for all
                                   │ encoded, then evolved, before the handler goes on
behind   state as of event k ── reaction to k ── state as of event n ── reaction to n …
```

Deciding uses the newest state there is, so that a decision rests on everything that was stored. A
reaction sees the state as of its own event, so that it does not depend on how messages came to be
batched. The two are never mixed. What a message asks for counts as a whole: when its handler fails,
its outputs are dropped and the state it may have spoiled is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sourced._batch import Batch
from sourced._consumer import Stateful, seq_of
from sourced._evolve import Evolution, evolve
from sourced._failures import FAILURES, kind_of
from sourced._handler_table import Handler
from sourced._hooks import Hooks
from sourced._messages import Command, Event, Message, caused_by, decode_new, encode, stored_types
from sourced._outcomes import (
    Ack,
    Append,
    Dispatch,
    Evolved,
    Expect,
    Fail,
    Outcome,
    Outcomes,
)
from sourced._reactions import check_new, run_reaction
from sourced._records import NewMessage
from sourced._running import Running, consume
from sourced.errors import UsageError

__all__ = ["Deciding"]


@dataclass(slots=True)
class _Handled:
    """What one message came to."""

    seq: int
    outcomes: list[Outcome] = field(default_factory=list)


class Deciding:
    """Handles one batch; made anew for each."""

    def __init__(self, actor: Stateful[Any], batch: Batch, hooks: Hooks) -> None:
        self._actor = actor
        self._batch = batch
        self._hooks = hooks
        self._table = actor.handler_table
        self._handled: list[_Handled] = []
        self._newest: Evolution | None = None
        self._behind: Evolution | None = None
        self._read_to = 0
        self._own: list[NewMessage] = []
        self._decided: list[NewMessage] = []

    async def run(self) -> Outcomes:
        """Handle the messages in order, up to the first that fails."""
        for message in self._batch.messages:
            handled = _Handled(seq_of(message, self._batch.head))
            marks = len(self._own), len(self._decided)
            try:
                await self._handle(message, handled)
            except FAILURES as error:  # it is the message's failure
                del self._own[marks[0] :], self._decided[marks[1] :]
                return self._finish(Fail(handled.seq, error))
            self._handled.append(handled)
        return self._finish(None)

    async def _handle(self, message: Message, handled: _Handled) -> None:
        if self._batch.is_replaying(message):
            return
        decider = self._table.find("command", message)
        if decider is not None:
            assert isinstance(message, Command)
            await self._decide(decider, message, handled)
            return
        reaction = self._table.find("react", message)
        if reaction is not None:
            await self._react(reaction, message, handled)

    # --- deciding ---------------------------------------------------------------------------------

    async def _decide(self, decider: Handler, command: Command, handled: _Handled) -> None:
        newest, self._newest = self._load_newest(handled), None  # thrown away if this fails
        seen: set[UUID] = set()
        with Running(decider.place) as handling:

            def take(item: object) -> None:
                event = _event(item, decider)
                handling.yielded(event)
                caused = caused_by(event, command, producer=self._batch.group)
                encoded = encode(caused, self._batch.stream_id)
                check_new(event, seen, decider.place)
                handled.outcomes.append(Append(caused, self._batch.stream_id, encoded))
                self._own.append(encoded)
                self._decided.append(encoded)
                newest.state = evolve(self._actor, newest.state, decode_new(encoded))

            await consume(decider.call(self._actor, newest.state, command), take)
        self._newest = newest

    def _load_newest(self, handled: _Handled) -> Evolution:
        """Return the newest state; on the first time, with what the commit has to expect."""
        if self._newest is not None:
            return self._newest
        if not self._actor.evolves:  # the first state is the only one: nothing to read or expect
            return Evolution.first(self._actor, self._batch.reader)
        newest = Evolution.begin(self._actor, self._batch.reader, "decide", below=None)
        newest.to_head()
        self._read_to = newest.seq
        snapshot = newest.take_snapshot()
        if snapshot is not None:
            handled.outcomes.append(snapshot)
        handled.outcomes.append(Expect(newest.seq, stored_types(self._actor.evolves)))
        self._apply(newest, self._own)
        return newest

    def _apply(self, newest: Evolution, encoded: Sequence[NewMessage]) -> None:
        for one in encoded:
            newest.state = evolve(self._actor, newest.state, decode_new(one))

    # --- reacting ---------------------------------------------------------------------------------

    async def _react(self, reaction: Handler, event: Message, handled: _Handled) -> None:
        behind, self._behind = self._behind, None  # thrown away if this fails
        state = None
        if reaction.takes_state:
            behind = self._load_behind(behind, event)
            state = behind.state
        outcomes = await run_reaction(
            lambda: reaction.call(self._actor, state, event), reaction.place, event, self._batch
        )
        handled.outcomes += outcomes
        self._behind = behind
        for outcome in outcomes:
            if isinstance(outcome, Append) and outcome.to == self._batch.stream_id:
                self._note_own(outcome)

    def _load_behind(self, behind: Evolution | None, event: Message) -> Evolution:
        if not self._actor.evolves:
            return Evolution.first(self._actor, self._batch.reader)
        seqs = [seq_of(message, self._batch.head) for message in self._batch.messages]
        if behind is None:
            behind = Evolution.begin(self._actor, self._batch.reader, "react", below=seqs[0])
        behind.reach(seq_of(event, self._batch.head), upto=seqs[-1])
        return behind

    def _note_own(self, outcome: Append) -> None:
        """An event that a reaction adds to its own stream is part of the newest state, too."""
        if outcome.encoded is None or not isinstance(outcome.message, Event):
            return
        self._own.append(outcome.encoded)
        newest, self._newest = self._newest, None
        if newest is not None:
            self._apply(newest, [outcome.encoded])
            self._newest = newest

    # --- the end ----------------------------------------------------------------------------------

    def _finish(self, failure: Fail | None) -> Outcomes:
        if not self._handled:
            return [] if failure is None else [failure]
        try:
            hooks = self._hook_outcomes()
        except FAILURES as error:  # without a state for the hooks nothing is kept
            return [Fail(self._handled[0].seq, error)]
        outcomes: list[Outcome] = []
        last = self._handled[-1]
        for handled in self._handled:
            outcomes += handled.outcomes
            if handled is last:
                outcomes += [*hooks, *self._evolved()]
            if handled is last or not hooks:  # what the hooks see is the batch as a whole
                outcomes.append(Ack(handled.seq))
        return outcomes if failure is None else [*outcomes, failure]

    def _evolved(self) -> list[Outcome]:
        evolved: list[Outcome] = []
        newest, behind = self._newest, self._behind
        if not self._actor.evolves:
            return evolved
        if newest is not None:
            evolved.append(
                Evolved(
                    "decide",
                    newest.state,
                    newest.seq,
                    includes_appended=True,
                    snapshot_seq=newest.snapshot_seq,
                )
            )
        if behind is not None:
            evolved.append(
                Evolved("react", behind.state, behind.seq, snapshot_seq=behind.snapshot_seq)
            )
        return evolved

    def _hook_outcomes(self) -> list[Outcome]:
        """Return the actor's `sync` and `after_commit`, if commands were handled."""
        count = len(self._handled)
        messages = self._batch.messages[:count]
        if self._hooks == Hooks() or not any(isinstance(one, Command) for one in messages):
            return []
        if self._newest is None:
            self._newest = self._reload()
        state = self._newest.state
        events = tuple(decode_new(encoded) for encoded in self._decided)
        batch = replace(self._batch, messages=messages, events=events)
        return self._hooks.outcomes(state, batch)

    def _reload(self) -> Evolution:
        """Load what a failed decision spoiled, or what only replayed commands did not need."""
        if not self._actor.evolves:
            return Evolution.first(self._actor, self._batch.reader)
        newest = Evolution.begin(self._actor, self._batch.reader, "decide", below=None)
        newest.to_head(self._read_to or None)
        self._apply(newest, self._own)
        return newest


def _event(item: object, decider: Handler) -> Event:
    if isinstance(item, Event):
        return item
    what = item.message if isinstance(item, Dispatch) else item
    if isinstance(what, Command):
        raise UsageError(
            f"{decider.place} yielded the command {kind_of(what)}; deciding yields events, and "
            "what follows from them is yielded by a reaction (@react)"
        )
    hint = "; write `yield from` for several" if isinstance(what, list | tuple) else ""
    raise UsageError(f"{decider.place} yielded {kind_of(what)}, which is no event{hint}")

"""Handles a chain here and now, in order with the workers, and writes it in one transaction."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from sourced._arguments import checked_seconds
from sourced._chain import Chain
from sourced._engine import Engine
from sourced._messages import Message
from sourced._registry import Registered, Registry
from sourced._round import Round
from sourced._running import refuse_handling
from sourced._session import Session
from sourced._store import Appended
from sourced.errors import (
    BusyError,
    ConcurrencyError,
    GroupStoppedError,
    StreamParkedError,
)

__all__ = ["HandleNow"]

ATTEMPTS = 5
CATCH_UP = 5  # messages at once; the time is looked at in between
FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.1


class HandleNow:
    """Decides in memory, writes once, and starts again when somebody else was there first.

    A (group, stream) with older messages pending is brought up to date first: by waiting for the
    worker that is at it, or by claiming exactly that stream. So a command handled now never
    overtakes an older one, and never runs at the same time as a worker.
    """

    def __init__(self, engine: Engine, registry: Registry, *, timeout: float) -> None:
        self._engine = engine
        self._registry = registry
        self._timeout = checked_seconds(timeout, "timeout")
        self._deadline = engine.clock.monotonic() + self._timeout

    def run(
        self,
        messages: Sequence[tuple[Message, str]],
        entries: Collection[Registered],
        *,
        follow: bool,
        max_steps: int = 100,
    ) -> tuple[Chain, Appended]:
        """Handle messages; see `App.handle` and `Unit`.

        Raises:
            UsageError: a handler asks for it.
        """
        refuse_handling()
        with self._engine.tracing.appending(messages):
            return self._run(messages, entries, follow=follow, max_steps=max_steps)

    def _run(
        self,
        messages: Sequence[tuple[Message, str]],
        entries: Collection[Registered],
        *,
        follow: bool,
        max_steps: int,
    ) -> tuple[Chain, Appended]:
        conflicts = 0
        while True:
            chain = Chain(
                self._engine, entries, follow=follow, admit=self.admit, max_steps=max_steps
            )
            chain.run(messages)
            try:
                appended = self._engine.store.handle_now(chain.work())
            except ConcurrencyError:
                conflicts += 1
                if conflicts == ATTEMPTS:
                    raise
                self._engine.clock.sleep(random.uniform(0, FIRST_PAUSE * 2**conflicts))
            except BusyError as busy:
                self._check_time(busy)
                self.admit(self._registry.of(busy.group), busy.stream_id)
            else:
                chain.committed(appended.messages)
                return chain, appended

    def admit(self, entry: Registered, stream_id: str) -> None:
        """Return when the group has nothing left to handle in the stream.

        Raises:
            GroupStoppedError, StreamParkedError: an operator has to act first.
            BusyError: the timeout is over; says why it is busy.
        """
        pause = FIRST_PAUSE
        while True:
            progress = self._engine.store.inspect.progress(entry.group, stream_id)
            if progress.group_status == "stopped":
                raise GroupStoppedError(entry.group, stream_id)
            if progress.group_status == "filling":
                self._wait(BusyError(entry.group, stream_id, "filling"), pause)
            elif progress.state == "drained":
                return
            elif progress.state == "parked":
                raise StreamParkedError(entry.group, stream_id)
            elif progress.state == "ready":
                self._catch_up(entry, stream_id)
            else:
                self._wait(self._busy(entry.group, stream_id), pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _catch_up(self, entry: Registered, stream_id: str) -> None:
        with Session(self._engine, self._registry, name="handling now") as session:
            Round(
                self._engine,
                entry,
                session.worker_id,
                stopping=self._is_over,
                max_messages=CATCH_UP,
            ).run(max_streams=1, stream_ids=[stream_id])
        self._check_time(BusyError(entry.group, stream_id, "pending"))

    def _busy(self, group: str, stream_id: str) -> BusyError:
        found = self._engine.store.inspect.deliveries(group=group, stream_id=stream_id, limit=1)
        if found and found[0].state == "retrying":
            return BusyError(group, stream_id, "retrying", found[0].ready_at)
        return BusyError(group, stream_id, "held")

    def _wait(self, busy: BusyError, pause: float) -> None:
        self._check_time(busy)
        self._engine.clock.sleep(pause)
        lease = self._engine.settings.lease
        if busy.reason == "held" and self._engine.store.poll(lease).overdue:
            self._engine.store.reap(lease)

    def _check_time(self, busy: BusyError) -> None:
        if self._is_over():
            raise busy

    def _is_over(self) -> bool:
        return self._engine.clock.monotonic() >= self._deadline

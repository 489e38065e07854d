"""Projectors: read models built from events, written in the transaction that acknowledges them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar

from sourced._batch import Batch
from sourced._consumer import Stateful, place_of_class, seq_of
from sourced._evolve import Evolution
from sourced._handler_table import Kind
from sourced._hooks import Hooks
from sourced._messages import Message
from sourced._outcomes import Outcome, Outcomes, Sync, SyncTogether
from sourced._projecting import Projecting, Projection
from sourced._running import run_now
from sourced.errors import DefinitionError

__all__ = ["EventSourcedProjector", "StateStoredProjector"]

S = TypeVar("S")


_HOOKS = ("load", "load_many", "sync", "sync_many", "after_commit", "clear")


class Projector(Stateful[S], Generic[S]):
    """What both kinds of projectors share: the batch as a whole, and how it is written."""

    handles: tuple[type[Message], ...] = ()
    handles_together: bool = False
    handler_kinds: ClassVar[frozenset[Kind]] = frozenset({"event", "react"})
    _defined: ClassVar[frozenset[str]] = frozenset()
    _bases: ClassVar[tuple[type, ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._defined = frozenset(
            name for name in _HOOKS if getattr(cls, name, None) is not getattr(Projector, name)
        )
        cls.handles = cls.evolves
        cls.handles_together = bool(cls._defined & {"load_many", "sync_many"})
        if not cls.__module__.startswith("sourced._"):
            _check(cls, cls._defined)

    def load(self, stream_id: str, connection: Any, /) -> S | None:
        """Return the state from your own storage; None if there is none yet."""
        raise NotImplementedError

    def load_many(self, stream_ids: Sequence[str], connection: Any, /) -> Mapping[str, S]:
        """Return the states of several streams by stream id; those that are missing are new."""
        raise NotImplementedError

    def sync(self, state: S, batch: Batch, /) -> object:
        """Write the state, inside the transaction that acknowledges the batch.

        `batch.connection` is the store's own connection. May run again when the commit is
        repeated. May be async.
        """
        raise NotImplementedError

    def sync_many(self, states: Sequence[S], batches: Sequence[Batch], /) -> object:
        """Write the states of several streams at once; `batches` are in the same order."""
        raise NotImplementedError

    def after_commit(self, state: S, batch: Batch, /) -> object:
        """Do what may follow the commit: at most once, never if the process dies. May be async."""
        raise NotImplementedError

    def clear(self, stream_ids: Sequence[str], connection: Any, /) -> None:
        """Remove what streams have added to totals, before they are projected again.

        Called after a reset, inside the transaction and before `sync` of each stream's first batch.
        """
        raise NotImplementedError

    def handle_batch(self, batch: Batch, /) -> Outcomes | Awaitable[Outcomes]:
        """Handle pending messages of one stream; a coroutine if the class has async reactions."""
        projecting = Projecting(self, batch, self._projection({})).run()
        return projecting if self.handles_concurrently else run_now(projecting)

    def handle_batches(
        self, batches: Sequence[Batch], /
    ) -> Sequence[Outcomes] | Awaitable[Sequence[Outcomes]]:
        """Handle pending messages of several streams: one read, and one write in the commit."""
        projection = self._projection(self._load_together(batches))
        projecting = [Projecting(self, batch, projection).run() for batch in batches]
        if not self.handles_concurrently:
            return [run_now(one) for one in projecting]

        async def together() -> Sequence[Outcomes]:
            from asyncio import gather

            return await gather(*projecting)

        return together()

    def _projection(self, loaded: dict[str, Evolution]) -> Projection:
        raise NotImplementedError

    def _load_together(self, batches: Sequence[Batch]) -> dict[str, Evolution]:  # noqa: ARG002 - one kind has nothing to load
        return {}

    def _write(self, state: S, batch: Batch) -> Sequence[Outcome]:
        after_commit = self.after_commit if "after_commit" in self._defined else None
        outcomes = Hooks(after_commit=after_commit).outcomes(state, batch)
        if "sync_many" in self._defined:
            outcomes.append(SyncTogether(self, self._sync_together, (state, batch)))
        elif self._defined & {"sync", "clear"}:
            outcomes.append(Sync(lambda connection: self._sync_one(state, batch, connection)))
        return outcomes

    def _sync_one(self, state: S, batch: Batch, connection: Any) -> object:
        self._clear([batch], connection)
        if "sync" not in self._defined:
            return None
        return self.sync(state, replace(batch, connection=connection))

    def _sync_together(self, items: Sequence[tuple[S, Batch]], connection: Any) -> object:
        self._clear([batch for _, batch in items], connection)
        batches = [replace(batch, connection=connection) for _, batch in items]
        return self.sync_many([state for state, _ in items], batches)

    def _clear(self, batches: Sequence[Batch], connection: Any) -> None:
        restarted = [batch.stream_id for batch in batches if batch.restarted]
        if restarted and "clear" in self._defined:
            self.clear(restarted, connection)


class StateStoredProjector(Projector[S], Generic[S]):
    """Builds a read model from events, with the state in your own storage.

    ```python
    class Listings(StateStoredProjector[Listing]):
        def load(self, stream_id: str, connection: Connection) -> Listing | None: ...

        @event
        def item_added(self, listing: Listing, event: ItemAdded) -> None:
            listing.total += event.price

        def sync(self, listing: Listing, batch: Batch) -> None:
            save(batch.connection, listing)
    ```

    A batch of one stream is one `load`, one evolve and one `sync`. With `load_many` and `sync_many`
    instead, many streams are. The first batch of a stream after a reset starts from
    `initial_state`, and `sync` overwrites.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.evolves and not cls._defined & {"load", "load_many"}:
            raise DefinitionError(
                place_of_class(cls),
                "define load(self, stream_id, connection), or load_many(self, stream_ids, "
                "connection), to read the state; if it is not stored, be an EventSourcedProjector",
            )

    def _projection(self, loaded: dict[str, Evolution]) -> Projection:
        # Only a unit remembers states of this role: they live in the user's storage.
        return Projection("load", lambda batch: self._begin(batch, loaded), self._write)

    def _begin(self, batch: Batch, loaded: dict[str, Evolution]) -> Evolution:
        known = loaded.pop(batch.stream_id, None) or self._carried_on(batch)
        if known is not None:
            return known
        with batch.reader.connection() as connection:
            if "load" in self._defined:
                state = self.load(batch.stream_id, connection)
            else:
                state = self.load_many([batch.stream_id], connection).get(batch.stream_id)
        return self._evolution(batch, state)

    def _load_together(self, batches: Sequence[Batch]) -> dict[str, Evolution]:
        if "load_many" not in self._defined:
            return {}
        found = {batch.stream_id: self._carried_on(batch) for batch in batches}
        missing = [batch for batch in batches if found[batch.stream_id] is None]
        if missing:
            with missing[0].reader.connection() as connection:
                states = self.load_many([batch.stream_id for batch in missing], connection)
            for batch in missing:
                found[batch.stream_id] = self._evolution(batch, states.get(batch.stream_id))
        return {stream_id: state for stream_id, state in found.items() if state is not None}

    def _carried_on(self, batch: Batch) -> Evolution | None:
        """Return what needs no load: the first state after a reset, or what a unit carries on."""
        if batch.restarted:
            return self._evolution(batch, None)
        first = seq_of(batch.messages[0], batch.head)
        remembered = batch.reader.recall("load", below=first)
        return None if remembered is None else self._evolution(batch, remembered.state)

    def _evolution(self, batch: Batch, state: S | None) -> Evolution:
        made = self.initial_state(batch.stream_id) if state is None else state
        return Evolution(self, batch.reader, made)


class EventSourcedProjector(Projector[S], Generic[S]):
    """Builds a read model from events, with the state rebuilt from the stream's own events.

    ```python
    class Totals(EventSourcedProjector[dict[str, int]]):
        def initial_state(self, stream_id: str) -> dict[str, int]:
            return {"total": 0}

        @event
        def item_added(self, totals: dict[str, int], event: ItemAdded) -> None:
            totals["total"] += event.price

        def after_commit(self, totals: dict[str, int], batch: Batch) -> None:
            Path(f"{batch.stream_id}.json").write_text(json.dumps(totals))
    ```

    States are remembered by the process, and stored with `snapshot_every`.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        strange = cls._defined & {"load", "load_many"}
        if strange:
            raise DefinitionError(
                f"{place_of_class(cls)}.{min(strange)}",
                "the state of an EventSourcedProjector is made of its events; "
                "to load it, be a StateStoredProjector",
            )

    def _projection(self, loaded: dict[str, Evolution]) -> Projection:  # noqa: ARG002 - as above
        return Projection("react", self._begin, self._write)

    def _begin(self, batch: Batch) -> Evolution:
        before = seq_of(batch.messages[0], batch.head) - 1
        if batch.restarted:  # nothing of what was handled before counts, and nothing is before
            first = self.initial_state(batch.stream_id)
            return Evolution(self, batch.reader, first, before)
        state = Evolution.begin(self, batch.reader, "react", below=before + 1)
        if state.seq < before:
            state.to_head(before)
        return state


def _check(cls: type[Projector[Any]], defined: frozenset[str]) -> None:
    place = place_of_class(cls)
    for one, many in (("load", "load_many"), ("sync", "sync_many")):
        if {one, many} <= defined:
            raise DefinitionError(place, f"define {one} or {many}, not both: {many} is for all")
    for name in sorted(defined & {"load", "load_many", "clear"}):
        if inspect.iscoroutinefunction(getattr(cls, name)):
            raise DefinitionError(
                f"{place}.{name}", "is called with the store's connection: write plain `def`"
            )
    stray = [event.__name__ for event in cls.handler_table.reactions if event not in cls.evolves]
    if stray:
        raise DefinitionError(
            place,
            f"it reacts to {', '.join(stray)}, which it does not evolve from; a projector handles "
            "exactly what it evolves from: add an @event handler, or let an actor react",
        )

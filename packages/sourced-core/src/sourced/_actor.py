"""Actors: state rebuilt from events, commands decided against it, reactions to what happened."""

from __future__ import annotations

import copy
from collections.abc import Awaitable
from typing import Any, ClassVar, Generic, Self, TypeVar

from sourced._batch import Batch
from sourced._console import Console
from sourced._consumer import Stateful
from sourced._deciding import Deciding
from sourced._handler_table import Kind
from sourced._handler_types import Events
from sourced._hooks import Hooks
from sourced._host import Host, host_of
from sourced._messages import Message
from sourced._outcomes import Outcomes
from sourced._running import run_now
from sourced.errors import UsageError

__all__ = ["Actor", "Events"]

S = TypeVar("S")


class Actor(Stateful[S], Generic[S]):
    """Decides commands, evolves its state by events, and reacts to events.

    ```python
    class Cart(Actor[CartState]):
        @command
        def add_item(self, cart: CartState, cmd: AddItem) -> Events:
            yield ItemAdded(product_id=cmd.product_id, price=cmd.price)

        @event
        def item_added(self, cart: CartState, event: ItemAdded) -> None:
            cart.items.append(event.product_id)

        @react
        def tell_admin(self, event: ItemAdded) -> Yielded:
            yield SendAdminEmail(product_id=event.product_id)
    ```

    One stream has one state. Handlers run with one shared instance as `self` and keep nothing of a
    stream there. `Cart("cart-1")` is an instance for the console: it shows the stream's `state`,
    `seq` and `events`, and performs commands as method calls.

    Args of the class statement:
        group, was, max_streams, max_messages, errors: as of every reactor: the consumer group and
            its former names, streams per claim, messages per stream, the error policy.
        snapshot_every: store the state whenever the stream has grown by so many messages.
    """

    handles: tuple[type[Message], ...] = ()
    handler_kinds: ClassVar[frozenset[Kind]] = frozenset({"command", "event", "react"})
    _hooks: ClassVar[tuple[bool, bool]] = (False, False)
    _console: Console[S] | None = None

    def __init__(self, stream_id: str | None = None, *, app: Host | None = None) -> None:
        if stream_id is not None:
            cls = type(self)
            self._console = Console(cls.prototype(), stream_id, app or host_of(cls))

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        table = cls.handler_table
        cls.handles = (*table.commands, *table.reactions)
        cls._hooks = (cls.sync is not Actor.sync, cls.after_commit is not Actor.after_commit)

    # --- in a console -----------------------------------------------------------------------------

    @classmethod
    def load(cls, stream_id: str, *, app: Host | None = None) -> Self:
        """Return the actor of a stream, read now.

        Raises:
            UsageError: the class is registered with several apps and none was given, or its
                instances need arguments.
        """
        try:
            prototype = cls.prototype()
        except TypeError as error:
            raise UsageError(
                f"{cls.__name__} cannot be made without arguments ({error}); take "
                f"app.load({cls.__name__}, {stream_id!r}), which copies the registered instance"
            ) from error
        loaded = prototype.console_instance(stream_id, app or host_of(cls))
        loaded.refresh()
        return loaded

    def console_instance(self, stream_id: str, host: Host, *, upto: int | None = None) -> Self:
        """Return a copy of this actor, dependencies included, that shows a stream of an app."""
        twin = copy.copy(self)
        twin._console = Console(self, stream_id, host, upto)
        return twin

    @property
    def stream_id(self) -> str:
        """The stream."""
        return self._shown.stream_id

    @property
    def state(self) -> S:
        """The state as of `seq`; it never shows what was not stored."""
        return self._shown.state

    @property
    def seq(self) -> int:
        """How far the stream was read."""
        return self._shown.seq

    @property
    def events(self) -> tuple[Message, ...]:
        """All messages of the stream up to `seq`, commands too."""
        return self._shown.events

    def refresh(self) -> None:
        """Read what came since."""
        self._shown.refresh()

    @property
    def _shown(self) -> Console[S]:
        if self._console is None:
            name = type(self).__name__
            raise UsageError(
                f'this {name} has no stream; take {name}("a-stream"), or app.load(...) if it is '
                "registered as an instance. In a handler, the state is a parameter"
            )
        return self._console

    def __repr__(self) -> str:
        shown = "" if self._console is None else repr(self._console.stream_id)
        return f"{type(self).__name__}({shown})"

    # --- for the engine ---------------------------------------------------------------------------

    def sync(self, state: S, batch: Batch, /) -> object:
        """Write rows of the newest state, inside the transaction that stores the events.

        Called once for a batch of commands, with `batch.connection`, the store's own connection,
        and the appended events in `batch.events`. May run again when the commit is repeated. May
        be async.
        """
        raise NotImplementedError

    def after_commit(self, state: S, batch: Batch, /) -> object:
        """Do what may follow the commit: at most once, never if the process dies. May be async."""
        raise NotImplementedError

    def handle_batch(self, batch: Batch, /) -> Outcomes | Awaitable[Outcomes]:
        """Handle pending messages of one stream; a coroutine if the class has async reactions."""
        has_sync, has_after_commit = self._hooks
        hooks = Hooks(
            self.sync if has_sync else None, self.after_commit if has_after_commit else None
        )
        handling = Deciding(self, batch, hooks).run()
        return handling if self.handles_concurrently else run_now(handling)

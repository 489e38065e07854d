"""The app: reactors over a store, and the verbs that users call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from sourced._actor import Actor
from sourced._arguments import (
    checked_bound,
    checked_message_id,
    checked_place,
    checked_text,
    checked_types,
    several,
)
from sourced._batch import StreamReader
from sourced._clock import Clock
from sourced._drain import drain
from sourced._engine import Engine, logger
from sourced._entries import check_messages, entry_of
from sourced._errors_policy import Policy
from sourced._failures import safe_repr
from sourced._groups import Groups, this_operator
from sourced._handle_now import HandleNow
from sourced._host import forget_host, note_host, provide_default
from sourced._messages import Command, Message, decode, with_meta
from sourced._metrics import Metrics
from sourced._outcomes import Dispatch
from sourced._reader import StoreReader
from sourced._receipt import Receipt
from sourced._registry import Registered, Registry
from sourced._settings import Settings, check_app
from sourced._state_cache import StateCache
from sourced._store import BEGINNING, Registration, Start, Store
from sourced._stores import open_store, safe_url
from sourced._tally import Tally
from sourced._trace import Trace, trace_of
from sourced._tracing import Tracing
from sourced._transaction import AppTransaction
from sourced._waiting import Waiting, wait_for, wait_for_correlation, wait_until
from sourced._writing import append_events, dispatch_many, dispatch_message
from sourced.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from sourced._aio import Aio
    from sourced.runtime import Workers

__all__ = ["App", "MessagePage", "default_app"]

A = TypeVar("A", bound=Actor[Any])

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """Messages of the whole log by position.

    Attributes:
        next_after: pass it as `after` to read on; nothing can appear behind it later.
        waiting_for: who holds back what comes next, if somebody does.
    """

    messages: tuple[Message, ...]
    next_after: int
    waiting_for: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    def __len__(self) -> int:
        return len(self.messages)


class App:
    """Reactors over one store.

    Args:
        store: a URL (`sqlite:///shop.db`, `postgresql://host/shop`), a store, or nothing for
            memory.
        clock: whatever waits or stamps asks it; a store made from a URL uses it too.
        settings: lease, heartbeat, batch sizes …
        errors: the error policy of reactors that have none of their own; shorter than `settings`.

    Raises:
        StoreUrlError: no installed package opens the URL; says which one to install.
        ConfigurationError: one of them is not of its kind.
    """

    def __init__(
        self,
        store: str | Store | None = None,
        *,
        clock: Clock | None = None,
        settings: Settings | None = None,
        errors: Policy | None = None,
    ) -> None:
        check_app(store, clock, settings)
        chosen = settings or Settings()
        if errors is not None:
            chosen = replace(chosen, errors=errors)
        self.url: str = safe_url(store) if isinstance(store, str) else ""
        if store is None or isinstance(store, str):
            store = open_store(store or "", clock=clock)
        self.store: Store = store
        self.clock: Clock = clock or self.store.clock
        self.settings: Settings = chosen
        self._registry = Registry()
        self._engine = Engine(self.store, self.clock, chosen, StateCache(chosen.cache_size))
        self._lock = threading.RLock()
        self._unannounced: list[Registered] = []
        self._unhandled: set[type[Message]] = set()
        self.groups: Groups = Groups(self.store, self._registry, self.clock, self.ready)

    def __repr__(self) -> str:
        groups = ", ".join(entry.group for entry in self._registry)
        return f"App({self.url or type(self.store).__name__}, groups: {groups or 'none'})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store's connections and the event loop; actors forget this app."""
        forget_host(self)
        self._engine.runner.close()
        self.store.close()

    # --- wiring -----------------------------------------------------------------------------------

    def register(self, *reactors: Any, start: Start = BEGINNING) -> App:
        """Add reactors: classes, or instances where they have dependencies.

        The store learns of them with the next verb that needs it, or with `install`.

        Args:
            reactors: actors, projectors, reactors, or anything that fits the reactor protocol.
            start: where groups that are new to the store start: with all there is, with
                `"now"`, or with what was created since a time.

        Returns:
            The app, so that calls can be chained.

        Raises:
            RegistrationError: a group's name is taken or cannot be stored, a command has a decider
                already, or `start` is none of the three.
        """
        with self._lock:
            for reactor in reactors:
                entry = entry_of(reactor, start)
                if self._registry.add(entry):
                    self._unannounced.append(entry)
                    if isinstance(entry.reactor, Actor):
                        note_host(type(entry.reactor), self)
        return self

    @property
    def reactors(self) -> tuple[Registered, ...]:
        """What is registered, in order."""
        return tuple(self._registry)

    def registered(self, reactor: Any) -> Registered:
        """Return the entry of a reactor (class, instance or group name).

        Raises:
            UnknownGroupError: it is not registered.
        """
        return self._registry.of(reactor)

    def install(self) -> bool:
        """Make the store's tables if they are missing, and announce the groups; idempotent.

        Returns:
            Whether tables were made.
        """
        made = self.store.install()
        self.ready()
        return made

    @property
    def metrics(self) -> Metrics:
        """What this process has counted and measured for the app."""
        return self._engine.metrics

    @property
    def installed(self) -> bool:
        """Whether the store's tables are there, in this version."""
        return self.store.installed()

    def ready(self) -> tuple[Engine, Registry]:
        """Announce groups that the store does not know yet; return what does the work."""
        with self._lock:
            while self._unannounced:
                entry = self._unannounced[0]
                check_messages(entry)
                answer = self.store.register(
                    entry.group, entry.types, start=entry.start, was=entry.was
                )
                self._unannounced.pop(0)
                _tell(entry, answer)
        return self._engine, self._registry

    # --- writing ----------------------------------------------------------------------------------

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
        """Record a message, usually a command, for the workers to handle.

        Idempotent by `message.meta.id`: a repeat of the same type to the same stream writes nothing
        and returns the first one's receipt.

        Args:
            message: what to record.
            to: its stream; needed unless the message is addressed already.
            meta: user keys for the envelope; they follow to everything this message causes.
            id: the message's id where its sender has given it one, so that what is sent twice is
                recorded once.
            at: not before this moment (aware).
            after: not before so long from now.

        Returns:
            A receipt, for `wait`.

        Raises:
            PayloadError: the message cannot be stored; nothing was written.
            DuplicateMessageError: its id belongs to another message.
            UsageError: `at` and `after` are both given, or name no moment that can be.
        """
        engine, _ = self.ready()
        with engine.stamping():
            addressed, stream_id = self.addressed(message, to, meta, id)
            return dispatch_message(self.store, engine, addressed, stream_id, at=at, after=after)

    def dispatch_many(
        self, dispatches: Dispatch[Message] | Iterable[Dispatch[Message]]
    ) -> list[Receipt]:
        """Record many messages for the workers in one transaction: all of them, or none.

        Idempotent by id like `dispatch`: a repeat, of a stored message or of one given earlier,
        gets the first one's receipt. One transaction costs the store one flush to disk, so this is
        the way to bring in thousands.

        Args:
            dispatches: messages with their streams and meta; none of them for later.

        Returns:
            A receipt for each, in order.

        Raises:
            PayloadError: a message cannot be stored; nothing was written.
            DuplicateMessageError: an id belongs to another message; nothing was written.
        """
        engine, _ = self.ready()
        with engine.stamping():
            addressed = [self._addressed_now(dispatch) for dispatch in several(dispatches)]
            return dispatch_many(self.store, engine, addressed)

    def append(
        self, events: Sequence[Message] | Message, *, to: str, expected_seq: int | None = None
    ) -> list[Message]:
        """Record events without a command, for imports and integrations; all or nothing.

        Args:
            events: one or several.
            to: their stream.
            expected_seq: refuse unless the stream's head is exactly this.

        Returns:
            The events as stored, with seq and position.

        Raises:
            ConcurrencyError: the head is another.
            DuplicateMessageError: an id is stored already.
        """
        engine, _ = self.ready()
        with engine.stamping():
            return append_events(self.store, engine, events, to, expected_seq)

    def handle(
        self,
        command: Message,
        *,
        to: str | None = None,
        meta: Mapping[str, Any] | None = None,
        timeout: float = 5.0,
    ) -> list[Message]:
        """Handle one command now, in this thread, in order with the workers.

        Command and events are recorded in one transaction. Older messages of the stream are handled
        first. Reactions to the events are left to the workers.

        Args:
            command: what to decide.
            to: its stream.
            meta: user keys for the envelope.
            timeout: how long to wait, in seconds, for a worker that is at this stream.

        Returns:
            The events, as stored.

        Raises:
            Exception: what the decider raised; nothing was written.
            BusyError, StreamParkedError, GroupStoppedError: the stream is not free.
            ConcurrencyError: others were first, five times in a row.
        """
        decider = self._registry.decider_of(type(command))
        if decider is None:
            raise UsageError(
                f"no registered actor decides {type(command).__name__}; "
                "register the actor that has its @command handler"
            )
        engine, registry = self.ready()
        with engine.stamping():
            addressed = self.addressed(command, to, meta)
            now = HandleNow(engine, registry, timeout=timeout)
            _, appended = now.run([addressed], [decider], follow=False)
        return [decode(record) for record in appended.messages[1:]]

    @contextmanager
    def transaction(self) -> Iterator[AppTransaction]:
        """Open a transaction in which messages and the caller's own rows commit together."""
        self.ready()
        with self.store.transaction() as transaction:
            yield AppTransaction(self, transaction)

    def bind(self, connection: Any) -> AppTransaction:
        """Record messages inside a transaction that the caller has begun and will end."""
        self.ready()
        return AppTransaction(self, self.store.bind(connection))

    def cancel(self, message_id: UUID | Receipt, *, reason: str = "") -> bool:
        """Take a scheduled message back; False if it is not waiting any more."""
        return self.store.cancel(checked_message_id(message_id), by=this_operator(reason))

    # --- working ----------------------------------------------------------------------------------

    def drain(
        self,
        *,
        groups: Any = None,
        threads: int = 1,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Tally:
        """Handle everything that is ready, here and now, until nothing is; due messages included.

        What waits for a retry or for its time stays. Safe next to workers and other drains.

        Args:
            groups: only these: one or several, reactors or names; all of this app's when None.
            threads: how many to use.
            stopping: asked between streams; what is in hand is committed, the rest given back.

        Raises:
            UnknownGroupError: one of them is not registered with this app.
            StoreUnavailableError: the store went away; what was committed stands.
        """
        engine, registry = self.ready()
        names = None if groups is None else [registry.of(one).group for one in several(groups)]
        return drain(engine, registry, groups=names, threads=threads, stopping=stopping)

    def wait(self, receipt: Receipt, *, groups: Any = None, timeout: float = 5.0) -> None:
        """Wait until the groups have handled all that a dispatched message has caused.

        Exact: it returns when none of the groups has anything of the message's correlation left to
        handle. Scheduled messages are not waited for.

        Args:
            receipt: of the message.
            groups: one or several, reactors or names, also of other processes; all of this app's
                when None.
            timeout: how long, in seconds.

        Raises:
            UnknownGroupError: there is no such group.
            WaitTimeoutError: names what is pending.
            StreamParkedError, GroupStoppedError: it waits for an operator.
        """
        wait_until(self.waiting(receipt, groups, timeout))

    def wait_for(self, group: Any, stream_id: str, seq: int, *, timeout: float = 5.0) -> None:
        """Wait until one group has handled one stream up to a seq: read your own writes.

        Raises:
            WaitTimeoutError: says how far it is.
            StreamParkedError, GroupStoppedError: it waits for an operator.
            UsageError: a seq below 0.
        """
        wait_until(self.waiting_for(group, stream_id, seq, timeout))

    def workers(
        self,
        *,
        threads: int = 4,
        count: int | None = None,
        groups: Any = None,
        grace: float = 25.0,
    ) -> Workers:
        """Return workers for the background of this process, beside a web server or a program.

        `with app.workers(): …` runs them as long as the block; `async with` does so without
        blocking an event loop meanwhile; `start()` and `stop()` are there for programs whose parts
        do not share a block. They set no signal handlers. Start them in each process that is to
        work, after it was forked.

        Args:
            threads: how many streams' batches are handled at the same time.
            count: the same by another name.
            groups: only these: one or several, reactors or names; all of the app's when None.
            grace: how long, in seconds, what is in hand may take when they are stopped.

        Raises:
            UsageError: no threads, or no groups to serve.
            UnknownGroupError: a group is not registered with this app.
        """
        from sourced.runtime import Workers

        chosen = threads if count is None else count
        return Workers(self, threads=chosen, groups=groups, grace=grace)

    @property
    def aio(self) -> Aio:
        """The verbs as coroutines, for asyncio and trio.

        Raises:
            ConfigurationError: the extra `workers` is not installed.
        """
        from sourced._aio import Aio

        return Aio(self)

    # --- reading ----------------------------------------------------------------------------------

    def load(self, actor: type[A] | A, stream_id: str, *, upto: int | None = None) -> A:
        """Return an actor with the state of a stream, newest or as of a seq.

        Raises:
            UnknownGroupError: the actor is not registered.
            UsageError: a seq below 0.
        """
        upto, stream_id = checked_bound(upto, "upto"), checked_text(stream_id, "stream_id")
        prototype = self._registry.of(actor).reactor
        loaded: A = prototype.console_instance(stream_id, self, upto=upto)
        return loaded

    def reader(self, reactor: Any, stream_id: str) -> StreamReader:
        """Return a reader of a stream on behalf of a reactor, without the cache."""
        return StoreReader(self.store, self._registry.of(reactor).group, stream_id)

    def read_stream(
        self,
        stream_id: str,
        *,
        after: int = 0,
        upto: int | None = None,
        types: type[Message] | Collection[type[Message]] | None = None,
    ) -> Iterator[Message]:
        """Give the messages of a stream with after < seq ≤ upto, in order, page by page.

        Messages whose type is not defined here come as `UnknownMessage`.

        Raises:
            UsageError: a seq below 0.
        """
        names = checked_types(types)
        bounds = checked_place(after, "after"), checked_bound(upto, "upto")
        return self._messages(checked_text(stream_id, "stream_id"), *bounds, names)

    def _messages(
        self, stream_id: str, after: int, upto: int | None, names: frozenset[str] | None
    ) -> Iterator[Message]:
        while True:
            page = self.store.read_stream(
                stream_id, after=after, upto=upto, types=names, limit=PAGE
            )
            yield from (decode(record) for record in page.messages)
            after = page.to
            if after >= (page.head if upto is None else min(upto, page.head)):
                return

    def read_all(
        self,
        *,
        after: int | None = None,
        types: type[Message] | Collection[type[Message]] | None = None,
        limit: int = 500,
        backwards: bool = False,
    ) -> MessagePage:
        """Return a page of the whole log by position; read on with its `next_after`.

        Raises:
            UsageError: a position below 0, or a limit below 1.
        """
        names = checked_types(types)
        page = self.store.read_all(after=after, types=names, limit=limit, backwards=backwards)
        return MessagePage(
            messages=tuple(decode(record) for record in page.messages),
            next_after=page.next_after,
            waiting_for=page.waiting_for,
        )

    def trace(self, message_id: UUID | Receipt) -> Trace:
        """Return the causation tree that a message belongs to, with the open branches marked.

        Raises:
            NotFoundError: no such message.
        """
        found = checked_message_id(message_id)
        records = self.store.trace(found)
        if not records:
            raise NotFoundError(f"no message {found}")
        pending = self.store.inspect.pending(records[0].correlation_id, limit=1000)
        return trace_of([decode(record) for record in records], pending)

    # --- for the parts of the package -------------------------------------------------------------

    def trace_with(self, tracing: Tracing) -> None:
        """Tell this of appends and handling from now on; see `sourced.telemetry.instrument`."""
        self._engine.tracing = tracing

    def waiting(self, receipt: Receipt, groups: Any, timeout: float) -> Waiting:
        """Return what `wait` waits by."""
        self.ready()
        names = (
            [e.group for e in self._registry] if groups is None else self.groups.names_of(groups)
        )
        return wait_for_correlation(self._engine, receipt, names, timeout)

    def waiting_for(self, group: Any, stream_id: str, seq: int, timeout: float) -> Waiting:
        """Return what `wait_for` waits by."""
        seq, stream_id = checked_place(seq, "seq"), checked_text(stream_id, "stream_id")
        self.ready()
        return wait_for(self._engine, self.groups.name_of(group), stream_id, seq, timeout)

    def addressed(
        self,
        message: Message,
        to: str | None,
        meta: Mapping[str, Any] | None,
        id: UUID | None = None,
    ) -> tuple[Message, str]:
        """Return a message with its meta and its stream."""
        if not isinstance(message, Message):
            raise UsageError(f"expected a message such as AddItem(…), got {message!r:.100}")
        stream_id = to or message.meta.stream_id
        if stream_id is None:
            raise UsageError(f'say which stream: {type(message).__name__}(…), to="a-stream-id"')
        if meta is not None and not isinstance(meta, Mapping):
            raise UsageError(f"meta= must be a mapping such as a dict, got {safe_repr(meta, 100)}")
        if id is not None and not isinstance(id, UUID):
            raise UsageError(f"id= must be a UUID, got {safe_repr(id, 100)}")
        self._warn_unhandled(type(message))
        return (with_meta(message, user=meta, id=id) if meta or id else message), stream_id

    def _addressed_now(self, dispatch: Dispatch[Message]) -> tuple[Message, str]:
        if not isinstance(dispatch, Dispatch):
            raise UsageError(f"expected Dispatch(AddItem(…), to=…), got {safe_repr(dispatch, 100)}")
        if dispatch.at is not None or dispatch.after is not None:
            raise UsageError(
                "dispatch_many records now; use dispatch(…, at=… or after=…) for later"
            )
        return self.addressed(dispatch.message, dispatch.to, dispatch.meta)

    def _warn_unhandled(self, message: type[Message]) -> None:
        if not issubclass(message, Command) or message in self._unhandled:
            return
        if self._registry.decider_of(message) is None and not self._registry.handlers_of(message):
            self._unhandled.add(message)
            logger.info(
                "no reactor registered here handles %s",
                message.__name__,
                extra={"message_type": message.__message_type__},
            )


def _tell(entry: Registered, answer: Registration) -> None:
    if answer.added_types:
        logger.warning(
            "group %s now handles %s too; what is stored of them is not handled unless reset",
            entry.group,
            ", ".join(sorted(answer.added_types)),
            extra={"group": entry.group},
        )
    if answer.created and answer.past_streams:
        logger.info(
            "group %s is new and will handle what %s already",
            entry.group,
            "1 stream holds" if answer.past_streams == 1 else f"{answer.past_streams} streams hold",
            extra={"group": entry.group},
        )


@cache
def _default_app() -> App:
    return App()


_default_lock = threading.Lock()


def default_app() -> App:
    """Return the app in memory that unregistered actors use in a console."""
    with _default_lock:  # two threads must not make two
        return _default_app()


class _DefaultHost:
    """The default app, in which an actor is registered when it is first used."""

    def __call__(self, actor: type) -> App:
        app = default_app()
        app.register(actor)
        return app


provide_default(_DefaultHost())

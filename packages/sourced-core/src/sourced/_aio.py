"""The app's verbs as coroutines: each runs in a worker thread, so that the event loop goes on.

The store is synchronous, so a verb costs a hop to a thread. A wait holds no thread between two
looks at the store: a thousand requests may wait at once.

Cancellation. A verb that writes is finished or was never begun: cancelled before a thread has taken
it up nothing is sent, cancelled after that its end is awaited first. A verb that reads is left to
its thread, which ends with its statement. A wait ends at once. (A task that asyncio itself cancels,
by `task.cancel()`, awaits no end; the thread goes on to it all the same.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator
from functools import partial, wraps
from itertools import islice
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from sourced._actor import Actor
from sourced._app import PAGE, App
from sourced._groups import Groups
from sourced._messages import Message
from sourced._receipt import Receipt
from sourced._tally import Tally
from sourced._waiting import Waiting
from sourced.errors import ConfigurationError

try:
    from anyio import CancelScope, CapacityLimiter, Event, get_cancelled_exc_class, move_on_after
    from anyio.lowlevel import RunVar
    from anyio.to_thread import run_sync
except ImportError as error:
    raise ConfigurationError(
        "app.aio and `async with app.workers()` need anyio: pip install 'sourced-core[workers]'"
    ) from error

__all__ = ["THREADS", "Aio", "AioGroups", "in_thread", "to_its_end"]

THREADS = 40
"""How many verbs may be under way at once on one event loop; further ones wait for their turn.

They take no places of anyio's own limiter, which other libraries share.
"""

A = TypeVar("A", bound=Actor[Any])
S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")

_limiter: RunVar[CapacityLimiter] = RunVar("sourced_threads")


async def in_thread(call: Callable[[], R], *, abandon: bool = False) -> R:
    """Return what a call returns that runs in a thread, with the context variables of here.

    Args:
        call: what to run.
        abandon: if cancelled, do not wait for its end.
    """
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(THREADS)
        _limiter.set(limiter)
    return await run_sync(call, abandon_on_cancel=abandon, limiter=limiter)


async def to_its_end(call: Callable[[], object]) -> None:
    """Run a call in a thread, and wait until it has ended though the caller is cancelled."""
    with CancelScope(shield=True):
        await in_thread(call)


class _Door(Generic[S]):
    """Holds what is synchronous, for the coroutines of its verbs."""

    def __init__(self, blocking: S) -> None:
        self._blocking = blocking


class Verb(Generic[S, P, R]):
    """A verb of something synchronous, seen from its door as a coroutine function.

    Its parameters, result and documentation are those of the verb.
    """

    def __init__(self, verb: Callable[Concatenate[S, P], R], *, abandon: bool) -> None:
        self._verb = verb
        self._abandon = abandon
        self.__doc__ = verb.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Verb[S, P, R]: ...

    @overload
    def __get__(self, instance: _Door[S], owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...

    def __get__(
        self, instance: _Door[S] | None, owner: type
    ) -> Verb[S, P, R] | Callable[P, Coroutine[Any, Any, R]]:
        """Return the coroutine function of an instance."""
        if instance is None:
            return self
        verb, blocking, abandon = self._verb, instance._blocking, self._abandon

        @wraps(MethodType(verb, blocking))
        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return await in_thread(partial(verb, blocking, *args, **kwargs), abandon=abandon)

        return call


def _writes(
    verb: Callable[Concatenate[S, P], R],
) -> Callable[[Callable[..., None]], Verb[S, P, R]]:
    """Make the decorated stub the coroutine of a verb whose end is awaited, though cancelled."""
    return lambda _stub: Verb(verb, abandon=False)


def _reads(
    verb: Callable[Concatenate[S, P], R],
) -> Callable[[Callable[..., None]], Verb[S, P, R]]:
    """Make the decorated stub the coroutine of a verb that is left to its thread if cancelled."""
    return lambda _stub: Verb(verb, abandon=True)


class AioGroups(_Door[Groups]):
    """What operators do with consumer groups, as coroutines; see `Groups`."""

    @_reads(Groups.status)
    def status(self) -> None:
        """See `Groups.status`."""

    @_reads(Groups.stop)  # it is sent at once; only its `wait` takes long
    def stop(self) -> None:
        """See `Groups.stop`."""

    @_writes(Groups.start)
    def start(self) -> None:
        """See `Groups.start`."""

    @_writes(Groups.reset)
    def reset(self) -> None:
        """See `Groups.reset`."""

    @_writes(Groups.retry)
    def retry(self) -> None:
        """See `Groups.retry`."""

    @_writes(Groups.skip)
    def skip(self) -> None:
        """See `Groups.skip`."""


class Aio(_Door[App]):
    """An app's verbs as coroutines; `app.aio`. Handlers see the caller's context variables.

    The blocking verbs may be called on an event loop's thread, too; nothing else runs on that loop
    until they return.
    """

    @property
    def groups(self) -> AioGroups:
        """The consumer groups' verbs."""
        return AioGroups(self._blocking.groups)

    @_writes(App.install)
    def install(self) -> None:
        """See `App.install`."""

    @_writes(App.dispatch)
    def dispatch(self) -> None:
        """See `App.dispatch`."""

    @_writes(App.dispatch_many)
    def dispatch_many(self) -> None:
        """See `App.dispatch_many`."""

    @_writes(App.append)
    def append(self) -> None:
        """See `App.append`."""

    @_writes(App.handle)
    def handle(self) -> None:
        """See `App.handle`."""

    @_writes(App.cancel)
    def cancel(self) -> None:
        """See `App.cancel`."""

    async def drain(
        self, *, groups: Any = None, threads: int = 1, stopping: Callable[[], bool] = lambda: False
    ) -> Tally:
        """See `App.drain`; cancelled, it ends with the stream in hand and gives back the rest."""
        cancelled = threading.Event()
        ended = _Wakening()

        def drain() -> Tally:
            try:
                return self._blocking.drain(
                    groups=groups,
                    threads=threads,
                    stopping=lambda: cancelled.is_set() or stopping(),
                )
            finally:
                ended.set()

        try:
            return await in_thread(drain, abandon=True)
        except get_cancelled_exc_class():
            cancelled.set()
            with CancelScope(shield=True):
                await ended.wait()
            raise

    async def wait(
        self,
        receipt: Receipt,
        *,
        groups: Any = None,
        timeout: float = 5.0,  # noqa: ASYNC109 - its error names what is pending
    ) -> None:
        """See `App.wait`."""
        await _wait_until(partial(self._blocking.waiting, receipt, groups, timeout))

    async def wait_for(
        self,
        group: Any,
        stream_id: str,
        seq: int,
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - its error says how far the group is
    ) -> None:
        """See `App.wait_for`."""
        await _wait_until(partial(self._blocking.waiting_for, group, stream_id, seq, timeout))

    async def load(self, actor: type[A] | A, stream_id: str, *, upto: int | None = None) -> A:
        """See `App.load`; the verbs of the actor that it returns block."""
        return await in_thread(
            partial(self._blocking.load, actor, stream_id, upto=upto), abandon=True
        )

    def read_stream(
        self,
        stream_id: str,
        *,
        after: int = 0,
        upto: int | None = None,
        types: type[Message] | Collection[type[Message]] | None = None,
    ) -> AsyncIterator[Message]:
        """See `App.read_stream`."""
        return _paged(self._blocking.read_stream(stream_id, after=after, upto=upto, types=types))

    @_reads(App.read_all)
    def read_all(self) -> None:
        """See `App.read_all`."""

    @_reads(App.trace)
    def trace(self) -> None:
        """See `App.trace`."""


async def _paged(messages: Iterator[Message]) -> AsyncIterator[Message]:
    while page := await in_thread(lambda: list(islice(messages, PAGE)), abandon=True):
        for message in page:
            yield message


async def _wait_until(prepare: Callable[[], Waiting]) -> None:
    waiting = await in_thread(prepare, abandon=True)
    woken = _Wakening()
    with waiting.listening(woken.set):
        while not await in_thread(waiting.is_over, abandon=True):
            if waiting.is_in_real_time:
                with move_on_after(waiting.pause()):
                    await woken.wait()
            else:
                await in_thread(waiting.sleep)
            woken.clear()  # before the look: what is told during it is not lost


class _Wakening:
    """An event of the present loop that any thread may set, and its own task may clear."""

    def __init__(self) -> None:
        self._soon = _call_soon()
        self._event = Event()

    def set(self) -> None:
        try:
            self._soon(self._set)
        except RuntimeError:  # the loop has ended, and whoever waited on it
            return

    def clear(self) -> None:
        self._event = Event()

    async def wait(self) -> None:
        await self._event.wait()

    def _set(self) -> None:
        self._event.set()


def _call_soon() -> Callable[[Callable[[], object]], object]:
    """Return what lets another thread have something called on the present event loop.

    It does not wait until that is done, unlike `anyio.from_thread`: a loop that is blocked must not
    hold up the workers, who call this.
    """
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        from trio.lowlevel import current_trio_token

        return current_trio_token().run_sync_soon

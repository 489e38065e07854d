"""What operators do with consumer groups: stop, start, reset, retry, skip."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Collection
from typing import Any

from sourced._arguments import checked_bound, checked_seconds, checked_stream, several
from sourced._clock import Clock
from sourced._inspect import GroupStatus
from sourced._naming import nearest
from sourced._registry import Registry
from sourced._store import Operator, ResetProgress, Store
from sourced.errors import BusyError, NotFoundError, UnknownGroupError

__all__ = ["Groups", "this_operator"]

PAUSE = 0.05


def this_operator(reason: str = "") -> Operator:
    """Return who runs this process, for the operations log."""
    try:
        actor = getpass.getuser()
    except (KeyError, OSError):  # no such user in the container's passwd
        actor = ""
    return Operator(actor=actor, host=socket.gethostname(), reason=reason)


class Groups:
    """The consumer groups of an app. Every change leaves a row in the operations log.

    A group is named by its reactor (class or instance) or by its name; a name may also be of a
    group that only other processes register. Every verb raises `UnknownGroupError` for one that is
    not there.
    """

    def __init__(
        self, store: Store, registry: Registry, clock: Clock, ready: Callable[[], object]
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._ready = ready

    def name_of(self, reactor: Any) -> str:
        """Return the name of a reactor's group.

        Raises:
            UnknownGroupError: it is not registered, here or (for a name) in the store; suggests the
                nearest.
        """
        if not isinstance(reactor, str):
            return self._registry.of(reactor).group
        if reactor not in self._registry:
            self._ready()
            known = {group.name for group in self._store.inspect.groups()}
            if reactor not in known:
                raise UnknownGroupError(reactor, nearest(reactor, known))
        return reactor

    def names_of(self, reactors: Any) -> list[str]:
        """Return the names of the groups of one reactor, or of several.

        Raises:
            UnknownGroupError: one is not registered, here or (for a name) in the store.
        """
        return [self.name_of(reactor) for reactor in several(reactors)]

    def status(self, reactor: Any) -> GroupStatus:
        """Return a group's status and lag.

        Raises:
            UnknownGroupError: no such group.
        """
        name = self._named(reactor)
        found = self._store.inspect.groups([name])
        if not found:
            raise UnknownGroupError(name)
        return found[0]

    def stop(self, reactor: Any, *, reason: str = "", wait: float | None = None) -> None:
        """Let no more be claimed for a group.

        Args:
            reactor: the group's reactor or name.
            reason: kept with the group and in the operations log.
            wait: wait up to so many seconds until nothing is claimed any more.

        Raises:
            BusyError: something is still claimed after `wait`; the group is stopped all the same.
        """
        name = self._named(reactor)
        patience = None if wait is None else checked_seconds(wait, "wait")
        self._store.stop(name, by=this_operator(reason))
        if patience is None:
            return
        deadline = self._clock.monotonic() + patience
        while held := self._store.inspect.deliveries(group=name, states=["claimed"], limit=1):
            if self._clock.monotonic() >= deadline:
                raise BusyError(name, held[0].stream_id, "held")
            self._clock.sleep(PAUSE)

    def start(self, reactor: Any, *, reason: str = "") -> None:
        """Let a stopped group be claimed again."""
        self._store.start(self._named(reactor), by=this_operator(reason))

    def reset(
        self,
        reactor: Any,
        *,
        streams: str | Collection[str] | None = None,
        reason: str = "",
        progress: Callable[[ResetProgress], None] | None = None,
    ) -> ResetProgress:
        """Let a group handle again what it has handled; reactions do not run again.

        Args:
            reactor: the group's reactor or name.
            streams: only this one or these; all when None.
            reason: kept in the operations log.
            progress: told after each chunk of streams.

        Returns:
            How many streams were reset: of those named, the ones that hold something that the group
            handles.

        Raises:
            NotFoundError: a stream that is named does not exist; none was reset.
            UsageError: something that is named is no stream id.
            BusyError: the group is still being registered.
        """
        name = self._named(reactor)
        named = None if streams is None else [checked_stream(each) for each in several(streams)]
        for stream_id in named or ():
            if self._store.inspect.progress(name, stream_id).head == 0:
                raise NotFoundError(f"no stream {stream_id!r}")
        last = ResetProgress(done=0, total=0)
        for last in self._store.reset(name, named, by=this_operator(reason)):
            if progress is not None:
                progress(last)
        return last

    def retry(self, reactor: Any, stream_id: str | None = None, *, reason: str = "") -> int:
        """Make parked and waiting streams ready now: one, or all of the group.

        Returns:
            How many streams.

        Raises:
            NotFoundError: the stream named is neither parked nor waiting.
            UsageError: what is named is no stream id.
        """
        name = self._named(reactor)
        streams = None if stream_id is None else [checked_stream(stream_id)]
        count = self._store.unpark(name, streams, by=this_operator(reason))
        if stream_id is not None and count == 0:
            raise NotFoundError(
                f"stream {stream_id!r} of group {name!r} is neither parked nor waiting for a retry"
            )
        return count

    def skip(
        self, reactor: Any, stream_id: str, *, seq: int | None = None, reason: str = ""
    ) -> int:
        """Count the next pending message of a stream as handled, unrun.

        Args:
            reactor: the group's reactor or name.
            stream_id: the stream.
            seq: must be the next pending message, as a guard; whichever it is when None.
            reason: kept in the operations log.

        Returns:
            The seq that was skipped.

        Raises:
            NotFoundError: nothing is pending in the stream.
            UsageError: what is named is no stream id, or no seq.
        """
        name, stream_id = self._named(reactor), checked_stream(stream_id)
        seq = checked_bound(seq, "seq")
        if seq is None:
            found = self._store.inspect.deliveries(group=name, stream_id=stream_id, limit=1)
            if not found:
                raise NotFoundError(f"group {name!r} has nothing pending in stream {stream_id!r}")
            seq = found[0].next_seq
        self._store.skip(name, stream_id, seq, by=this_operator(reason))
        return seq

    def _named(self, reactor: Any) -> str:
        """Return the name of a group that the store knows too."""
        self._ready()
        return self.name_of(reactor)

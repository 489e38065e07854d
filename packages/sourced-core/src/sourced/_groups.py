"""What operators do with consumer groups: stop, start, reset, retry, skip."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Collection
from typing import Any

from sourced._clock import Clock
from sourced._inspect import GroupStatus
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
    group that only other processes register.
    """

    def __init__(self, store: Store, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    def name_of(self, reactor: Any) -> str:
        """Return the name of a reactor's group.

        Raises:
            UnknownGroupError: it is not registered, here or (for a name) in the store.
        """
        if isinstance(reactor, str):
            return reactor
        return self._registry.of(reactor).group

    def status(self, reactor: Any) -> GroupStatus:
        """Return a group's status and lag.

        Raises:
            UnknownGroupError: no such group.
        """
        name = self.name_of(reactor)
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
        name = self.name_of(reactor)
        self._store.stop(name, by=this_operator(reason))
        if wait is None:
            return
        deadline = self._clock.monotonic() + wait
        while held := self._store.inspect.deliveries(group=name, states=["claimed"], limit=1):
            if self._clock.monotonic() >= deadline:
                raise BusyError(name, held[0].stream_id, "held")
            self._clock.sleep(PAUSE)

    def start(self, reactor: Any, *, reason: str = "") -> None:
        """Let a stopped group be claimed again."""
        self._store.start(self.name_of(reactor), by=this_operator(reason))

    def reset(
        self,
        reactor: Any,
        *,
        streams: Collection[str] | None = None,
        reason: str = "",
        progress: Callable[[ResetProgress], None] | None = None,
    ) -> ResetProgress:
        """Let a group handle again what it has handled; reactions do not run again.

        Args:
            reactor: the group's reactor or name.
            streams: only these; all when None.
            reason: kept in the operations log.
            progress: told after each chunk of streams.

        Returns:
            How many streams were reset.
        """
        last = ResetProgress(done=0, total=0)
        for last in self._store.reset(self.name_of(reactor), streams, by=this_operator(reason)):
            if progress is not None:
                progress(last)
        return last

    def retry(self, reactor: Any, stream_id: str | None = None, *, reason: str = "") -> int:
        """Make parked and waiting streams ready now: one, or all of the group.

        Returns:
            How many streams.

        Raises:
            NotFoundError: the stream named is neither parked nor waiting.
        """
        name = self.name_of(reactor)
        streams = None if stream_id is None else [stream_id]
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
        """
        name = self.name_of(reactor)
        if seq is None:
            found = self._store.inspect.deliveries(group=name, stream_id=stream_id, limit=1)
            if not found:
                raise NotFoundError(f"group {name!r} has nothing pending in stream {stream_id!r}")
            seq = found[0].next_seq
        self._store.skip(name, stream_id, seq, by=this_operator(reason))
        return seq

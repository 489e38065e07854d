"""The listener: a thread with a connection of its own that hears other processes' hints."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final, LiteralString

from psycopg import sql

from sourced_postgres._connections import Connection
from sourced_postgres._liveness import limited
from sourced_postgres._pooler import keeps_its_session
from sourced_postgres._statements import bound

__all__ = ["Listener"]

_log = logging.getLogger("sourced.postgres")


class Listener:
    """Hears NOTIFY on the schema's channel; starts with the first subscriber.

    A notification is the sender's token and the keys of groups, or `*` for all of them. One's own
    are passed over: subscribers of the store that wrote were called already. A connection over
    which nothing comes may be dead, so after a while of silence the server is asked for an answer.
    After every reconnection all groups are hinted once, for what was missed. Behind a pooler that
    hands out single transactions nothing can be heard: that is said once, and the thread ends.

    Args:
        connect: opens a connection in autocommit mode.
        schema: names the channel.
        token: of this store.
        give: passes hints on.

    Attributes:
        reconnects: how often it has listened again after it was cut off.
    """

    WAIT: Final = 1.0
    """Seconds for which notifications are awaited before the thread looks whether it should end."""

    PROBE: Final = 10.0
    """Seconds of silence after which the server is asked whether it is there."""

    ANSWER: Final = 5.0
    """Seconds for which any answer is awaited; then the connection is given up."""

    LONGEST: Final = 5.0
    """Seconds between two attempts to connect, at most."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        schema: str,
        token: str,
        give: Callable[[frozenset[str]], None],
    ) -> None:
        self._connect, self._schema, self._token, self._give = connect, schema, token, give
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_deaf = False
        self._ended = threading.Event()
        self._listening = threading.Event()
        self.reconnects = 0

    def start(self) -> None:
        """Listen, if it does not already; return when it does, or when that takes long."""
        with self._mutex:
            if self._is_deaf:
                return
            if self._thread is None or not self._thread.is_alive():
                self._ended, self._listening = threading.Event(), threading.Event()
                self._thread = threading.Thread(
                    target=self._run,
                    args=(self._ended, self._listening),
                    name="sourced-listener",
                    daemon=True,
                )
                self._thread.start()
            listening = self._listening
        listening.wait(timeout=self.WAIT)

    def stop(self) -> None:
        """End the thread."""
        with self._mutex:
            thread, self._thread = self._thread, None
            self._ended.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=self.WAIT * 5)

    def _run(self, ended: threading.Event, listening: threading.Event) -> None:
        pause, is_first, is_lost = 0.1, True, False
        while not ended.is_set():
            try:
                with self._connect() as connection:
                    if not self._can_hear(connection):
                        self._give_up()
                        listening.set()
                        return
                    self._begin(connection)
                    if is_lost:
                        _log.warning("listening for hints again")
                    pause, is_lost = 0.1, False
                    listening.set()
                    if not is_first:
                        self.reconnects += 1
                        self._give(self._names(connection, "*"))
                    self._hear(connection, ended)
            except Exception as error:  # noqa: BLE001 - it reconnects whatever cut it off
                if not is_lost:
                    _log.warning(
                        "no longer listening for hints (%s); polling finds the work meanwhile",
                        type(error).__name__,
                    )
                is_lost = True
                listening.set()
                ended.wait(random.uniform(pause / 2, pause))
                pause = min(pause * 2, self.LONGEST)
            is_first = False

    def _can_hear(self, connection: Connection) -> bool:
        with limited(connection, self.ANSWER):
            return keeps_its_session(connection, self._connect)

    def _give_up(self) -> None:
        self._is_deaf = True
        _log.warning(
            "hints on %r cannot be heard through a pooler that hands out single transactions: "
            "workers find work when they poll; say hints=off, or connect past the pooler",
            self._schema,
        )

    def _begin(self, connection: Connection) -> None:
        with limited(connection, self.ANSWER):
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._schema)))

    def _hear(self, connection: Connection, ended: threading.Event) -> None:
        """Pass hints on until told to end; an error if the server falls silent."""
        answered_at = time.monotonic()
        while not ended.is_set():
            heard = {n.payload for n in connection.notifies(timeout=self.WAIT, stop_after=1)}
            for payload in heard:
                token, _, keys = payload.partition(" ")
                if token != self._token:
                    self._give(self._names(connection, keys))
            if heard:
                answered_at = time.monotonic()
            elif time.monotonic() - answered_at >= self.PROBE:
                with limited(connection, self.ANSWER):
                    connection.execute("")
                answered_at = time.monotonic()

    def _names(self, connection: Connection, keys: str) -> frozenset[str]:
        wanted = None if keys == "*" else "{" + keys.replace(" ", ",") + "}"
        with limited(connection, self.ANSWER):
            rows = connection.execute(bound(self._schema, _NAMES), [wanted]).fetchall()
        return frozenset(name for (name,) in rows)


_NAMES: Final[LiteralString] = """
SELECT g.name
FROM {s}.groups AS g
WHERE g.id = ANY (coalesce(%s::integer[], ARRAY[g.id]))
"""

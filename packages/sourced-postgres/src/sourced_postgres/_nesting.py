"""Which transactions are open in this process, and whether the running code is inside one of them.

A verb of the store inside such a transaction would write on a connection of its own: not with the
transaction's rows, and sometimes waiting for locks of the transaction that waits for it, which no
server could see. So it is refused at once, in the transaction's thread and in its context.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sourced._inside import Inside
from sourced.errors import UsageError

__all__ = ["OpenTransactions"]


class OpenTransactions:
    """The transactions in which a store lets its caller work.

    Args:
        name: of the database, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._mutex = threading.Lock()
        self._open: frozenset[Inside] = frozenset()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Note that this thread and context are inside a transaction while the body runs."""
        inside = Inside()
        inside.enter()
        with self._mutex:
            self._open |= {inside}
        try:
            yield
        finally:
            with self._mutex:
                self._open -= {inside}
            inside.leave()

    @property
    def is_here(self) -> bool:
        """Whether this code is inside one of them."""
        return bool(self._open) and any(inside.is_here for inside in self._open)

    def check_outside(self) -> None:
        """Refuse what must not be done inside one.

        Raises:
            UsageError: says what to use instead.
        """
        if self.is_here:
            raise UsageError(
                f"the store was asked to write inside an open transaction on {self._name}: "
                "in a sync, leave messages to the handler's outcomes, or use the verbs of "
                "store.bind(connection); in store.transaction(), use its own verbs"
            )

"""What a process does: statements, each of which says which may follow."""

from __future__ import annotations

from abc import ABC, abstractmethod

from storage_protocol.connection import Connection
from storage_protocol.world import Memory, Step

__all__ = ["GAVE_UP", "Program"]

GAVE_UP = "gave up"
"""The way of a process that waited too long. It tries again when nothing is in its way: were it to
try all the time, the search would never see that all others stand still."""


class Program(ABC):
    """A process's verbs. Programs are equal only to themselves, so that worlds can be compared.

    Attributes:
        name: what traces call it.
        worker: the worker whose thread it is, if it is one; group: the name it claims under.
    """

    name: str
    worker: str = ""
    group: str = ""

    @property
    @abstractmethod
    def start(self) -> tuple[Step, ...]:
        """The statements that may come first; with them it waits while there is nothing to do."""

    def interrupted(self, connection: Connection) -> None:
        """Go on after the server has ended the transaction: begin again."""
        connection.remember(Memory(times=connection.memory.times))
        connection.rest(*self.start)

"""The undo journal: how to take back, step by step, what a transaction has written."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Journal"]


class Journal:
    """Undo steps of the open transaction, last one last.

    Nothing is copied beforehand: undoing costs what was written, never what is stored.
    """

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        self._steps: list[Callable[[], None]] = []

    def note(self, undo: Callable[[], None]) -> None:
        """Remember how to take the last write back."""
        self._steps.append(undo)

    def mark(self) -> int:
        """Return a savepoint to `undo` to."""
        return len(self._steps)

    def undo(self, mark: int = 0) -> None:
        """Take back everything since the mark, latest first."""
        while len(self._steps) > mark:
            self._steps.pop()()

    def forget(self) -> None:
        """Let what was written stand."""
        self._steps.clear()

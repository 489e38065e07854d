"""Counts what rounds did."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Tally"]


@dataclass(slots=True)
class Tally:
    """What a round or a drain did.

    Attributes:
        claimed: streams claimed.
        handled: messages handled, counted once per group.
        retried: messages that failed and wait for another try.
        parked: streams set aside.
        stopped: groups stopped by their policy.
        skipped: messages skipped by their policy.
    """

    claimed: int = 0
    handled: int = 0
    retried: int = 0
    parked: int = 0
    stopped: int = 0
    skipped: int = 0

    @property
    def failed(self) -> int:
        """How many messages failed, whatever their policy decided."""
        return self.retried + self.parked + self.stopped + self.skipped

    def add(self, other: Tally) -> None:
        """Count another one in."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

"""What runs inside the commit's transaction and after it, as outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sourced._batch import Batch
from sourced._outcomes import AfterCommit, Outcome, Sync

__all__ = ["Hooks"]


@dataclass(frozen=True, slots=True)
class Hooks:
    """A class's `sync` and `after_commit`, where it defines them."""

    sync: Callable[[Any, Batch], object] | None = None
    after_commit: Callable[[Any, Batch], object] | None = None

    def outcomes(self, state: Any, batch: Batch) -> list[Outcome]:
        """Return what runs them with a state and the batch that led to it."""
        outcomes: list[Outcome] = []
        sync, after_commit = self.sync, self.after_commit
        if sync is not None:
            outcomes.append(
                Sync(lambda connection: sync(state, replace(batch, connection=connection)))
            )
        if after_commit is not None:
            outcomes.append(AfterCommit(lambda: after_commit(state, batch)))
        return outcomes

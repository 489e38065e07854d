"""The operations log: what operators did, to what, and why."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Insert, insert

from sourced._store import Operator
from sourced_sqlalchemy._scope import Scope
from sourced_sqlalchemy._tables import Tables

__all__ = ["record"]


def record(
    scope: Scope,
    verb: str,
    target: str,
    by: Operator | None,
    *,
    before: str = "",
    after: str = "",
) -> None:
    """Write a row into the operations log."""
    operator = by or Operator()
    scope.execute(
        _insert(scope.tables),
        at=scope.now,
        actor=operator.actor,
        host=operator.host,
        verb=verb,
        target=target,
        reason=operator.reason,
        before=before,
        after=after,
    )


@cache
def _insert(tables: Tables) -> Insert:
    return insert(tables.operations)

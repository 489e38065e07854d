"""Groups by name and by surrogate key."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import ScalarSelect, Select, bindparam, select

from sourced_sqlalchemy._scope import Scope, many
from sourced_sqlalchemy._tables import Tables

__all__ = ["group_key", "group_names"]


def group_key(tables: Tables, parameter: str = "name") -> ScalarSelect[Any]:
    """Return the surrogate key of the group whose name is the parameter, for a statement."""
    g = tables.groups.c
    return select(g.id).where(g.name == bindparam(parameter)).scalar_subquery()


def group_names(scope: Scope, keys: Collection[int]) -> frozenset[str]:
    """Return the names of groups."""
    if not keys:
        return frozenset()
    return frozenset(scope.execute(_names(scope.tables), keys=list(keys)).scalars())


@cache
def _names(tables: Tables) -> Select[Any]:
    g = tables.groups.c
    return select(g.name).where(g.id.in_(many("keys")))

"""Groups by name and by surrogate key."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, bindparam, select

from sourced_sqlalchemy._scope import AnySelect, Scope, many
from sourced_sqlalchemy._tables import Tables
from sourced_sqlalchemy._types import SoughtText

__all__ = ["group_key", "group_names"]


def group_key(tables: Tables) -> ColumnElement[Any]:
    """Return the surrogate key of the group whose name is the parameter `name`."""
    g = tables.groups.c
    return select(g.id).where(g.name == bindparam("name", type_=SoughtText)).scalar_subquery()


def group_names(scope: Scope, keys: Collection[int]) -> frozenset[str]:
    """Return the names of groups."""
    if not keys:
        return frozenset()
    return frozenset(scope.execute(_names(scope.tables), keys=list(keys)).scalars())


@cache
def _names(tables: Tables) -> AnySelect:
    g = tables.groups.c
    return select(g.name).where(g.id.in_(many("keys")))

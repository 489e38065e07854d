"""Rename: a group goes on under a new name, and none is made under a name that it had before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from sqlalchemy import Delete, Insert, Update, bindparam, delete, func, insert, select, update

from sourced.errors import RegistrationError
from sourced_sqlalchemy._groups import Group, find_group
from sourced_sqlalchemy._scope import AnySelect, Scope
from sourced_sqlalchemy._tables import Tables

__all__ = ["find_renamed", "rename"]


def find_renamed(scope: Scope, name: str, was: Sequence[str]) -> list[Group]:
    """Return the groups that are still called by a former name."""
    found = (find_group(scope, former) for former in dict.fromkeys(was) if former != name)
    return [group for group in found if group is not None]


def rename(scope: Scope, name: str, was: Sequence[str]) -> None:
    """Give a group that is still called by a former name its new one.

    Raises:
        RegistrationError: two groups would become one, or a group would be made that the store
            knows by another name.
    """
    former = find_renamed(scope, name, was)
    known = [group.name for group in former]
    is_known = find_group(scope, name) is not None
    if former and is_known:
        known.append(name)
    if len(known) > 1:
        raise RegistrationError(
            f"{' and '.join(map(repr, known))} are groups of their own, so {name!r} cannot take "
            "a former name over; remove the groups that it does not go on from"
        )
    if not is_known:
        _refuse_old_code(scope, name, was)
    for group in former:
        _rename(scope, group, name)


def _refuse_old_code(scope: Scope, name: str, was: Sequence[str]) -> None:
    for former in (name, *was):
        now = scope.execute(_renamed_to(scope.tables), name=former).scalar()
        if now is not None and now not in was:
            raise RegistrationError(
                f"group {former!r} was renamed to {now!r}; deploy the new code, or name {now!r} "
                f"in `was` of group {name!r} to rename it again"
            )


def _rename(scope: Scope, group: Group, name: str) -> None:
    tables = scope.tables
    scope.execute(_set_name(tables), key=group.id, to_name=name)
    scope.execute(_forget(tables), name=name)
    scope.execute(_remember(tables), name=group.name, group=group.id)
    # Nobody can commit a claim that names the old group: it must not be held until its worker ends.
    scope.execute(_let_go(tables), own_group=group.id, now=scope.now)


# --- statements -----------------------------------------------------------------------------------


@cache
def _renamed_to(tables: Tables) -> AnySelect:
    g, f = tables.groups.c, tables.former_names.c
    return select(g.name).where(g.id == f.group, f.name == bindparam("name"))


@cache
def _set_name(tables: Tables) -> Update:
    g = tables.groups.c
    return update(tables.groups).where(g.id == bindparam("key")).values(name=bindparam("to_name"))


@cache
def _forget(tables: Tables) -> Delete:
    return delete(tables.former_names).where(tables.former_names.c.name == bindparam("name"))


@cache
def _remember(tables: Tables) -> Insert:
    return insert(tables.former_names)


@cache
def _let_go(tables: Tables) -> Update:
    d = tables.deliveries.c
    return (
        update(tables.deliveries)
        .where(d.group == bindparam("own_group"), d.worker.is_not(None))
        .values(
            worker=None,
            claimed_at=None,
            attempts=func.max(d.attempts - 1, 0),
            ready_at=bindparam("now"),
        )
    )

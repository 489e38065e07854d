"""Rename: a group goes on under a new name, and none is made under a name that it had before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sourced.errors import RegistrationError
from sourced.memory._tables import Delivery, Tables

__all__ = ["find_renamed", "rename"]


def find_renamed(tables: Tables, name: str, was: Sequence[str]) -> list[str]:
    """Return the former names by which groups are still called."""
    return [former for former in dict.fromkeys(was) if former != name and former in tables.groups]


def rename(tables: Tables, name: str, was: Sequence[str]) -> None:
    """Give a group that is still called by a former name its new one.

    Raises:
        RegistrationError: two groups would become one, or a group would be made that the store
            knows by another name.
    """
    former = find_renamed(tables, name, was)
    known = [*former, name] if former and name in tables.groups else former
    if len(known) > 1:
        raise RegistrationError(
            f"{' and '.join(map(repr, known))} are groups of their own, so {name!r} cannot take "
            "a former name over; remove the groups that it does not go on from"
        )
    if name not in tables.groups:
        _refuse_old_code(tables, name, was)
    for old in former:
        _rename(tables, old, name)


def _refuse_old_code(tables: Tables, name: str, was: Sequence[str]) -> None:
    renamed = {former: group.name for group in tables.groups for former in group.former}
    for former in (name, *was):
        now = renamed.get(former)
        if now is not None and now not in was:
            raise RegistrationError(
                f"group {former!r} was renamed to {now!r}; deploy the new code, or name {now!r} "
                f"in `was` of group {name!r} to rename it again"
            )


def _rename(tables: Tables, old: str, name: str) -> None:
    group = tables.groups.require(old)
    tables.groups.delete(old)
    tables.groups.put(name, replace(group, name=name, former=(group.former | {old}) - {name}))
    for row in list(tables.deliveries.of(old).rows.values()):
        tables.deliveries.drop(row)
        tables.make_ready(replace(_unclaimed(tables, row), group=name))
    for snapshot in [row for row in tables.snapshots if row.group == old]:
        tables.snapshots.delete((old, snapshot.stream_id))
        tables.snapshots.put((name, snapshot.stream_id), replace(snapshot, group=name))


def _unclaimed(tables: Tables, row: Delivery) -> Delivery:
    # Nobody can commit a claim that names the old group: it must not be held until its worker ends.
    if row.worker is None:
        return row
    attempts = max(row.attempts - 1, 0)
    return replace(row, worker=None, claimed_at=None, attempts=attempts, ready_at=tables.now)

"""Stores whose tables have versions, and roles to grant: what they can do beside the port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol, runtime_checkable

from sourced_cli._exit import Code, CommandError
from sourced_cli._text import hide_passwords

__all__ = ["Migrating", "Migration", "migrating", "wrong_usage"]


class Migration(Protocol):
    """One step from a version of the tables to the next."""

    @property
    def version(self) -> int:
        """The one that it leads to."""

    @property
    def name(self) -> str:
        """What it is about."""

    @property
    def applied_at(self) -> datetime | None:
        """When it was applied; None: not yet."""


@runtime_checkable
class Migrating(Protocol):
    """A store whose tables have versions."""

    def install(self, *, role: str | None = None) -> bool:
        """Make what is missing, and grant a role what workers need."""

    def migrations(self) -> Sequence[Migration]:
        """Return every step, oldest first."""

    def migrate(self) -> Sequence[Migration]:
        """Bring installed tables to the newest version; return the steps that were taken."""

    def migration_sql(self, *, after: int | None = None, role: str | None = None) -> str:
        """Return the script that does what `install` does, from a version on."""


def migrating(store: object, name: str, lacks: str) -> Migrating:
    """Return a store as one whose tables have versions.

    Args:
        store: any.
        name: what it is called.
        lacks: what it has not, if it is none: "migrations".

    Raises:
        CommandError: it is none.
    """
    if isinstance(store, Migrating):
        return store
    raise CommandError(
        Code.REFUSED,
        f"the store {hide_passwords(name)} has no {lacks}",
        name=f"store.no-{lacks}",
        subject=hide_passwords(name),
        hint="`sourced install` is all that it needs; PostgreSQL with sourced-postgres has them",
    )


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Tell what the store says of a version or a role as wrong usage of the command."""
    from sourced.errors import UsageError

    try:
        yield
    except UsageError as error:
        raise CommandError(Code.USAGE, str(error), name="usage") from error

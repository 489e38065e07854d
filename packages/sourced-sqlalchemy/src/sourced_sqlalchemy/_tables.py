"""The tables, as SQLAlchemy Core sees them; `metadata` holds those of the default prefix."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from sourced.errors import StoreUrlError
from sourced_sqlalchemy._types import KEY, Identifier, Moment, ReadableText

__all__ = ["DEFAULT_PREFIX", "Tables", "metadata", "tables_of"]

DEFAULT_PREFIX: Final = "sourced_"

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


class Tables:
    """The tables of one prefix, and the metadata that holds them.

    Streams, groups and deliveries refer to one another by surrogate keys, without foreign keys:
    renaming a group touches one row, and an append never checks a reference.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix: str = prefix
        self.metadata: MetaData = MetaData()
        self.streams: Table = self._streams()
        self.messages: Table = self._messages()
        self.groups: Table = self._groups()
        self.former_names: Table = self._former_names()
        self.subscriptions: Table = self._subscriptions()
        self.deliveries: Table = self._deliveries()
        self.schedule: Table = self._schedule()
        self.snapshots: Table = self._snapshots()
        self.workers: Table = self._workers()
        self.operations: Table = self._operations()
        self.counters: Table = self._counters()
        self.migrations: Table = self._migrations()

    def _table(self, name: str, *parts: Column[object] | Index | UniqueConstraint) -> Table:
        return Table(f"{self.prefix}{name}", self.metadata, *parts)

    def _index(self, name: str, *columns: str, where: str | None = None) -> Index:
        condition = None if where is None else text(where)
        return Index(f"{self.prefix}{name}", *columns, sqlite_where=condition)

    def _streams(self) -> Table:
        return self._table(
            "streams",
            Column("id", KEY, primary_key=True),
            Column("stream_id", Text, nullable=False, unique=True),
            Column("seq", KEY, nullable=False),
        )

    def _messages(self) -> Table:
        return self._table(
            "messages",
            Column("position", KEY, primary_key=True),
            Column("stream", KEY, nullable=False),
            Column("seq", KEY, nullable=False),
            Column("id", Identifier, nullable=False, unique=True),
            Column("type", Text, nullable=False),
            Column("version", Integer, nullable=False),
            Column("created_at", Moment, nullable=False),
            Column("causation_id", Identifier, nullable=False),
            Column("correlation_id", Identifier, nullable=False),
            # Bytes of meta and payload: what bounds a read must not have to load them.
            Column("size", KEY, nullable=False),
            Column("meta", Text, nullable=False),
            Column("payload", Text, nullable=False),
            UniqueConstraint("stream", "seq"),
            self._index("messages_correlation", "correlation_id", "position"),
        )

    def _groups(self) -> Table:
        return self._table(
            "groups",
            Column("id", KEY, primary_key=True),
            Column("name", Text, nullable=False, unique=True),
            Column("status", Text, nullable=False),
            Column("reason", ReadableText, nullable=False),
            Column("since", Moment, nullable=False),
            # The unfinished fill: streams after `fill_after` up to `fill_upto` are still to come.
            Column("fill_after", KEY),
            Column("fill_upto", KEY),
            Column("fill_start", Moment),
        )

    def _former_names(self) -> Table:
        # What a group was called: whoever registers it so runs old code.
        return self._table(
            "former_names",
            Column("name", Text, primary_key=True),
            Column("group", KEY, nullable=False),
        )

    def _subscriptions(self) -> Table:
        return self._table(
            "subscriptions",
            Column("type", Text, primary_key=True),
            Column("group", KEY, primary_key=True, autoincrement=False),
            self._index("subscriptions_group", "group", "type"),
        )

    def _deliveries(self) -> Table:
        return self._table(
            "deliveries",
            Column("id", KEY, primary_key=True),
            Column("group", KEY, nullable=False),
            Column("stream", KEY, nullable=False),
            Column("next_seq", KEY, nullable=False),
            Column("replay_until", KEY, nullable=False, default=0),
            Column("restarted", Boolean, nullable=False, default=False),
            Column("ready_at", Moment, nullable=False),
            Column("worker", Text),
            Column("epoch", KEY, nullable=False, default=0),
            Column("claimed_at", Moment),
            Column("attempts", Integer, nullable=False, default=0),
            Column("suspect", Boolean, nullable=False, default=False),
            Column("parked_at", Moment),
            Column("error", ReadableText),
            UniqueConstraint("group", "stream"),
            # Claims walk this one: what is claimed or parked is not in it, what is drained is gone.
            self._index(
                "deliveries_claimable",
                "group",
                "ready_at",
                where="worker IS NULL AND parked_at IS NULL",
            ),
            self._index("deliveries_worker", "worker", where="worker IS NOT NULL"),
            self._index("deliveries_parked", "group", "parked_at", where="parked_at IS NOT NULL"),
        )

    def _schedule(self) -> Table:
        return self._table(
            "schedule",
            Column("id", KEY, primary_key=True),
            Column("message_id", Identifier, nullable=False, unique=True),
            Column("due_at", Moment, nullable=False),
            Column("stream_id", Text, nullable=False),
            Column("type", Text, nullable=False),
            Column("version", Integer, nullable=False),
            Column("created_at", Moment, nullable=False),
            Column("causation_id", Identifier, nullable=False),
            Column("correlation_id", Identifier, nullable=False),
            Column("meta", Text, nullable=False),
            Column("payload", Text, nullable=False),
            Column("error", ReadableText),
            self._index("schedule_due", "due_at", where="error IS NULL"),
        )

    def _snapshots(self) -> Table:
        return self._table(
            "snapshots",
            Column("group", KEY, primary_key=True, autoincrement=False),
            Column("stream", KEY, primary_key=True, autoincrement=False),
            Column("seq", KEY, nullable=False),
            Column("version", Integer, nullable=False),
            Column("state", Text, nullable=False),
        )

    def _workers(self) -> Table:
        return self._table(
            "workers",
            Column("id", Text, primary_key=True),
            Column("name", ReadableText, nullable=False),
            Column("host", ReadableText, nullable=False),
            Column("pid", KEY, nullable=False),
            Column("code_version", ReadableText, nullable=False),
            Column("started_at", Moment, nullable=False),
            Column("seen_at", Moment, nullable=False),
            Column("handles", Text, nullable=False),
        )

    def _operations(self) -> Table:
        return self._table(
            "operations",
            Column("id", KEY, primary_key=True),
            Column("at", Moment, nullable=False),
            Column("actor", ReadableText, nullable=False),
            Column("host", ReadableText, nullable=False),
            Column("verb", Text, nullable=False),
            Column("target", ReadableText, nullable=False),
            Column("reason", ReadableText, nullable=False),
            Column("before", ReadableText, nullable=False),
            Column("after", ReadableText, nullable=False),
        )

    def _counters(self) -> Table:
        # Epochs come from here: never from a delivery, which is deleted and made again (I3).
        return self._table(
            "counters",
            Column("name", Text, primary_key=True),
            Column("value", KEY, nullable=False),
        )

    def _migrations(self) -> Table:
        return self._table(
            "migrations",
            Column("version", Integer, primary_key=True, autoincrement=False),
            Column("applied_at", Moment, nullable=False),
        )


@cache
def tables_of(prefix: str) -> Tables:
    """Return the tables of a prefix, always the same object for the same prefix.

    Raises:
        StoreUrlError: the prefix is no identifier.
    """
    if not _IDENTIFIER.fullmatch(prefix) or prefix.lower().startswith("sqlite_"):
        raise StoreUrlError(
            f"the table prefix {prefix!r} is no identifier: use 1 to 40 letters, digits and "
            "underscores, not beginning with a digit or 'sqlite_'"
        )
    return Tables(prefix)


metadata: Final = tables_of(DEFAULT_PREFIX).metadata
"""The tables of the default prefix, for Alembic's `target_metadata` and for joins with your own."""

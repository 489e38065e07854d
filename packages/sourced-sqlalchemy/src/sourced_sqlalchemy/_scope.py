"""What the functions of a verb work with: one transaction's connection, the tables, the time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import (
    BindParameter,
    Connection,
    CursorResult,
    Executable,
    Integer,
    Row,
    Select,
    TableValuedAlias,
    bindparam,
    func,
)

from sourced._json_text import text_problem
from sourced_sqlalchemy._tables import Tables

__all__ = ["AnyResult", "AnyRow", "AnySelect", "Scope", "cell", "listed", "many", "rows_of"]

if TYPE_CHECKING:  # SQLAlchemy 2.0 knows rows as one type of a tuple, 2.1 as the types in it
    AnyRow: TypeAlias = Row[*tuple[Any, ...]]
    AnyResult: TypeAlias = CursorResult[*tuple[Any, ...]]
    AnySelect: TypeAlias = Select[*tuple[Any, ...]]
else:
    AnyRow = Row
    AnyResult = CursorResult
    AnySelect = Select


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One transaction.

    Attributes:
        connection: SQLAlchemy's, inside the transaction.
        tables: of the store's prefix.
        now: the store's time when the transaction began.
        max_message_bytes: what one message may weigh.
        stirred: groups for which a delivery became ready in this transaction, for hints.
    """

    connection: Connection
    tables: Tables
    now: datetime
    max_message_bytes: int
    stirred: set[str] = field(default_factory=set)

    def execute(self, statement: Executable, **values: Any) -> AnyResult:
        """Execute a statement with named values."""
        result: AnyResult = self.connection.execute(statement, values)
        return result

    def execute_many(self, statement: Executable, rows: Sequence[dict[str, Any]]) -> None:
        """Execute a statement once for each row of values; nothing for none."""
        if rows:
            self.connection.execute(statement, rows)


def many(name: str, type_: Any = None) -> BindParameter[Any]:
    """Return a parameter for the right side of IN."""
    return bindparam(name, expanding=True, type_=type_)


def rows_of(name: str) -> TableValuedAlias:
    """Return rows handed in as one JSON array of arrays, as `key` (from 0) and `value`.

    So a statement about many streams keeps one text, is prepared once and never meets SQLite's
    bound on parameters.
    """
    return func.json_each(bindparam(name)).table_valued("key", "value", name=name)


def listed(texts: Iterable[str]) -> str:
    """Return texts to be looked for as one JSON array, for `rows_of`.

    Those that could never be stored are left out: SQLite cuts a text of JSON at a NUL, and would
    find another one.
    """
    return json.dumps([text for text in sorted(set(texts)) if text_problem(text) is None])


def cell(rows: TableValuedAlias, column: int) -> Any:
    """Return a column of `rows_of`, as a number."""
    return func.json_extract(rows.c.value, f"$[{column}]", type_=Integer)

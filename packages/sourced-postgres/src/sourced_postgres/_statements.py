"""The calls of the functions, written out once per schema."""

from __future__ import annotations

from functools import cache
from typing import LiteralString

from psycopg import sql

__all__ = ["bound", "call"]


@cache
def call(schema: str, verb: str, parameters: int, columns: str = "*") -> bytes:
    """Return the statement that calls a function with so many parameters.

    Args:
        schema: where it is.
        verb: its name.
        parameters: how many it is given, in order.
        columns: which columns of its answer are asked for, separated by spaces.
    """
    names = [sql.SQL("*") if columns == "*" else sql.Identifier(c) for c in columns.split()]
    statement = sql.SQL("SELECT {} FROM {}({})").format(
        sql.SQL(", ").join([sql.SQL("*")] if columns == "*" else names),
        sql.Identifier(schema, verb),
        sql.SQL(", ").join([sql.Placeholder()] * parameters),
    )
    return statement.as_bytes(None)


@cache
def bound(schema: str, text: LiteralString) -> bytes:
    """Return a statement of this package with `{s}` bound to the schema."""
    return sql.SQL(text).format(s=sql.Identifier(schema)).as_bytes(None)

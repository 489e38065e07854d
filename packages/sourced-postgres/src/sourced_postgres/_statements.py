"""The calls of the functions, written out once per schema."""

from __future__ import annotations

from functools import cache
from typing import Final, LiteralString

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
    """Return a statement of this package with `{s}` bound to the schema.

    `{message}` stands for the columns of a message, of `m` and its stream `s`, as `_rows.stored`
    takes them; `{state}` for what a delivery `d` waits for.
    """
    name = sql.Identifier(schema)
    state = sql.SQL(_STATE).format(s=name)
    return sql.SQL(text).format(s=name, message=sql.SQL(_MESSAGE), state=state).as_bytes(None)


# The moment without its zone is in UTC whatever zone the session is in.
_MESSAGE: Final = """
    m.id, m.type, s.stream_id, m.payload, m.meta, m.created_at AT TIME ZONE 'UTC',
    m.causation_id, m.correlation_id, m.version, m.seq, m.position
"""

_STATE: Final = """
    CASE
        WHEN d.parked_at IS NOT NULL THEN 'parked'
        WHEN d.worker IS NOT NULL THEN 'claimed'
        WHEN d.ready_at > {s}.now() THEN 'retrying'
        ELSE 'ready'
    END
"""

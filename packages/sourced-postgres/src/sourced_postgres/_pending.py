"""Read pending: rows of the function to what each claim has to handle."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sourced._limits import size_of
from sourced._records import StoredMessage
from sourced._store import Claim, Pending, ReadLimits, Tails, UnknownPending
from sourced_postgres._connections import Connection
from sourced_postgres._names import listed
from sourced_postgres._rows import Row, most, plain_array, stored, text_array
from sourced_postgres._statements import call

__all__ = ["read_group"]


def read_group(
    connection: Connection,
    schema: str,
    claims: Sequence[Claim],
    known_types: Collection[str],
    limits: ReadLimits,
    tails: Tails | None,
) -> tuple[list[Pending], int]:
    """Read what claims of one group have to handle; see the port.

    Returns:
        An answer for each claim, and how many bytes of the limit they took.
    """
    arguments = _arguments(claims, known_types, limits, tails)
    statement = call(schema, "read_pending", len(arguments))
    heads: dict[int, Row] = {}
    messages: list[list[StoredMessage]] = [[] for _ in claims]
    history: list[list[StoredMessage]] = [[] for _ in claims]
    spent = 0
    for row in connection.execute(statement, arguments).fetchall():
        place, kind = row[0] - 1, row[1]
        if kind == 0:
            heads[place] = row
            continue
        message = stored((row[4], row[5], claims[place].stream_id, *row[6:]))
        spent += size_of(message)
        (messages if kind == 1 else history)[place].append(message)
    pending = [
        _pending(claim, heads[place], messages[place], history[place])
        for place, claim in enumerate(claims)
    ]
    return pending, spent


def _arguments(
    claims: Sequence[Claim],
    known_types: Collection[str],
    limits: ReadLimits,
    tails: Tails | None,
) -> list[Any]:
    history: list[Any] = [None, None]
    if tails is not None and tails.after:
        afters = [tails.after.get(claim.stream_id) for claim in claims]
        history = [listed(tails.types), plain_array(afters)]
    return [
        claims[0].group,
        claims[0].worker,
        text_array([claim.stream_id for claim in claims]),
        plain_array([claim.next_seq for claim in claims]),
        listed(known_types),
        most(limits.messages),
        str(limits.bytes),
        most(limits.tail),
        *history,
    ]


def _pending(
    claim: Claim, row: Row, messages: list[StoredMessage], history: list[StoredMessage]
) -> Pending:
    unknown = None
    if row[5] is not None:
        unknown = UnknownPending(type=row[5], seq=row[13], known_elsewhere=row[11] > 0)
    return Pending(
        claim=claim,
        messages=tuple(messages),
        looked_to=row[12],
        head=row[2],
        unknown=unknown,
        tail=tuple(history),
        tail_to=row[3],
    )

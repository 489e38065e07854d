"""The codec of unions: nothing marks a member, so each value must tell by itself what it is.

A JSON value goes to the members that are read from its type, exact types first: `true` is no
integer, and `1` is a float only where no integer is possible. Text is a moment or an identifier
where it reads as one and where the union has one, and plain text otherwise; an object belongs to
the first record that knows all its keys, then to the first that can read it.

What could be misread is refused. At definition: members whose texts cannot be told apart at all,
such as `str | bytes`. At encoding: a value that would be read back as another one, such as the
text of a UUID in `str | UUID`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sourced._codec._node import ALL_JSON, Definitions, JsonSchema, Node, Unsupported
from sourced._problems import Invalid, shown

__all__ = ["union_node"]

_FREE_TEXT = frozenset({str, bytes, Decimal})
"""Types whose texts are no sign of the type: `1200` may be any of them."""

Failures = list[tuple[Node, Invalid]]


def union_node(members: list[Node]) -> Node:
    """Return the node of a union.

    Raises:
        Unsupported: members that no reader could tell apart.
    """
    _refuse_ambiguous(members)
    what = " or ".join(member.what for member in members)
    by_class = {m.python: _exact_first(members, m.python) for m in members if m.python}
    readers = {kind: _readers(members, kind) for kind in ALL_JSON}
    is_overlapping = any(len(found) > 1 for found in readers.values())
    takes_blank = _has_lax(members) and type(None) in by_class

    def encode(value: Any) -> Any:
        failures: Failures = []
        misread = False
        for member in by_class.get(type(value), members):
            try:
                data = member.encode(value)
            except Invalid as invalid:
                failures.append((member, invalid))
            else:
                if not is_overlapping or decode(data) == value:
                    return data
                misread = True
        if misread:
            raise Invalid.because(f"{shown(value)} would be read back as another of {what}")
        raise _explained(failures, what, value)

    def decode(value: Any) -> Any:
        return _first(_suitable(readers[type(value)], value), "decode", what, value)

    def parse(value: Any) -> Any:
        if takes_blank and isinstance(value, str) and not value.strip():
            return None
        exact = readers.get(type(value)) or by_class.get(type(value), ())
        rest = [member for member in members if member not in exact]
        return _first([*_suitable(exact, value), *rest], "parse", what, value)

    def describe(definitions: Definitions) -> JsonSchema:
        return {"anyOf": [member.describe(definitions) for member in members]}

    return Node(
        what=what,
        encode=encode,
        decode=decode,
        parse=parse,
        describe=describe,
        json=frozenset(kind for member in members for kind in member.json),
        hashable=all(member.hashable for member in members),
        bounded=all(member.bounded for member in members),
        lax=any(member.lax for member in members),
    )


def _refuse_ambiguous(members: list[Node]) -> None:
    texts = [member for member in members if str in member.json]
    for member in texts:
        if len(texts) > 1 and member.python in _FREE_TEXT - {str}:
            others = " or ".join(other.what for other in texts if other is not member)
            raise Unsupported(
                f"{member.what} and {others} are both text in JSON and cannot be told apart; "
                "use one of them, or a dataclass for each"
            )


def _has_lax(members: list[Node]) -> bool:
    return any(member.lax and member.python is not str for member in members)


def _exact_first(members: list[Node], python: type | None) -> list[Node]:
    return sorted(members, key=lambda member: member.python is not python)


def _readers(members: list[Node], kind: type) -> list[Node]:
    able = [member for member in members if kind in member.json]
    if kind is str:
        return sorted(able, key=lambda member: member.python is str)
    return _exact_first(able, kind)


def _suitable(members: Sequence[Node], value: Any) -> Sequence[Node]:
    if type(value) is not dict or len(members) < 2:
        return members
    return sorted(members, key=lambda member: not (member.keys or frozenset()) >= value.keys())


def _first(members: Sequence[Node], verb: str, what: str, value: Any) -> Any:
    failures: Failures = []
    for member in members:
        try:
            return getattr(member, verb)(value)
        except Invalid as invalid:
            failures.append((member, invalid))
    raise _explained(failures, what, value)


def _explained(failures: Failures, what: str, value: Any) -> Invalid:
    """Return the one failure that says more than that nothing fits, if there is one."""
    serious = [invalid for member, invalid in failures if member.python is not type(None)]
    inner = [invalid for invalid in serious if any(path for path, _ in invalid.problems)]
    for candidates in (serious, inner):
        if len(candidates) == 1:
            return candidates[0]
    return Invalid.because(f"expected {what}, got {shown(value)}")

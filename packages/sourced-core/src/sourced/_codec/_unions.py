"""The codec of unions: nothing marks a member, so each value must tell by itself what it is.

A JSON value goes to the members that are read from its type, exact types first: `true` is no
integer, and `1` is a float only where no integer is possible. Text is a moment or an identifier
where it reads as one and where the union has one, and plain text otherwise; an object belongs to
the first record that knows all its keys, then to the first that can read it.

What could be misread is refused. At definition: members whose texts cannot be told apart at all,
such as `str | bytes`. At encoding: a value that would be read back as another one, such as the
text of a UUID in `str | UUID`.

Members may hold the union again, as the nodes of a tree do. If each try began from nothing, every
level would try its members on all that lies below, and a tree of thirty levels would never be read;
so what does not fit a member is remembered until the outermost union has been read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from sourced._codec._node import ALL_JSON, Definitions, JsonSchema, Node, UnsupportedError
from sourced._problems import InvalidError, shown

__all__ = ["union_node"]

_AMBIGUOUS = frozenset({bytes, Decimal})
"""Types whose texts are no sign of the type: `1200` may be any of them, and plain text as well."""

Failures = list[tuple[Node, InvalidError]]

Misfits = dict[tuple[int, int, str], tuple[Any, InvalidError]]
"""What did not fit, by the identities of member and value, and the verb.

Each value is kept with it, so that no other one gets its identity meanwhile.
"""


class _Reading(threading.local):
    """What this thread has found out since it began to read the outermost union."""

    misfits: Misfits | None = None


_reading = _Reading()


def union_node(members: list[Node]) -> Node:
    """Return the node of a union.

    Raises:
        UnsupportedError: members that no reader could tell apart.
    """
    _refuse_ambiguous(members)
    union = _Union(members)
    return Node(
        what=union.what,
        encode=union.encode,
        decode=union.decode,
        parse=union.parse,
        describe=union.describe,
        json=frozenset(kind for member in members for kind in member.json),
        hashable=all(member.hashable for member in members),
        bounded=union.bounded,
        lax=any(member.lax for member in members),
    )


class _Union:
    """The members of a union, sorted beforehand by what they read and write."""

    def __init__(self, members: list[Node]) -> None:
        self.what = " or ".join(member.what for member in members)
        self.bounded = all(member.bounded for member in members)
        self._members = members
        self._writers = {m.python: _exact_first(members, m.python) for m in members if m.python}
        self._readers = {kind: _readers(members, kind) for kind in ALL_JSON}
        self._is_overlapping = any(len(found) > 1 for found in self._readers.values())
        self._takes_blank = _has_lax(members) and type(None) in self._writers

    def encode(self, value: Any) -> Any:
        failures: Failures = []
        is_misread = False
        for member in self._writers.get(type(value), self._members):
            try:
                data = member.encode(value)
            except InvalidError as invalid:
                failures.append((member, invalid))
            else:
                if not self._is_overlapping or self.decode(data) == value:
                    return data
                is_misread = True
        if is_misread:
            text = f"{shown(value)} would be read back as another of {self.what}"
            raise InvalidError.because(text)
        raise _explained(failures, self.what, value)

    def decode(self, value: Any) -> Any:
        readers = self._readers[type(value)]
        if len(readers) == 1:
            return readers[0].decode(value)
        return self._first(_suitable(readers, value), "decode", value)

    def parse(self, value: Any) -> Any:
        if self._takes_blank and isinstance(value, str) and not value.strip():
            return None
        exact = self._readers.get(type(value)) or self._writers.get(type(value), [])
        rest = [member for member in self._members if member not in exact]
        return self._first([*_suitable(exact, value), *rest], "parse", value)

    def describe(self, definitions: Definitions) -> JsonSchema:
        return {"anyOf": [member.describe(definitions) for member in self._members]}

    def _first(self, members: Sequence[Node], verb: str, value: Any) -> Any:
        if self.bounded or not isinstance(value, (dict, list)):
            return self._tried(members, verb, value, {})
        with _misfits() as misfits:
            return self._tried(members, verb, value, misfits)

    def _tried(self, members: Sequence[Node], verb: str, value: Any, misfits: Misfits) -> Any:
        failures: Failures = []
        for member in members:
            key = (id(member), id(value), verb)
            if key not in misfits:
                try:
                    return getattr(member, verb)(value)
                except InvalidError as invalid:
                    misfits[key] = (value, invalid.with_traceback(None))
            failures.append((member, misfits[key][1]))
        raise _explained(failures, self.what, value)


@contextmanager
def _misfits() -> Iterator[Misfits]:
    """Give what is remembered until the outermost union is read."""
    if _reading.misfits is not None:
        yield _reading.misfits
        return
    _reading.misfits = {}
    try:
        yield _reading.misfits
    finally:
        _reading.misfits = None


def _refuse_ambiguous(members: list[Node]) -> None:
    texts = [member for member in members if str in member.json]
    for member in texts:
        if len(texts) > 1 and member.python in _AMBIGUOUS:
            others = " or ".join(other.what for other in texts if other is not member)
            raise UnsupportedError(
                f"{member.what} and {others} are both text in JSON and cannot be told apart; "
                "use one of them, or a dataclass for each"
            )


def _has_lax(members: list[Node]) -> bool:
    return any(member.lax and member.python is not str for member in members)


def _exact_first(members: list[Node], python: type[Any] | None) -> list[Node]:
    return sorted(members, key=lambda member: member.python is not python)


def _readers(members: list[Node], kind: type[Any]) -> list[Node]:
    able = [member for member in members if kind in member.json]
    if kind is str:
        return sorted(able, key=lambda member: member.python is str)
    return _exact_first(able, kind)


def _suitable(members: Sequence[Node], value: Any) -> Sequence[Node]:
    if type(value) is not dict or len(members) < 2:
        return members
    return sorted(members, key=lambda member: not (member.keys or frozenset()) >= value.keys())


def _explained(failures: Failures, what: str, value: Any) -> InvalidError:
    """Return the one failure that says more than that nothing fits, if there is one."""
    serious = [invalid for member, invalid in failures if member.python is not type(None)]
    inner = [invalid for invalid in serious if any(path for path, _ in invalid.problems)]
    for candidates in (serious, inner):
        if len(candidates) == 1:
            return candidates[0]
    return InvalidError.because(f"expected {what}, got {shown(value)}")

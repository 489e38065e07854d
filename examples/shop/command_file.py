"""Reads a file of commands from outside: JSON lines, of which nothing is believed.

Each line names its id, the command's type, the stream it is for and the payload:

```json
{"id": "0f8f…", "type": "carts.add_item", "to": "cart-0017", "payload": {"product_id": "p07"}}
```
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from examples.shop.messages import PublicCommand
from sourced.errors import PayloadError, UnknownTypeError

KEYS = {"id", "type", "to", "payload"}


@dataclass(frozen=True)
class Sent:
    """A line that is a command.

    Attributes:
        id: given by the sender, so that a line that is sent twice counts once.
    """

    number: int
    id: UUID
    command: PublicCommand
    to: str


@dataclass(frozen=True)
class Unreadable:
    """A line that is none, and why."""

    number: int
    reason: str
    detail: str


class _LineError(ValueError):
    """A line that is no command: reason, and detail."""


def read_lines(lines: Iterable[bytes]) -> Iterator[Sent | Unreadable]:
    """Give each line as a command, or with what is wrong with it.

    They are bytes, because a line that is no text must not end the reading of those behind it.
    """
    for number, line in enumerate(lines, 1):
        try:
            yield _read(number, line)
        except _LineError as error:
            reason, detail = error.args
            yield Unreadable(number, reason, detail)
        except RecursionError:  # of the JSON reader, or of whoever looks at what it has read
            yield Unreadable(number, "nested too deeply", "no command has so many levels")


def _read(number: int, line: bytes) -> Sent:
    values = _values(_text(line))
    try:
        id = UUID(values["id"])
    except (TypeError, ValueError, AttributeError):
        raise _LineError("bad id", f"{values['id']!r} is no UUID") from None
    try:
        command = PublicCommand.from_type(values["type"], values["payload"])
    except UnknownTypeError as error:
        raise _LineError("unknown command", str(error)) from None
    except PayloadError as error:
        raise _LineError("bad payload", str(error)) from None
    # A cart's commands begin with `carts.`, and its streams with `cart-`.
    kind = values["type"].partition(".")[0].removesuffix("s")
    if not (isinstance(values["to"], str) and values["to"].startswith(f"{kind}-")):
        raise _LineError("wrong stream", f"{values['type']} to {values['to']!r}")
    return Sent(number, id, command, values["to"])


def _text(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise _LineError("not UTF-8", f"{error.reason} at byte {error.start + 1}") from None


def _values(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise _LineError("not JSON", str(error)) from None
    if not isinstance(values, dict) or values.keys() != KEYS:
        raise _LineError("not a command", f"expected an object with {', '.join(sorted(KEYS))}")
    return values

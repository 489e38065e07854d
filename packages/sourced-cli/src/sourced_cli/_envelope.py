"""The one shape of everything that is written as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

__all__ = ["Diagnostic", "document"]

VERSION = 1

Level = Literal["info", "warning", "error"]
Status = Literal["ok", "failed", "error"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """Something to say beside the answer.

    Attributes:
        code: for programs, such as `app.no-such-module`.
        level: how bad it is.
        message: one sentence.
        subject: what it is about: a field, a group, a file.
        hint: the next step.
    """

    code: str
    level: Level
    message: str
    subject: str = ""
    hint: str = ""


def document(
    command: str, status: Status, data: object, diagnostics: tuple[Diagnostic, ...] = ()
) -> str:
    """Return the JSON document of a command's answer, on one line of plain ASCII.

    The rest of Unicode is escaped, so that nothing in it controls a terminal either.
    """
    text = json.dumps(
        {
            "schema": f"sourced.{command}/{VERSION}",
            "status": status,
            "data": plain(data),
            "diagnostics": [plain(diagnostic) for diagnostic in diagnostics],
        },
        ensure_ascii=True,
        allow_nan=False,
    )
    return text.replace("\x7f", "\\u007f")


def plain(value: Any) -> Any:
    """Return a value made of what JSON has; sets are sorted, durations are seconds."""
    if value is None or (type(value) in (str, bool, int, float)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, UUID | Path | str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"{type(value).__name__} has no shape in JSON")

"""Where log lines go while workers run: to stderr, one line each, unless the app says otherwise."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Literal

from sourced_cli._text import hide_passwords, safe, safe_lines

__all__ = ["LogFormat", "show_logs"]

LogFormat = Literal["text", "json"]

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
LONGEST_TRACE = 200_000


class _TextFormatter(logging.Formatter):
    """Time, level and message; nothing in them controls a terminal, no password is shown."""

    def __init__(self, *, with_process: bool) -> None:
        process = "[%(process)d] " if with_process else ""
        super().__init__(f"%(asctime)s {process}%(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        head, _, trace = super().format(record).partition("\n")
        lines = [safe(hide_passwords(head))]
        if trace:
            lines.append(safe_lines(hide_passwords(trace)))
        return "\n".join(lines)


class _JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, what the record carries, exception."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": hide_passwords(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _OWN:
                line.setdefault(name, _plain(value))
        if record.exc_info:
            trace = self.formatException(record.exc_info)
            line["exception"] = hide_passwords(trace[-LONGEST_TRACE:])
        return json.dumps(line)


def _plain(value: object) -> object:
    """Return what JSON can hold, whatever somebody's code put into a record."""
    if value is None or isinstance(value, bool | int):
        return value
    try:
        return hide_passwords(str(value))
    except Exception:  # noqa: BLE001 - a line with less is better than none
        return f"<{type(value).__qualname__}>"


def show_logs(*, verbose: bool, format: LogFormat | None, with_process: bool = False) -> None:
    """Show what the `sourced` logger says.

    Args:
        verbose: show what only developers want to know.
        format: of the lines; when None it is text, unless the app has set up logging by itself.
        with_process: each line names its process, since several write to the same place.
    """
    logger = logging.getLogger("sourced")
    if format is None and (logger.handlers or logging.getLogger().handlers):
        return
    handler = logging.StreamHandler()
    text = _TextFormatter(with_process=with_process)
    handler.setFormatter(_JsonFormatter() if format == "json" else text)
    logger.handlers = [handler]
    logger.propagate = format is None  # who names one wants each line once, and in that format
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)

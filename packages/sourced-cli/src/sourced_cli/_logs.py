"""Where log lines go while workers run: to stderr, one line each, unless the app says otherwise."""

from __future__ import annotations

import logging

from sourced_cli._text import hide_passwords, safe, safe_lines

__all__ = ["show_logs"]


class _Formatter(logging.Formatter):
    """Time, level and message; nothing in them controls a terminal, no password is shown."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        head, _, trace = super().format(record).partition("\n")
        lines = [safe(hide_passwords(head))]
        if trace:
            lines.append(safe_lines(hide_passwords(trace)))
        return "\n".join(lines)


def show_logs(*, verbose: bool) -> None:
    """Show what the `sourced` logger says, unless the app has set up logging by itself."""
    logger = logging.getLogger("sourced")
    if logger.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)

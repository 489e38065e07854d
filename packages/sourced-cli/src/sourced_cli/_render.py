"""Text for people: tables, colours where they are wanted, glyphs that do without them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import IO, Any

from sourced_cli._text import safe, width

__all__ = ["Painter", "columns_of", "is_terminal", "table"]

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Painter:
    """Colours texts, or leaves them as they are.

    Colour is for terminals. `NO_COLOR` turns it off and `FORCE_COLOR` on, if they are not empty.
    """

    def __init__(self, stream: IO[str]) -> None:
        if os.environ.get("NO_COLOR"):
            self.is_on = False
        elif os.environ.get("FORCE_COLOR"):
            self.is_on = True
        else:
            self.is_on = is_terminal(stream) and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str, colour: str) -> str:
        """Return a text in a colour, or bold, or dim; "" leaves it as it is."""
        if not (self.is_on and colour and text):
            return text
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def is_terminal(stream: Any) -> bool:
    """Return whether a person looks at this."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no stream at all, or a closed one
        return False


def columns_of(stream: IO[str]) -> int | None:
    """Return the width of the terminal, None where there is none."""
    return shutil.get_terminal_size().columns if is_terminal(stream) else None


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    colours: Sequence[str] = (),
    paint: Painter | None = None,
) -> str:
    """Return rows in columns, two spaces apart; the last column may be as long as it likes.

    Args:
        headers: of the columns.
        rows: texts, made safe here.
        right: the headers of columns of numbers.
        colours: one for each row, or none.
        paint: how.
    """
    cells = [[safe(cell) for cell in row] for row in rows]
    widths = [max(width(row[n]) for row in [list(headers), *cells]) for n in range(len(headers))]
    lines = [_line(list(headers), headers, widths, right)]
    if paint is not None:
        lines[0] = paint(lines[0], "bold")
    for n, row in enumerate(cells):
        line = _line(row, headers, widths, right)
        colour = colours[n] if colours else ""
        lines.append(paint(line, colour) if paint is not None else line)
    return "\n".join(lines)


def _line(
    row: Sequence[str], headers: Sequence[str], widths: Sequence[int], right: Sequence[str]
) -> str:
    padded = []
    for text, header, room in zip(row, headers, widths, strict=True):
        gap = " " * (room - width(text))
        padded.append(gap + text if header in right else text + gap)
    return "  ".join(padded).rstrip()

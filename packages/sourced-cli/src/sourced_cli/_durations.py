"""Durations as people write them: `90s`, `5m`, `1h30m`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

__all__ = ["duration_of", "moment_of", "shown", "shown_clock"]

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration_of(text: str) -> timedelta:
    """Return a duration such as `90`, `90s`, `1h30m` or `250ms`; without a unit, seconds.

    Raises:
        ValueError: it is none; says what one looks like.
    """
    stripped = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return _within_reason(float(stripped), text)
    parts = _PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError(f"{text!r} is no duration; write 30s, 5m, 1h30m or 2d")
    return _within_reason(sum(float(number) * _UNITS[unit] for number, unit in parts), text)


def moment_of(text: str) -> datetime:
    """Return a moment such as `2026-03-01T09:00:00+01:00`; it must name its zone.

    Raises:
        ValueError: it is none, or names no zone.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is no moment; write 2026-03-01T09:00:00+01:00") from None
    if moment.tzinfo is None:
        raise ValueError(
            f"{text!r} names no time zone; write 2026-03-01T09:00:00Z, or +01:00 for Z"
        )
    return moment


def shown(seconds: float) -> str:
    """Return a duration in at most two units, such as `41m12s`."""
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f}ms"  # this way round, -0.0 loses its sign
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for unit, size, smaller, below in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size}{unit}{rest:02d}{smaller}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


def shown_clock(moment: datetime) -> str:
    """Return a moment in UTC, to the millisecond."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def _within_reason(seconds: float, text: str) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"{text!r} is longer than anything can last") from None

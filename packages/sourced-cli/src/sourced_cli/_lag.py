"""What groups have still to handle, as figures, as words, and as checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sourced_cli._durations import shown
from sourced_cli._exit import no_group
from sourced_cli._render import Painter, table
from sourced_cli._text import safe

if TYPE_CHECKING:
    from sourced import Store
    from sourced._inspect import GroupStatus

__all__ = ["GroupLag", "Lag", "Limits", "lag_of", "render"]

_GLYPHS = {
    "ok": ("●", "green"),
    "working": ("▶", "cyan"),
    "waiting": ("○", "yellow"),
    "retrying": ("↻", "yellow"),
    "filling": ("◌", "cyan"),
    "parked": ("!", "red"),
    "stopped": ("■", "red"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLag:
    """One group's figures.

    Attributes:
        state: one word for all of them, the worst first: stopped, parked, filling, retrying,
            working, waiting, ok.
        pending: messages it would still handle; exact if `pending_is_exact`, else at least these.
        oldest_seconds: how long the oldest of them has been ready; None if nothing is.
        has_worker: a live worker serves it.
    """

    name: str
    state: str
    status: str
    reason: str
    pending: int
    pending_is_exact: bool
    pending_streams: int
    oldest_seconds: float | None
    claimed: int
    retrying: int
    parked: int
    has_worker: bool
    types: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """All groups at one moment.

    Attributes:
        head: the position of the newest message.
        scheduled: messages that wait for their time.
        workers: processes that are alive.
    """

    at: datetime
    groups: tuple[GroupLag, ...]
    head: int
    scheduled: int
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What makes the check fail."""

    over: int | None = None
    age: timedelta | None = None

    def broken_by(self, group: GroupLag) -> list[str]:
        """Return what is wrong with a group, a sentence each."""
        problems = []
        if self.over is not None and (group.pending > self.over or not group.pending_is_exact):
            problems.append(f"{_count(group)} pending, more than {self.over:,}")
        oldest = group.oldest_seconds
        if self.age is not None and oldest is not None and oldest > self.age.total_seconds():
            limit = shown(self.age.total_seconds())
            problems.append(f"the oldest has been ready for {shown(oldest)}, more than {limit}")
        return problems


def lag_of(store: Store, names: Sequence[str] = ()) -> Lag:
    """Return the lag of all groups, or of those named.

    Raises:
        CommandError: no such group; suggests the nearest.
    """
    found = store.inspect.groups(names or None)
    missing = set(names) - {group.name for group in found}
    if missing:
        raise no_group(min(missing), [group.name for group in store.inspect.groups()])
    status, workers, now = store.inspect.status(), store.inspect.workers(), store.now()
    served = {name for worker in workers for name in worker.handles}
    return Lag(
        at=now,
        groups=tuple(_group_lag(group, now, group.name in served) for group in found),
        head=status.last_position,
        scheduled=status.scheduled,
        workers=len(workers),
    )


def render(lag: Lag, paint: Painter) -> str:
    """Return the table and what is true of the whole store below it."""
    if not lag.groups:
        return "no groups; `sourced install` announces those of an app"
    headers = (
        "GROUP",
        "STATUS",
        "PENDING",
        "OLDEST",
        "STREAMS",
        "CLAIMED",
        "RETRYING",
        "PARKED",
        "NOTE",
    )
    rows = [_row(group) for group in lag.groups]
    colours = [_GLYPHS[group.state][1] if group.state != "ok" else "" for group in lag.groups]
    shown_table = table(headers, rows, right=headers[2:8], colours=colours, paint=paint)
    facts = [
        f"head #{lag.head:,}",
        _plural(len(lag.groups), "group"),
        _plural(lag.workers, "worker"),
        f"{lag.scheduled:,} scheduled",
    ]
    return f"{shown_table}\n{paint(' · '.join(facts), 'dim')}"


def _row(group: GroupLag) -> tuple[str, ...]:
    oldest = "–" if group.oldest_seconds is None else shown(group.oldest_seconds)
    return (
        group.name,
        f"{_GLYPHS[group.state][0]} {group.state}",
        _count(group),
        oldest,
        f"{group.pending_streams:,}",
        f"{group.claimed:,}",
        f"{group.retrying:,}",
        f"{group.parked:,}",
        _note(group),
    )


def _note(group: GroupLag) -> str:
    if group.status == "stopped":
        return safe(group.reason, cap=60)
    if group.parked:
        streams = "stream waits" if group.parked == 1 else "streams wait"
        return f"{group.parked:,} {streams} for an operator"
    if group.pending and not group.has_worker:
        return "no worker runs"
    return ""


def _group_lag(group: GroupStatus, now: datetime, has_worker: bool) -> GroupLag:
    ready_at = group.oldest_ready_at
    age = None if ready_at is None else max((now - ready_at).total_seconds(), 0.0)
    return GroupLag(
        name=group.name,
        state=_state(group),
        status=group.status,
        reason=group.reason,
        pending=group.pending,
        pending_is_exact=group.pending_is_exact,
        pending_streams=group.pending_streams,
        oldest_seconds=age,
        claimed=group.claimed,
        retrying=group.retrying,
        parked=group.parked,
        has_worker=has_worker,
        types=group.types,
    )


def _state(group: GroupStatus) -> str:
    checks = (
        (group.status == "stopped", "stopped"),
        (group.parked > 0, "parked"),
        (group.status == "filling", "filling"),
        (group.retrying > 0, "retrying"),
        (group.claimed > 0, "working"),
        (group.pending > 0, "waiting"),
    )
    return next((word for holds, word in checks if holds), "ok")


def _count(group: GroupLag) -> str:
    return f"{group.pending:,}" + ("" if group.pending_is_exact else "+")


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

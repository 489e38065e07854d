"""What a process says of itself: alive, ready, getting on, and how much.

Each page is made in bounded time, whatever the store does: it is asked elsewhere, see `_probe`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sourced._app import App
from sourced._inspect import GroupStatus
from sourced._metrics import (
    CLAIMS_HELD,
    GROUP_STOPPED,
    LISTENER_RECONNECTS,
    OLDEST_PENDING_SECONDS,
    PARKED_STREAMS,
    PENDING,
    STORE_UP,
    Family,
)
from sourced._prometheus import CONTENT_TYPE, prometheus_text
from sourced.errors import SourcedError
from sourced.runtime._probe import Answer, Probe
from sourced.runtime._progress import Progress, Stalled

__all__ = ["Page", "Pages"]

READY_FRESH = 1.0
GROUPS_FRESH = 5.0
PATIENCE = 1.0
HANGING = 5.0
"""A call to the store that has been out for so long, in seconds, says that it is not there."""

OK, UNAVAILABLE = 200, 503
LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Page:
    """An answer over HTTP."""

    status: int
    text: str
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class _Look:
    """The groups at one moment, by the store's clock, and those that do not get on."""

    now: datetime
    groups: tuple[GroupStatus, ...]
    stalled: tuple[Stalled, ...]


class Pages:
    """Makes the pages of one process; every method may be called from any thread.

    Args:
        app: its store is asked, its clock tells the time.
        groups: those that this process serves.
        unready: tells why the process itself is not ready, such as `stopping`; empty if it is.
    """

    def __init__(self, app: App, groups: Collection[str], *, unready: Callable[[], str]) -> None:
        self._app = app
        self._groups = tuple(groups)
        self._unready = unready
        monotonic = app.clock.monotonic
        self._monotonic = monotonic
        self._limit = app.settings.stalled_after.total_seconds()
        self._progress = Progress(
            app.metrics, limit=self._limit, monotonic=monotonic, groups=self._groups
        )
        self._known_at = monotonic()
        self._installed = Probe(
            app.store.installed, fresh=READY_FRESH, patience=PATIENCE, monotonic=monotonic
        )
        self._looks = Probe(self._look, fresh=GROUPS_FRESH, patience=PATIENCE, monotonic=monotonic)

    def livez(self) -> Page:
        """The process lives; nothing else is asked."""
        return _page(OK, {"status": "ok"})

    def readyz(self) -> Page:
        """The store answers, its tables are there, work has begun, and nobody asked for the end."""
        if reason := self._unready():
            return _page(UNAVAILABLE, {"status": "unready", "reason": reason})
        answer = self._installed.ask()
        reason = _trouble(answer) or (
            "" if answer.value else "the store has no tables, or old ones"
        )
        age = _seconds(answer.age)
        if reason:
            return _page(UNAVAILABLE, {"status": "unready", "reason": reason, "age": age})
        return _page(OK, {"status": "ok", "age": age})

    def healthz(self) -> Page:
        """Nothing has been ready for too long without an ack; see `_progress`."""
        answer = self._looks.ask()
        look = answer.value
        age = _seconds(answer.age)
        if look is None:
            return self._without_a_look(answer)
        if answer.waiting > self._limit:
            reason = f"the store has not answered for {answer.waiting:.0f} s"
            return _page(UNAVAILABLE, {"status": "unknown", "reason": reason, "age": age})
        stalled = [_told(each) for each in look.stalled]
        if stalled:
            return _page(UNAVAILABLE, {"status": "stalled", "groups": stalled, "age": age})
        return _page(OK, {"status": "ok", "age": age})

    def metrics(self) -> Page:
        """Everything that is counted here, and what the store says of this process's groups."""
        families = [*self._app.metrics.families(), *self._read()]
        return Page(OK, prometheus_text(families), CONTENT_TYPE)

    # --- what the store says ----------------------------------------------------------------------

    def _look(self) -> _Look:
        store = self._app.store
        groups, now = store.inspect.groups(self._groups), store.now()
        self._known_at = self._monotonic()
        return _Look(now, groups, self._progress.look(groups, now))

    def _without_a_look(self, answer: Answer[_Look]) -> Page:
        """Nobody can tell; red if that lasts."""
        unknown_for = self._monotonic() - self._known_at
        status = UNAVAILABLE if unknown_for > self._limit else OK
        reason = _trouble(answer) or "the store has not answered yet"
        return _page(status, {"status": "unknown", "reason": reason, "age": _seconds(answer.age)})

    def _read(self) -> list[Family]:
        """The gauges; none of the groups' while the store does not answer: old ones would lie."""
        answer = self._looks.ask()
        look = None if _trouble(answer) else answer.value
        reconnects = getattr(self._app.store, "reconnects", 0)
        families = [
            Family(STORE_UP, {(): 0 if look is None else 1}),
            Family(LISTENER_RECONNECTS, {(): reconnects}),
        ]
        if look is None:
            return families
        now, groups = look.now, look.groups
        return [
            Family(PENDING, {(g.name,): g.pending for g in groups}),
            Family(OLDEST_PENDING_SECONDS, {(g.name,): _oldest(g, now) for g in groups}),
            Family(CLAIMS_HELD, {(g.name,): g.claimed for g in groups}),
            Family(PARKED_STREAMS, {(g.name,): g.parked for g in groups}),
            Family(GROUP_STOPPED, {(g.name,): int(g.status == "stopped") for g in groups}),
            *families,
        ]


def _oldest(group: GroupStatus, now: datetime) -> float:
    if group.oldest_ready_at is None:
        return 0.0
    return max(0.0, (now - group.oldest_ready_at).total_seconds())


def _told(stalled: Stalled) -> dict[str, Any]:
    status = stalled.status
    told = {
        "group": status.name,
        "oldest_pending_seconds": round(stalled.oldest, 1),
        "seconds_without_progress": round(stalled.since, 1),
        "pending": status.pending,
        "claims_held": status.claimed,
        "status": status.status,
    }
    return told | ({"reason": status.reason} if status.reason else {})


def _trouble(answer: Answer[Any]) -> str:
    """Return why an answer is of no use, or nothing."""
    if answer.waiting >= HANGING:
        return f"the store has not answered for {answer.waiting:.0f} s"
    if answer.age is None:
        return "the store has not answered yet"
    error = answer.error
    if error is None:
        return ""
    text = str(error) if isinstance(error, SourcedError) else ""
    return f"{type(error).__name__}: {text}"[:LONGEST_REASON] if text else type(error).__name__


def _seconds(age: float | None) -> float | None:
    return None if age is None else round(age, 3)


def _page(status: int, data: dict[str, Any]) -> Page:
    return Page(status, json.dumps(data) + "\n")

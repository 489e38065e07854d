"""What workers do on the command line, in one process or in several: what they need and tell."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from sourced_cli._durations import shown
from sourced_cli._exit import Code, CommandError, no_group
from sourced_cli._logs import LogFormat
from sourced_cli._render import is_terminal
from sourced_cli._report import Report, UnwritableError
from sourced_cli._target import FoundApp
from sourced_cli._text import safe

if TYPE_CHECKING:
    from sourced._tally import Tally
    from sourced.runtime import Supervisor

__all__ = [
    "Counting",
    "Outcome",
    "Work",
    "cut_short",
    "exit_now",
    "left_in",
    "must_be_ready",
    "progress",
    "supervisor_of",
    "tell",
]

PROGRESS_EVERY = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was asked for on the command line."""

    app: str | None
    threads: int
    groups: str | None
    drain: bool
    grace: timedelta
    verbose: bool
    health: str | None
    log_format: LogFormat | None


class Counting(Protocol):
    """Counts what it has handled so far."""

    @property
    def tally(self) -> Tally: ...


class Outcome(Counting, Protocol):
    """How the work ended."""

    @property
    def forced(self) -> bool: ...

    @property
    def signal(self) -> int | None: ...


def supervisor_of(
    found: FoundApp, work: Work, *, joined: Callable[[], object] | None = None
) -> Supervisor:
    """Return what does the work.

    Raises:
        CommandError: there is nothing to work for, or no such group.
    """
    from sourced.runtime import Supervisor

    names = None
    if work.groups is not None:
        names = [name.strip() for name in work.groups.split(",") if name.strip()]
    if not found.app.reactors:
        raise CommandError(
            Code.APP,
            f"{found.name} has no reactors, so there is nothing to work for",
            name="app.empty",
            hint="register them: app.register(Cart, CartListings)",
        )
    if names is not None:
        known = [entry.group for entry in found.app.reactors]
        for name in names:
            if name not in known:
                raise no_group(name, known)
    return Supervisor(
        found.app,
        threads=work.threads,
        groups=names,
        grace=work.grace.total_seconds(),
        health=work.health,
        joined=joined,
    )


def must_be_ready(found: FoundApp) -> None:
    """Say so before any thread starts if the tables are missing."""
    from sourced.errors import SchemaError

    if not found.app.installed:
        raise SchemaError("the store has no tables yet: make them with `sourced install`")


def tell(ended: Outcome, left: Any, report: Report, *, drained: bool, **more: Any) -> None:
    """Answer with what was done and what is left; `more` is for programs."""
    tally = ended.tally
    data: dict[str, Any] = {
        "handled": tally.handled,
        "retried": tally.retried,
        "parked": tally.parked,
        "skipped": tally.skipped,
        "stopped": tally.stopped,
        "forced": ended.forced,
        "signal": ended.signal,
        "left": left,
        **more,
    }
    counts = ", ".join(f"{data[name]:,} {name}" for name in ("handled", "retried", "parked"))
    extra = "".join(f", {data[name]:,} {name}" for name in ("skipped", "stopped") if data[name])
    lines = [counts + extra]
    if drained and data["left"]:
        lines += [
            f"left: {safe(name)} {', '.join(f'{count:,} {what}' for what, count in left.items())}"
            for name, left in data["left"].items()
        ]
    report.answer(data, "\n".join(lines))


def left_in(found: FoundApp) -> dict[str, dict[str, int]]:
    """Return what is still there for each group that has something."""
    left = {}
    for group in found.app.store.inspect.groups([e.group for e in found.app.reactors]):
        counts = {
            "pending": group.pending,
            "claimed": group.claimed,
            "retrying": group.retrying,
            "parked": group.parked,
        }
        if any(counts.values()):
            left[group.name] = {what: count for what, count in counts.items() if count}
    return left


def cut_short(ended: Outcome, *, drained: bool) -> CommandError | None:
    """Return why the work did not come to its end; a drain's is that nothing is left."""
    if ended.forced:
        return CommandError(
            Code.FORCED,
            "stopped by force, by a second signal or the end of the grace: what was in hand is "
            "given back",
            name="workers.forced",
            hint="give handlers more time with --grace, or look why they take so long",
        )
    if drained and ended.signal is not None:
        return CommandError(
            Code(128 + ended.signal),
            "a signal ended the drain before everything was handled",
            name="workers.interrupted",
            hint="run it again: what is left is handled then",
        )
    return None


def exit_now(report: Report) -> None:
    """End the process: threads that are stuck in a handler would keep it from ending."""
    with suppress(OSError, UnwritableError):
        report.finish(closing=False)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(report.code)


@contextmanager
def progress(counting: Counting) -> Iterator[None]:
    """Say on a terminal, every few seconds, what has been handled, if anything has."""
    ended = threading.Event()

    def tell() -> None:
        told = 0
        while not ended.wait(PROGRESS_EVERY):
            tally = counting.tally
            if tally.handled + tally.failed != told:
                rate = (tally.handled + tally.failed - told) / PROGRESS_EVERY
                told = tally.handled + tally.failed
                sys.stderr.write(
                    f"handled {tally.handled:,}, retried {tally.retried:,}, "
                    f"parked {tally.parked:,}; {rate:,.1f}/s over {shown(PROGRESS_EVERY)}\n"
                )

    if is_terminal(sys.stderr):
        threading.Thread(target=tell, name="sourced-progress", daemon=True).start()
    try:
        yield
    finally:
        ended.set()

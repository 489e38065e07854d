"""`sourced workers`: handle messages, until told to stop or until nothing is left."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sourced_cli._durations import duration_of, shown
from sourced_cli._exit import Code, CommandError, no_group
from sourced_cli._logs import LogFormat, show_logs
from sourced_cli._options import AppOption, JsonOption, VerboseOption, examples, read_with
from sourced_cli._render import is_terminal
from sourced_cli._report import Report, UnwritableError, reporting
from sourced_cli._target import FoundApp, find_app, warn_if_in_memory
from sourced_cli._text import safe

if TYPE_CHECKING:
    from sourced.runtime import Ended, Supervisor

__all__ = ["add_to"]

PROGRESS_EVERY = 5.0

ThreadsOption = Annotated[
    int,
    typer.Option(
        "--threads", "-c", metavar="N", min=1, max=1000, help="How many handle at the same time."
    ),
]
GroupsOption = Annotated[
    str | None,
    typer.Option("--groups", metavar="A,B", help="Only these groups.", show_default=False),
]
DrainOption = Annotated[
    bool,
    typer.Option("--drain", help="Handle what is there, then exit.", show_default=False),
]
GraceOption = Annotated[
    timedelta,
    typer.Option(
        "--grace",
        help="How long what is in hand may take after the first signal.",
        show_default="25s",
        **read_with(duration_of, "TIME"),
    ),
]


def _address(text: str) -> str:
    from sourced.errors import ConfigurationError
    from sourced.runtime import check_address

    try:
        check_address(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return text


HealthOption = Annotated[
    str | None,
    typer.Option(
        "--health",
        help="Serve /livez, /readyz, /healthz and /metrics there; port 0 takes any that is free.",
        show_default=False,
        **read_with(_address, "HOST:PORT"),
    ),
]
LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format", help="Of log lines on stderr, whatever the app says.", show_default="text"
    ),
]


def add_to(cli: typer.Typer) -> None:
    """Add the command."""
    lines = (
        "sourced workers",
        "sourced workers -c 8 --groups Cart,CartListings",
        "sourced workers --health :8080 --log-format json",
        "sourced workers --drain --json",
    )
    cli.command(
        "workers", short_help="Handle messages, until stopped or drained.", epilog=examples(*lines)
    )(workers)


def workers(  # noqa: PLR0913, PLR0917 - one for each option
    app: AppOption = None,
    threads: ThreadsOption = 4,
    groups: GroupsOption = None,
    drain: DrainOption = False,
    grace: GraceOption = timedelta(seconds=25),
    health: HealthOption = None,
    log_format: LogFormatOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Handle messages until TERM or Ctrl-C.

    The first signal finishes what is in hand and exits 0; the second, or the end of --grace, gives
    it back at once and exits 70; the third exits on the spot. With --drain, handle what is ready
    and due and exit 0; what a killed worker held is waited for, for one lease (15s unless the app
    says otherwise). What waits for a retry or an operator, or is held by a worker that lives,
    stays.
    """
    with reporting("workers", as_json=as_json, verbose=verbose) as report:
        found = find_app(app, report)
        warn_if_in_memory(found.app.store, report)
        show_logs(verbose=verbose, format=log_format)
        note = logging.getLogger("sourced.cli").info if log_format == "json" else report.note
        supervisor = _supervisor(found, threads, groups, grace, health)
        _ready(found)
        with _progress(supervisor, wanted=log_format != "json"):
            if not drain:
                counted = "1 thread" if threads == 1 else f"{threads} threads"
                note(f"workers of {found.name} run with {counted}; Ctrl-C stops them")
            supervisor.listen()  # also while the answer is written
            ended = supervisor.drain() if drain else supervisor.run()
        try:
            if (error := _cut_short(ended, drained=drain)) is not None:
                report.refuse(error)
            _tell(ended, found, report, drained=drain)
        finally:
            if ended.forced:
                _exit_now(report)


def _supervisor(
    found: FoundApp, threads: int, groups: str | None, grace: timedelta, health: str | None
) -> Supervisor:
    from sourced.runtime import Supervisor

    names = None if groups is None else [name.strip() for name in groups.split(",") if name.strip()]
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
        found.app, threads=threads, groups=names, grace=grace.total_seconds(), health=health
    )


def _ready(found: FoundApp) -> None:
    """Say so before any thread starts if the tables are missing."""
    from sourced.errors import SchemaError

    if not found.app.installed:
        raise SchemaError("the store has no tables yet: make them with `sourced install`")


def _tell(ended: Ended, found: FoundApp, report: Report, *, drained: bool) -> None:
    tally = ended.tally
    data: dict[str, Any] = {
        "handled": tally.handled,
        "retried": tally.retried,
        "parked": tally.parked,
        "skipped": tally.skipped,
        "stopped": tally.stopped,
        "forced": ended.forced,
        "signal": ended.signal,
        "left": None if ended.forced else _left(found),
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


def _left(found: FoundApp) -> dict[str, dict[str, int]]:
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


def _cut_short(ended: Ended, *, drained: bool) -> CommandError | None:
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


def _exit_now(report: Report) -> None:
    """End the process: threads that are stuck in a handler would keep it from ending."""
    with suppress(OSError, UnwritableError):
        report.finish(closing=False)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(report.code)


@contextmanager
def _progress(supervisor: Supervisor, *, wanted: bool) -> Iterator[None]:
    """Say on a terminal, every few seconds, what has been handled, if anything has."""
    ended = threading.Event()

    def tell() -> None:
        told = 0
        while not ended.wait(PROGRESS_EVERY):
            tally = supervisor.tally
            if tally.handled + tally.failed != told:
                rate = (tally.handled + tally.failed - told) / PROGRESS_EVERY
                told = tally.handled + tally.failed
                sys.stderr.write(
                    f"handled {tally.handled:,}, retried {tally.retried:,}, "
                    f"parked {tally.parked:,}; {rate:,.1f}/s over {shown(PROGRESS_EVERY)}\n"
                )

    if wanted and is_terminal(sys.stderr):
        threading.Thread(target=tell, name="sourced-progress", daemon=True).start()
    try:
        yield
    finally:
        ended.set()

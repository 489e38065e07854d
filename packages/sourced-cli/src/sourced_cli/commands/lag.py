"""`sourced lag`: what each group has still to handle, for people and for cron."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from sourced_cli._durations import duration_of
from sourced_cli._lag import Lag, Limits, lag_of, render
from sourced_cli._options import (
    AppOption,
    DsnOption,
    JsonOption,
    VerboseOption,
    examples,
    read_with,
)
from sourced_cli._render import is_terminal
from sourced_cli._report import Report, reporting
from sourced_cli._target import find_store

__all__ = ["add_to"]

COUNTED_TO = 10_000
CLEAR = "\x1b[H\x1b[J"

GroupsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="GROUP", help="Only these groups.", show_default=False)
]
WatchOption = Annotated[
    bool, typer.Option("--watch", "-w", help="Show it again and again.", show_default=False)
]
IntervalOption = Annotated[
    timedelta,
    typer.Option(
        "--interval",
        help="How often with --watch.",
        show_default="2s",
        **read_with(duration_of, "TIME"),
    ),
]
OverOption = Annotated[
    int | None,
    typer.Option(
        "--fail-over",
        metavar="N",
        min=0,
        max=COUNTED_TO,
        help="Exit 8 if a group has more than N messages pending.",
        show_default=False,
    ),
]
AgeOption = Annotated[
    timedelta | None,
    typer.Option(
        "--fail-age",
        help="Exit 8 if something has been ready for longer.",
        show_default=False,
        **read_with(duration_of, "TIME"),
    ),
]


def add_to(cli: typer.Typer) -> None:
    """Add the command."""
    lines = (
        "sourced lag",
        "sourced lag --watch",
        "sourced lag Cart --fail-over 1000 --fail-age 60s",
        "sourced lag --dsn sqlite:///shop.db --json",
    )
    cli.command("lag", short_help="Show what is pending, and why.", epilog=examples(*lines))(lag)


def lag(  # noqa: PLR0913, PLR0917 - an argument for each option
    groups: GroupsArgument = None,
    app: AppOption = None,
    dsn: DsnOption = None,
    watch: WatchOption = False,
    interval: IntervalOption = timedelta(seconds=2),
    fail_over: OverOption = None,
    fail_age: AgeOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show what each consumer group has still to handle, how old it is, and what is in the way.

    Pending is zero if and only if nothing is pending; parked streams are counted by themselves.
    """
    with reporting("lag", as_json=as_json, verbose=verbose, streams=watch, endless=watch) as report:
        store = find_store(app, dsn, report).store
        limits = Limits(over=fail_over, age=fail_age)
        while True:
            now = lag_of(store, groups or [])
            _show(now, report, again=watch)
            _check(now, limits, report)
            if not watch or report.code:
                return
            report.pause(interval.total_seconds())


def _show(lag: Lag, report: Report, *, again: bool) -> None:
    text = render(lag, report.paint)
    if not again:
        report.answer(lag, text)
    else:
        clear = CLEAR if is_terminal(report.out) else ""
        report.stream(lag, clear + text)


def _check(lag: Lag, limits: Limits, report: Report) -> None:
    for group in lag.groups:
        for problem in limits.broken_by(group):
            report.fail_check("lag.over-limit", problem, subject=group.name)

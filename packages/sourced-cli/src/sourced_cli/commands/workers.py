"""`sourced workers`: handle messages, until told to stop or until nothing is left."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from datetime import timedelta
from typing import Annotated

import typer

from sourced_cli._children import lifeline, work_as_child, work_in_processes
from sourced_cli._durations import duration_of
from sourced_cli._exit import Code, CommandError
from sourced_cli._logs import LogFormat, show_logs
from sourced_cli._options import AppOption, JsonOption, VerboseOption, examples, read_with
from sourced_cli._report import Report, reporting
from sourced_cli._target import find_app, warn_if_in_memory
from sourced_cli._working import (
    Work,
    cut_short,
    exit_now,
    left_in,
    must_be_ready,
    progress,
    supervisor_of,
    tell,
)

__all__ = ["add_to"]

ThreadsOption = Annotated[
    int,
    typer.Option(
        "--threads", "-c", metavar="N", min=1, max=1000, help="How many handle at the same time."
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes",
        "-p",
        metavar="P",
        min=1,
        max=1000,
        show_default="this one",
        help="How many processes, each with its threads; they are replaced when they die.",
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
ReloadOption = Annotated[
    bool,
    typer.Option(
        "--reload",
        show_default=False,
        help="For development: take new processes when a .py file of the project changes.",
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
        "sourced workers -p 4 -c 2",
        "sourced workers --reload",
        "sourced workers --health :8080 --log-format json",
        "sourced workers --drain --json",
    )
    cli.command(
        "workers", short_help="Handle messages, until stopped or drained.", epilog=examples(*lines)
    )(workers)


def workers(  # noqa: PLR0913, PLR0917 - an argument for each option
    app: AppOption = None,
    threads: ThreadsOption = 4,
    processes: ProcessesOption = None,
    groups: GroupsOption = None,
    drain: DrainOption = False,
    grace: GraceOption = timedelta(seconds=25),
    health: HealthOption = None,
    log_format: LogFormatOption = None,
    reload: ReloadOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Handle messages until TERM or Ctrl-C.

    The first signal finishes what is in hand and exits 0; the second, or the end of --grace, gives
    it back at once and exits 70; the third exits on the spot. With --drain, handle what is ready
    and due and exit 0; what a killed worker held is waited for, for one lease (15s unless the app
    says otherwise). What waits for a retry or an operator, or is held by a worker that lives,
    stays.

    With --processes, each is started again when it dies, HUP replaces them one by one, by new ones
    that have loaded the code anew, and none outlives this one.
    """
    work = Work(
        app=app,
        threads=threads,
        groups=groups,
        drain=drain,
        grace=grace,
        verbose=verbose,
        health=health,
        log_format=log_format,
    )
    if (line := lifeline()) is not None:
        work_as_child(line, work, processes=processes or 1)
        return
    with reporting("workers", as_json=as_json, verbose=verbose) as report:
        if drain and reload:
            raise CommandError(
                Code.USAGE, "--drain ends when all is handled, --reload never does", name="usage"
            )
        if health is not None and (processes is not None or reload):
            raise CommandError(
                Code.USAGE,
                "--health is served by workers in one process: leave --processes and --reload out, "
                "or run one command for each process, with a port of its own",
                name="usage",
            )
        if processes is None and not reload:
            _work_here(work, report)
        else:
            work_in_processes(work, report, processes=processes or 1, reload=reload)


def _work_here(work: Work, report: Report) -> None:
    found = find_app(work.app, report)
    warn_if_in_memory(found.app.store, report)
    show_logs(verbose=work.verbose, format=work.log_format)
    is_json = work.log_format == "json"
    note = logging.getLogger("sourced.cli").info if is_json else report.note
    supervisor = supervisor_of(found, work)
    must_be_ready(found)
    with nullcontext() if is_json else progress(supervisor):
        if not work.drain:
            counted = "1 thread" if work.threads == 1 else f"{work.threads} threads"
            note(f"workers of {found.name} run with {counted}; Ctrl-C stops them")
        supervisor.listen()  # also while the answer is written
        ended = supervisor.drain() if work.drain else supervisor.run()
    try:
        if (error := cut_short(ended, drained=work.drain)) is not None:
            report.refuse(error)
        tell(ended, None if ended.forced else left_in(found), report, drained=work.drain)
    finally:
        if ended.forced:
            exit_now(report)

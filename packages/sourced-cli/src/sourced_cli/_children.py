"""Workers in several processes, as the command line starts them and as they find themselves.

Each process is `sourced workers` again, in the same environment, with the same interpreter, working
directory and options; so it finds the app in the same way. It knows by its lifeline that it is a
child: it answers to its parent, and not on stdout.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from sourced_cli._exit import Code, CommandError, code_of
from sourced_cli._logs import show_logs
from sourced_cli._report import Report, diagnostics_of, reporting, trace_of
from sourced_cli._target import (
    FoundApp,
    find_app,
    is_in_memory,
    project_folder,
    warn_if_in_memory,
)
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

if TYPE_CHECKING:
    from sourced.runtime import Ended, Ending, Lifeline, Processes, Supervisor

__all__ = ["lifeline", "work_as_child", "work_in_processes"]

NEWS_EVERY = 1.0


def lifeline() -> Lifeline | None:
    """Return the line to the parent, if this process is a child."""
    if "SOURCED_LIFELINE" not in os.environ:  # which spares everybody else the import
        return None
    from sourced.runtime import Lifeline

    return Lifeline.inherited()


# --- a child's side -------------------------------------------------------------------------------


def work_as_child(line: Lifeline, work: Work, *, processes: int) -> None:
    """Work until the parent says otherwise.

    Args:
        line: to the parent.
        work: what to do.
        processes: how many children there are.

    Raises:
        typer.Exit: the process ends otherwise than well.
    """
    with reporting("workers", as_json=False, verbose=work.verbose) as report:
        try:
            ended = _work(line, work, report, processes)
        except Exception as error:  # noqa: BLE001 - each has its code, which the parent is told
            _refuse(line, error, verbose=work.verbose)
            raise typer.Exit(code_of(error)) from None
        if ended.forced:
            report.code = Code.FORCED
            exit_now(report)
        elif ended.signal is not None and work.drain:
            report.code = Code(128 + ended.signal)


def _work(line: Lifeline, work: Work, report: Report, processes: int) -> Ended:
    found = find_app(work.app, report)
    _refuse_memory(found, processes, report)
    show_logs(verbose=work.verbose, format=work.log_format, with_process=True)
    supervisor = supervisor_of(found, work, joined=lambda: line.say("joined"))
    must_be_ready(found)
    line.obey(lambda word: supervisor.stop(now=word == "now"))
    with _telling(line, supervisor) as tell_end:
        supervisor.listen(once=True)  # the parent says when it is to be at once
        ended = supervisor.drain() if work.drain else supervisor.run()
        tell_end(ended, None if ended.forced else _left(found))
    return ended


def _refuse_memory(found: FoundApp, processes: int, report: Report) -> None:
    if processes == 1:
        warn_if_in_memory(found.app.store, report)
    elif is_in_memory(found.app):
        raise CommandError(
            Code.USAGE,
            f"the app's store is in memory, so each of {processes} processes would have its own",
            name="store.in-memory",
            hint='give the app a URL, such as App("sqlite:///shop.db"), or leave --processes out',
        )


def _left(found: FoundApp) -> Any:
    """Return what is left, or None if the store has just gone away."""
    from sourced.errors import SourcedError

    try:
        return left_in(found)
    except SourcedError:
        return None


def _refuse(line: Lifeline, error: BaseException, *, verbose: bool) -> None:
    """Tell the parent why this process cannot start, or cannot go on."""
    first, code = diagnostics_of(error)[0], code_of(error)
    line.say(
        "refused",
        code=int(code),
        name=first.code,
        message=first.message,
        hint=first.hint,
        trace=trace_of(error, verbose=verbose),
        is_waiting=code is Code.UNREACHABLE,
    )


@contextmanager
def _telling(line: Lifeline, supervisor: Supervisor) -> Iterator[Callable[[Ended, Any], None]]:
    """Tell the parent every second what has been handled; give what tells it the end."""
    over = threading.Event()

    def tell() -> None:
        told = None
        while not over.wait(NEWS_EVERY):
            tally = asdict(supervisor.tally)
            if tally != told:
                line.say("tally", **tally)
                told = tally

    def tell_end(ended: Ended, left: Any) -> None:
        over.set()
        line.say(
            "ended",
            tally=asdict(ended.tally),
            forced=ended.forced,
            signal=ended.signal,
            left=left,
            looked_at=time.monotonic(),
        )

    threading.Thread(target=tell, name="sourced-tally", daemon=True).start()
    try:
        yield tell_end
    finally:
        over.set()


# --- the parent's side ----------------------------------------------------------------------------


def work_in_processes(work: Work, report: Report, *, processes: int, reload: bool) -> None:
    """Have processes work until told otherwise; answer for all of them.

    Raises:
        CommandError: none of them could start, or a drain was ended by an error.
    """
    from sourced.runtime import Processes

    show_logs(verbose=work.verbose, format=work.log_format)
    environment = dict(os.environ)
    if reload:  # compiled files are told apart by whole seconds
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    crew = Processes(
        _command(work, processes),
        count=processes,
        grace=work.grace.total_seconds(),
        drains=work.drain,
        environment=environment,
        keeps_on=reload,
        joined=None if work.drain else lambda: report.note(_begun(work, processes)),
    )
    crew.listen()  # also while the answer is written
    with progress(crew), _reloading(crew, work, report) if reload else nullcontext():
        ending = crew.run()
    if (error := _amiss(ending, work)) is not None:
        report.refuse(error)
    if ending.refusal is not None and not ending.worked:
        return
    tell(
        ending,
        ending.left,
        report,
        drained=work.drain,
        processes=[{"pid": pid, **asdict(tally)} for pid, tally in ending.by_process.items()],
        died=ending.died,
        replaced=ending.replaced,
    )


def _command(work: Work, processes: int) -> list[str]:
    """Return the command line of a child.

    The interpreter's own options are kept. The working directory is not put before everything
    else, as it is not for the `sourced` command: a `queue.py` there is no module of Python's.
    """
    kept = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # as spawn does
    safe = [] if sys.flags.safe_path else ["-P"]
    options = ["--processes", str(processes), "--threads", str(work.threads)]
    options += ["--grace", f"{work.grace.total_seconds():f}s"]
    options += [] if work.app is None else ["--app", work.app]
    options += [] if work.groups is None else ["--groups", work.groups]
    options += ["--drain"] if work.drain else []
    options += ["--verbose"] if work.verbose else []
    options += [] if work.log_format is None else ["--log-format", work.log_format]
    return [sys.executable, *kept, *safe, "-m", "sourced_cli", "workers", *options]


def _begun(work: Work, processes: int) -> str:
    counted = "1 process" if processes == 1 else f"{processes} processes"
    threads = "1 thread" if work.threads == 1 else f"{work.threads} threads each"
    renew = f"kill -HUP {os.getpid()} replaces them"
    if sys.platform == "win32":
        renew = "Windows has no HUP, so stop and start them to load new code"
    return f"workers run in {counted} with {threads}; Ctrl-C stops them, {renew}"


@contextmanager
def _reloading(crew: Processes, work: Work, report: Report) -> Iterator[None]:
    """Take new processes whenever a file of the project changes."""
    from sourced.runtime import Watch

    folder = project_folder(work.app)
    watch = Watch(folder, crew.replace)
    report.note(f"new processes are taken when a .py file changes in {folder} ({watch.means})")
    watch.start()
    try:
        yield
    finally:
        watch.stop()


def _amiss(ending: Ending, work: Work) -> CommandError | None:
    """Return why not all is well, if it is not."""
    if (refusal := ending.refusal) is not None:
        return CommandError(
            Code(refusal.code),
            refusal.message,
            name=refusal.name,
            hint=refusal.hint,
            trace=refusal.trace,
        )
    if ending.is_down and not ending.forced:
        return CommandError(
            Code.FAILED,
            "every process died five times within a minute, so none is started any more",
            name="workers.crash-loop",
            hint="the log says how they died; mend that and start the workers again",
        )
    if ending.lost and not ending.forced:
        return CommandError(
            Code.FAILED,
            "a process died while it ended: what it had in hand comes free with its lease",
            name="workers.died",
        )
    return cut_short(ending, drained=work.drain)

"""One command's run: what it answers, what it says beside that, and how it ends.

The answer goes to stdout, everything else to stderr. With `--json` stdout holds one document, or
one for each line of a stream, and nothing else: whatever the user's code prints goes to stderr.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import IO

import typer

from sourced_cli._envelope import Diagnostic, Level, Status, document
from sourced_cli._exit import Code, CommandError, code_of
from sourced_cli._pipe import await_loss
from sourced_cli._render import Painter
from sourced_cli._text import hide_passwords, safe, safe_lines

__all__ = [
    "Report",
    "UnwritableError",
    "diagnostics_of",
    "forget",
    "reporting",
    "say_error",
    "trace_of",
]


class UnwritableError(CommandError):
    """Stdout takes nothing more: the disk behind it is full, or it was closed."""

    def __init__(self, error: OSError | ValueError) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        super().__init__(Code.FAILED, f"cannot write to stdout: {reason}", name="output.failed")


class Report:
    """What one command has to say; see the module's docstring.

    Attributes:
        code: the exit code so far.
        as_json: write documents, not text.
        paint: colours for stdout.
        out: stdout, which the user's code cannot reach.
    """

    def __init__(
        self, command: str, *, as_json: bool, verbose: bool, streams: bool, out: IO[str]
    ) -> None:
        self.command = command
        self.as_json = as_json
        self.verbose = verbose
        self.out = out
        self.paint = Painter(out)
        self.code = Code.DONE
        self._data: object = None
        self._answered = False
        self._streams = streams
        self._diagnostics: list[Diagnostic] = []
        self._endings: list[Callable[[], object]] = []

    def at_end(self, call: Callable[[], object]) -> None:
        """Call something when all is said: close what was opened."""
        self._endings.append(call)

    def answer(self, data: object, text: str) -> None:
        """Give the answer: as data under `--json`, as text otherwise.

        Args:
            data: what JSON can hold.
            text: for people; made of safe parts.
        """
        self._data, self._answered = data, True
        if not self.as_json and text:
            self._write(text)

    def stream(self, data: object, text: str) -> None:
        """Give one answer of many: a document on a line of its own, or text."""
        self._write(document(self.command, "ok", data) if self.as_json else text)

    def pause(self, seconds: float) -> None:
        """Wait so long, a day at most, before there is more to stream.

        Raises:
            BrokenPipeError: nobody reads it any more, so that the command ends.
        """
        await_loss(self.out, seconds)

    def note(self, text: str) -> None:
        """Say something to whoever runs the command."""
        say(text)

    def detail(self, text: str) -> None:
        """Say something to those who asked for more with `-v`."""
        if self.verbose:
            say(text)

    def warn(self, code: str, message: str, *, subject: str = "", hint: str = "") -> None:
        """Say what is amiss though the command goes on."""
        self._diagnose("warning", code, message, subject, hint)

    def fail_check(self, code: str, message: str, *, subject: str = "") -> None:
        """Let the command end with a failed check."""
        self.code = Code.CHECK
        self._diagnose("error", code, message, subject, "")

    def refuse(self, error: BaseException) -> None:
        """Let the command end with an error; say everything that is wrong with it."""
        self.code = code_of(error)
        for diagnostic in diagnostics_of(error):
            self._keep(diagnostic, is_sentence=not _problems_of(error))
        trace = trace_of(error, verbose=self.verbose)
        if trace:
            say(trace, lines=True)

    def finish(self, *, closing: bool = True) -> None:
        """Write the document, if that is what was asked for, and let go of what was opened."""
        if self.as_json and not (self._streams and self.code is Code.DONE):
            self._write(document(self.command, self._status, self._data, tuple(self._diagnostics)))
        for call in self._endings if closing else ():
            call()

    @property
    def _status(self) -> Status:
        if self.code is Code.DONE:
            return "ok"
        return "failed" if self.code is Code.CHECK else "error"

    def _diagnose(self, level: Level, code: str, message: str, subject: str, hint: str) -> None:
        self._keep(Diagnostic(code=code, level=level, message=message, subject=subject, hint=hint))

    def _keep(self, diagnostic: Diagnostic, *, is_sentence: bool = False) -> None:
        """Keep it for the document, or say it; a sentence names its subject by itself."""
        hidden = replace(
            diagnostic,
            message=hide_passwords(diagnostic.message),
            subject=hide_passwords(diagnostic.subject),
            hint=hide_passwords(diagnostic.hint),
        )
        self._diagnostics.append(hidden)
        if not self.as_json:
            _say_diagnostic(replace(hidden, subject="") if is_sentence else hidden)

    def _write(self, text: str) -> None:
        try:
            self.out.write(text + "\n")
            self.out.flush()
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            raise UnwritableError(error) from error


@contextmanager
def reporting(
    command: str, *, as_json: bool, verbose: bool, streams: bool = False, endless: bool = False
) -> Iterator[Report]:
    """Run a command's body; whatever happens in it ends in its exit code and in words.

    Args:
        command: its name in documents.
        as_json: write documents, not text.
        verbose: say more on stderr.
        streams: there are any number of answers, none included, each on a line of its own.
        endless: it goes on until Ctrl-C, which is then no interruption but its end.

    Raises:
        typer.Exit: always in the end, unless all went well.
    """
    with _own_stdout(as_json) as out:
        report = Report(command, as_json=as_json, verbose=verbose, streams=streams, out=out)
        try:
            try:
                yield report
            except (typer.Exit, typer.TyperException, BrokenPipeError, UnwritableError):
                raise
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - each has its code
                if not (endless and isinstance(error, KeyboardInterrupt)):
                    report.refuse(error)
            report.finish()
        except BrokenPipeError:
            forget(out)
            raise typer.Exit(Code.DONE) from None
        except UnwritableError as error:
            forget(out)
            say_error(str(error))
            raise typer.Exit(error.code) from None
    if report.code is not Code.DONE:
        raise typer.Exit(report.code)


def say(text: str, *, lines: bool = False) -> None:
    """Write to stderr: safe, and without passwords.

    A stderr that takes nothing is no reason for a command to end otherwise than it would.
    """
    hidden = hide_passwords(text)
    try:
        sys.stderr.write((safe_lines(hidden) if lines else safe(hidden)) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        forget(sys.stderr)


def say_error(message: str, hint: str = "") -> None:
    """Write an error and its next step to stderr."""
    _say_diagnostic(Diagnostic(code="", level="error", message=message, hint=hint))


def diagnostics_of(error: BaseException) -> list[Diagnostic]:
    """Return what is wrong, one entry for each problem."""
    name, hint, subject = _kebab(type(error).__name__), "", ""
    if isinstance(error, CommandError):
        name, hint, subject = error.name, error.hint, error.subject
    if problems := _problems_of(error):
        return [
            Diagnostic(code=name, level="error", message=text, subject=str(path))
            for path, texts in problems.items()
            for text in texts
        ]
    message = str(error) or ("interrupted" if isinstance(error, KeyboardInterrupt) else "")
    if not message or not _is_ours(error):
        message = f"{type(error).__name__}: {message}".removesuffix(": ")
    return [Diagnostic(code=name, level="error", message=message, subject=subject, hint=hint)]


def _problems_of(error: BaseException) -> dict[str, list[str]]:
    """Return what is wrong by path, if an error says it so."""
    problems = getattr(error, "problems", None)
    return problems if isinstance(problems, dict) else {}


def _is_ours(error: BaseException) -> bool:
    module = type(error).__module__
    return module.startswith(("sourced.", "sourced_cli.")) or isinstance(error, KeyboardInterrupt)


def _say_diagnostic(diagnostic: Diagnostic) -> None:
    about = f"{diagnostic.subject}: " if diagnostic.subject else ""
    say(f"{diagnostic.level}: {about}{diagnostic.message}")
    if diagnostic.hint:
        say(f"  → {diagnostic.hint}")


def trace_of(error: BaseException, *, verbose: bool) -> str:
    if isinstance(error, CommandError):
        return error.trace
    if verbose or (not _is_ours(error) and code_of(error) is Code.FAILED):
        return "".join(traceback.format_exception(error))
    return ""


def _kebab(name: str) -> str:
    words = "".join(f"-{c.lower()}" if c.isupper() else c for c in name.removesuffix("Error"))
    return words.strip("-")


@contextmanager
def _own_stdout(as_json: bool) -> Iterator[IO[str]]:
    """Give stdout, and under `--json` send what anybody else writes there to stderr."""
    if not as_json:
        yield sys.stdout
        return
    sys.stdout.flush()
    try:
        number = sys.stdout.fileno()
        kept = os.dup(number)
    except (io.UnsupportedOperation, OSError):  # replaced by an object of a test, or closed
        out = sys.stdout
        with redirect_stdout(sys.stderr):
            yield out
        return
    os.dup2(sys.stderr.fileno(), number)  # also for those who write past Python
    try:
        out = os.fdopen(kept, "w", encoding="utf-8", closefd=False)
        with out, redirect_stdout(sys.stderr):
            yield out
    finally:
        os.dup2(kept, number)
        os.close(kept)


def forget(*streams: IO[str]) -> None:
    """Let nothing more be written to streams that take nothing, at exit either."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        try:
            os.dup2(devnull, stream.fileno())
        except (io.UnsupportedOperation, OSError, ValueError):
            continue
    os.close(devnull)

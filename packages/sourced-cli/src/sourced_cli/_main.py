"""The `sourced` command: its tree, and what becomes of an invocation.

Nothing here or in a command's module loads the kernel, a driver or the user's app: each command
does when it runs, so that help and completion answer at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from sourced_cli._envelope import Diagnostic, document
from sourced_cli._exit import Code
from sourced_cli._report import UnwritableError, forget, say, say_error
from sourced_cli._text import hide_passwords
from sourced_cli.commands import commands, install, lag, messages, migrate, new, version, workers

__all__ = ["cli", "main", "run"]

cli: typer.Typer = typer.Typer(
    name="sourced",
    help="Event-sourced apps: run their workers, see what is pending and why, send commands.",
    epilog="An app is found by --app, SOURCED_APP, [tool.sourced] app in pyproject.toml, or as the "
    "only App in app.py, main.py, events.py. Every option can be set in the environment, as shown "
    "in its help.",
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "SOURCED"},
)
for noun in (new, install, workers, lag):
    noun.add_to(cli)
cli.add_typer(migrate.cli, name="migrate")
cli.add_typer(messages.cli, name="messages")
cli.add_typer(commands.cli, name="commands")
version.add_to(cli)


@cli.callback()
def root(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", show_envvar=False)
    ] = False,
) -> None:
    """Show the version, or the help if nothing was asked for."""
    if show_version:
        typer.echo(f"sourced {version.version_of('sourced-cli')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run an invocation and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    if sys.stdout is None:
        say_error("cannot write to stdout: it is closed; nothing was done")
        return Code.FAILED
    code: int = Code.DONE
    try:
        code = _invoke(given)
        sys.stdout.flush()  # what the app has printed
    except BrokenPipeError:
        forget(sys.stdout)
    except OSError as error:
        forget(sys.stdout)
        say_error(str(UnwritableError(error)))
        return Code.FAILED
    return code


def _prepare_streams() -> None:
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a character is no failure
            stream.reconfigure(errors="backslashreplace")


def _invoke(given: list[str]) -> int:
    try:
        code = get_command(cli).main(given, prog_name="sourced", standalone_mode=False)
    except typer.TyperException as error:
        _tell_usage(error, as_json=_wants_json(given))
        return Code.USAGE
    except typer.Abort:
        say_error("interrupted")
        return Code.INTERRUPTED
    return code if isinstance(code, int) else Code.DONE


def main() -> None:
    """Run what the process was called with."""
    code = run()
    try:
        sys.stderr.flush()  # what was logged; at the exit it would be an exit code of its own
    except OSError:
        forget(sys.stderr)
    sys.exit(code)


def _tell_usage(error: typer.TyperException, *, as_json: bool) -> None:
    message = hide_passwords(error.format_message())
    context = getattr(error, "ctx", None)
    if as_json:
        diagnostic = Diagnostic(code="usage", level="error", message=message)
        typer.echo(document("usage", "error", None, (diagnostic,)))
        return
    if context is not None:
        say(context.get_usage(), lines=True)
        say_error(message, hint=f"{context.command_path} --help")
    else:
        say_error(message)


def _wants_json(arguments: Sequence[str]) -> bool:
    said = os.environ.get("SOURCED_JSON", "").strip().lower()
    return "--json" in arguments or said in {"1", "true", "t", "yes", "y", "on"}

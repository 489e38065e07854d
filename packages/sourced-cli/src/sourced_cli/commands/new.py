"""`sourced new`: a small app with tests that pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sourced_cli._options import JsonOption, TracesOption, examples
from sourced_cli._report import reporting
from sourced_cli._scaffold import files_of, package_of, write
from sourced_cli._text import safe

__all__ = ["add_to"]

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The app's name and folder.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="List the files; write nothing.", show_default=False)
]


def add_to(cli: typer.Typer) -> None:
    """Add the command."""
    lines = ("sourced new shop", "sourced new shop --dry-run")
    cli.command(
        "new", short_help="Write a small app with tests that pass.", epilog=examples(*lines)
    )(new)


def new(
    name: NameArgument,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    verbose: TracesOption = False,
) -> None:
    """Write a small event-sourced app with tests that pass.

    A cart is in carts.py, a table of what carts are worth in totals.py, the wiring in app.py.
    The folder must not exist, or be empty.
    """
    with reporting("new", as_json=as_json, verbose=verbose) as report:
        package = package_of(name)
        folder = Path(name)
        files = files_of(name, package)
        if not dry_run:
            write(folder, files)
        data = {
            "name": name,
            "package": package,
            "folder": folder.resolve(),
            "files": sorted(files),
            "dry_run": dry_run,
        }
        verb = "would write" if dry_run else "wrote"
        report.answer(data, "\n".join(f"{verb} {safe(folder / file)}" for file in sorted(files)))
        if not dry_run:
            report.note(
                f"next: cd {name} && python -m pip install -e '.[test]' && python -m pytest"
            )
            report.note("then: sourced install, sourced workers --drain, sourced lag")

"""`sourced version`: what is installed."""

from __future__ import annotations

import platform
from importlib import metadata

import typer

from sourced_cli._options import JsonOption, TracesOption, examples
from sourced_cli._render import table
from sourced_cli._report import reporting

__all__ = ["add_to", "version_of"]

PACKAGES = (
    "sourced-core",
    "sourced-postgres",
    "sourced-sqlalchemy",
    "sourced-cli",
    "sourced-testing",
)
DRIVERS = ("sqlalchemy", "psycopg", "typer")


def version_of(package: str) -> str | None:
    """Return the installed version of a distribution."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def add_to(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(
        "version",
        short_help="Show what is installed.",
        epilog=examples("sourced version", "sourced version --json"),
    )(version)


def version(as_json: JsonOption = False, verbose: TracesOption = False) -> None:
    """Show the versions of the family, of what it stands on, and of Python."""
    with reporting("version", as_json=as_json, verbose=verbose) as report:
        packages = {name: version_of(name) for name in PACKAGES}
        drivers = {name: found for name in DRIVERS if (found := version_of(name)) is not None}
        data = {"packages": packages, "drivers": drivers, "python": platform.python_version()}
        rows = [(name, found or "not installed") for name, found in packages.items()]
        rows += [*drivers.items(), ("python", platform.python_version())]
        report.answer(data, table(("PACKAGE", "VERSION"), rows, paint=report.paint))

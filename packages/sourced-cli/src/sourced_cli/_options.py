"""Options that many commands have."""

from __future__ import annotations

from typing import Annotated, Any

import typer

__all__ = [
    "AppOption",
    "DryRunOption",
    "DsnOption",
    "JsonOption",
    "RoleOption",
    "TracesOption",
    "VerboseOption",
    "examples",
    "read_with",
]

AppOption = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:ATTR",
        envvar="SOURCED_APP",
        show_default=False,
        help="The app, or a function that makes it.",
    ),
]
DsnOption = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        metavar="URL",
        envvar="SOURCED_DSN",
        show_default=False,
        help="The store, without an app.",
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done; do nothing.", show_default=False)
]
RoleOption = Annotated[
    str | None,
    typer.Option(
        "--role",
        metavar="ROLE",
        show_default=False,
        help="A role of the database, which is granted what workers need.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", envvar="SOURCED_JSON", help="Answer as JSON.", show_default=False)
]
TracesOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        envvar="SOURCED_VERBOSE",
        help="Show tracebacks.",
        show_default=False,
    ),
]
VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        envvar="SOURCED_VERBOSE",
        help="Say which app was chosen and why; show tracebacks.",
        show_default=False,
    ),
]


def examples(*lines: str) -> str:
    """Return the end of a command's help."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def read_with(read: Any, metavar: str) -> dict[str, Any]:
    """Return the arguments of an option whose text is read by a function that raises ValueError."""

    def parser(text: Any) -> Any:
        try:
            return read(text) if isinstance(text, str) else text  # a default is no text
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return {"parser": parser, "metavar": metavar}

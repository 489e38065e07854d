"""`sourced install`: the store's tables, and the app's consumer groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sourced_cli._options import AppOption, JsonOption, VerboseOption, examples
from sourced_cli._report import reporting
from sourced_cli._target import find_app, warn_if_in_memory
from sourced_cli._text import hide_passwords, safe

if TYPE_CHECKING:
    from sourced import App

__all__ = ["add_to"]

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done; do nothing.", show_default=False)
]


def add_to(cli: typer.Typer) -> None:
    """Add the command."""
    lines = ("sourced install", "sourced install --dry-run", "sourced install --app shop.app:app")
    cli.command(
        "install", short_help="Make the tables, announce the groups.", epilog=examples(*lines)
    )(install)


def install(
    app: AppOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make the store's tables if they are missing, and announce the app's groups to it.

    Running it again changes nothing; it says what it did.
    """
    with reporting("install", as_json=as_json, verbose=verbose) as report:
        found = find_app(app, report)
        warn_if_in_memory(found.app.store, report)
        before = _known(found.app)
        made = before is None
        if not dry_run:
            made = found.app.install()
        groups = [_group(entry.group, entry.types, before or {}) for entry in found.app.reactors]
        data = {
            "app": found.name,
            "store": hide_passwords(found.app.url),
            "tables": "missing" if made and dry_run else "made" if made else "present",
            "groups": groups,
            "dry_run": dry_run,
        }
        report.answer(data, _text(data))


def _known(app: App) -> Mapping[str, frozenset[str]] | None:
    """Return the groups that the store knows and their types; None where no tables are."""
    if not app.installed:
        return None
    return {group.name: group.types for group in app.store.inspect.groups()}


def _group(
    name: str, types: frozenset[str], before: Mapping[str, frozenset[str]]
) -> dict[str, Any]:
    added = types - before.get(name, frozenset())
    state = "new" if name not in before else "extended" if added else "known"
    return {"name": name, "state": state, "types": types, "added_types": added}


def _text(data: Mapping[str, Any]) -> str:
    tables = {
        "missing": "tables would be made",
        "made": "made the tables",
        "present": "the tables are there already",
    }[data["tables"]]
    where = f" in {safe(data['store'])}" if data["store"] else ""
    return "\n".join([tables + where, *(_line(group, data["dry_run"]) for group in data["groups"])])


def _line(group: Mapping[str, Any], would: bool) -> str:
    name, count = safe(group["name"]), len(group["types"])
    types = "1 message type" if count == 1 else f"{count} message types"
    if group["state"] == "new":
        return f"{'would announce' if would else 'announced'} group {name} ({types})"
    if group["state"] == "known":
        return f"group {name} is known ({types})"
    added = safe(", ".join(sorted(group["added_types"])))
    return f"group {name} {'would handle' if would else 'now handles'} {added} too"

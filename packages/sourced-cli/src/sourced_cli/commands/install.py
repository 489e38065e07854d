"""`sourced install`: the store's tables, and the app's consumer groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from sourced_cli._migrations import migrating, wrong_usage
from sourced_cli._options import (
    AppOption,
    DryRunOption,
    DsnOption,
    JsonOption,
    RoleOption,
    VerboseOption,
    examples,
)
from sourced_cli._report import Report, reporting
from sourced_cli._target import (
    FoundApp,
    FoundStore,
    find_app,
    find_store,
    is_by_url,
    warn_if_in_memory,
)
from sourced_cli._text import hide_passwords, safe

if TYPE_CHECKING:
    from sourced import Store

__all__ = ["add_to"]


def add_to(cli: typer.Typer) -> None:
    """Add the command."""
    lines = (
        "sourced install",
        "sourced install --dry-run",
        "sourced install --app shop.app:app",
        "sourced install --dsn postgresql://db.example/shop --role shop_worker",
    )
    cli.command(
        "install", short_help="Make the tables, announce the groups.", epilog=examples(*lines)
    )(install)


def install(
    app: AppOption = None,
    dsn: DsnOption = None,
    role: RoleOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make the store's tables if they are missing, and announce the app's groups to it.

    Running it again changes nothing; it says what it did.
    With --dsn there is no app, so there are no groups to announce.
    """
    with reporting("install", as_json=as_json, verbose=verbose) as report:
        found = _found(app, dsn, report)
        store, name = _store_of(found)
        if role is not None:
            migrating(store, name, "roles")
        before = _known(store)
        made = before is None
        if not dry_run:
            made = _installed(found, role)
        reactors = found.app.reactors if isinstance(found, FoundApp) else ()
        groups = [_group(entry.group, entry.types, before or {}) for entry in reactors]
        data = {
            "app": found.name if isinstance(found, FoundApp) else None,
            "store": hide_passwords(found.app.url if isinstance(found, FoundApp) else name),
            "tables": "missing" if made and dry_run else "made" if made else "present",
            "role": role,
            "groups": groups,
            "dry_run": dry_run,
        }
        report.answer(data, _text(data))
        if isinstance(found, FoundStore):
            report.note("groups are announced by `sourced install` of their app, or by its workers")


def _found(app: str | None, dsn: str | None, report: Report) -> FoundApp | FoundStore:
    if is_by_url(app, dsn):
        return find_store(app, dsn, report)
    found = find_app(app, report)
    warn_if_in_memory(found.app.store, report)
    return found


def _store_of(found: FoundApp | FoundStore) -> tuple[Store, str]:
    """Return the store, and what it is called."""
    if isinstance(found, FoundStore):
        return found.store, found.name
    return found.app.store, found.app.url or type(found.app.store).__name__


def _installed(found: FoundApp | FoundStore, role: str | None) -> bool:
    """Install, announce the groups if there is an app; return whether tables were made."""
    if role is None:
        return found.app.install() if isinstance(found, FoundApp) else found.store.install()
    store, name = _store_of(found)
    with wrong_usage():
        made = migrating(store, name, "roles").install(role=role)
    if isinstance(found, FoundApp):
        found.app.ready()
    return made


def _known(store: Store) -> Mapping[str, frozenset[str]] | None:
    """Return the groups that the store knows and their types; None where no tables are."""
    if not store.installed():
        return None
    return {group.name: group.types for group in store.inspect.groups()}


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
    lines = [tables + where, *(_line(group, data["dry_run"]) for group in data["groups"])]
    if data["role"] is not None:
        did = "would grant" if data["dry_run"] else "granted"
        lines.insert(1, f"{did} {safe(data['role'])} what workers need")
    return "\n".join(lines)


def _line(group: Mapping[str, Any], would: bool) -> str:
    name, count = safe(group["name"]), len(group["types"])
    types = "1 message type" if count == 1 else f"{count} message types"
    if group["state"] == "new":
        return f"{'would announce' if would else 'announced'} group {name} ({types})"
    if group["state"] == "known":
        return f"group {name} is known ({types})"
    added = safe(", ".join(sorted(group["added_types"])))
    return f"group {name} {'would handle' if would else 'now handles'} {added} too"

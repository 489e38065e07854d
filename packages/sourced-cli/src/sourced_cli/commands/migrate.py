"""`sourced migrate`: versions of the store's tables, seen, applied, or written out for a DBA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from sourced_cli._exit import Code, CommandError
from sourced_cli._migrations import Migrating, Migration, migrating, wrong_usage
from sourced_cli._options import (
    AppOption,
    DryRunOption,
    DsnOption,
    JsonOption,
    RoleOption,
    VerboseOption,
    examples,
)
from sourced_cli._render import table
from sourced_cli._report import Report, reporting
from sourced_cli._target import find_store
from sourced_cli._text import hide_passwords, safe

__all__ = ["cli"]

CheckOption = Annotated[
    bool,
    typer.Option("--check", help="Exit 8 if a migration is not applied.", show_default=False),
]
AfterOption = Annotated[
    int,
    typer.Option(
        "--after",
        metavar="VERSION",
        min=0,
        help="The version that the tables have, as `migrate status` says; 0 for none.",
    ),
]

cli: typer.Typer = typer.Typer(
    name="migrate",
    help="See and apply the versions of the store's tables.",
    invoke_without_command=True,
)


@cli.callback()
def root(context: typer.Context) -> None:
    """Show the help if nothing was asked for."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@cli.command(
    "status",
    short_help="Show what is applied, and what is not.",
    epilog=examples(
        "sourced migrate status",
        "sourced migrate status --check",
        "sourced migrate status --dsn postgresql://db.example/shop --json",
    ),
)
def status(
    app: AppOption = None,
    dsn: DsnOption = None,
    check: CheckOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show each version of the store's tables, and when it was applied."""
    with reporting("migrate.status", as_json=as_json, verbose=verbose) as report:
        store, name = _found(app, dsn, report)
        steps = store.migrations()
        version = max((one.version for one in steps if one.applied_at), default=0)
        newest = steps[-1].version
        data = {
            "store": name,
            "version": version,
            "newest": newest,
            "migrations": [
                {"version": one.version, "name": one.name, "applied_at": one.applied_at}
                for one in steps
            ],
        }
        report.answer(data, _status_text(steps, version, newest))
        if check and version < newest:
            report.fail_check(
                "schema.behind",
                f"the tables are of version {version}, the newest is {newest}"
                if version
                else "there are no tables",
                subject=name,
            )


@cli.command(
    "up",
    short_help="Bring the tables to the newest version.",
    epilog=examples("sourced migrate up --dry-run", "sourced migrate up"),
)
def up(
    app: AppOption = None,
    dsn: DsnOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Apply what is not applied, in one transaction; any number of hosts may do it at once.

    Roles that could work before can work afterwards.
    """
    with reporting("migrate.up", as_json=as_json, verbose=verbose) as report:
        store, name = _found(app, dsn, report)
        steps = _missing(store, name) if dry_run else store.migrate()
        data = {
            "store": name,
            "applied": [{"version": one.version, "name": one.name} for one in steps],
            "dry_run": dry_run,
        }
        report.answer(data, _up_text(steps, name, dry_run=dry_run))


@cli.command(
    "sql",
    short_help="Print the script, for somebody else to run.",
    epilog=examples(
        "sourced migrate sql --role shop_worker > sourced.sql",
        "sourced migrate sql --after 1 > sourced.sql",
    ),
)
def sql(
    app: AppOption = None,
    dsn: DsnOption = None,
    after: AfterOption = 0,
    role: RoleOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Print the script that makes or migrates the store's tables, without connecting to it.

    It is for somebody who has the right to run it: psql -v ON_ERROR_STOP=1 -f sourced.sql
    """
    with reporting("migrate.sql", as_json=as_json, verbose=verbose) as report:
        store, name = _found(app, dsn, report)
        with wrong_usage():
            script = store.migration_sql(after=after, role=role)
        data = {"store": name, "after": after, "role": role, "sql": script}
        report.answer(data, script.rstrip("\n"))


def _found(app: str | None, dsn: str | None, report: Report) -> tuple[Migrating, str]:
    found = find_store(app, dsn, report)
    return migrating(found.store, found.name, "migrations"), hide_passwords(found.name)


def _missing(store: Migrating, name: str) -> Sequence[Migration]:
    steps = store.migrations()
    if not any(one.applied_at for one in steps):
        raise CommandError(
            Code.SCHEMA,
            f"there is nothing to migrate in {name}",
            name="schema.missing",
            subject=name,
            hint="make the tables: sourced install",
        )
    return [one for one in steps if one.applied_at is None]


def _status_text(steps: Sequence[Migration], version: int, newest: int) -> str:
    rows = [[str(one.version), one.name, _when(one)] for one in steps]
    found = f"version {version} of {newest}" if version else "there are no tables"
    return "\n".join([table(("VERSION", "NAME", "APPLIED"), rows, right=("VERSION",)), found])


def _when(one: Migration) -> str:
    if one.applied_at is None:
        return "not applied"
    return f"{one.applied_at:%Y-%m-%d %H:%M:%S} UTC"


def _up_text(steps: Sequence[Migration], name: str, *, dry_run: bool) -> str:
    did = "would apply" if dry_run else "applied"
    lines = [f"{did} {one.version} {safe(one.name)}" for one in steps]
    return "\n".join(lines) or f"nothing to apply in {safe(name)}"

"""The schema: making, migrating, granting and dropping it, from the files under `sql/`.

Two numbers say what is there. The version of the tables is that of the newest migration; a package
never touches tables that are newer. The release of the functions is that of the package which put
them there; functions of an older or unreleased state are replaced, newer ones are left, so that a
process of older code which installs at its start takes nothing back from those that came after it.

Functions are dropped and made anew, since a new one may differ in its parameters or in what it
returns. They are known by their comment: in a schema that holds functions of the user's, nothing
of theirs is touched.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version as installed_release
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, LiteralString, cast

from psycopg import sql

from sourced.errors import SchemaError, StoreError, UsageError
from sourced_postgres._connections import Connection

__all__ = [
    "VERSION",
    "Migration",
    "check_role",
    "install",
    "installed_version",
    "migrate",
    "migrations",
    "script",
    "uninstall",
]

_SQL: Final = files("sourced_postgres") / "sql"

_PATIENCE: Final = "SET LOCAL lock_timeout = '100ms'"
"""How long a change of tables may wait for whoever uses them: all who come later wait behind it."""

_BY_INDEX: Final = """\
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_mergejoin = off
SET jit = off"""
"""How the functions are planned that look up rows of tables which come and go.

The statistics are of a moment when a table was small, dead rows are not in them, and a session
keeps the plans of its first calls: what is cheap by them may cost a walk through everything later.
These settings leave the planner walks of an index from a known place on, and the functions are
written so that there is only one such place: a row is looked up by its key in a subquery of its
own, once for each of a list (a scalar one, or LATERAL with a LIMIT: the planner takes neither
apart), and changed where it was found (`ctid`, which is good for as long as the row is locked). A
plain join would let it walk through a whole table that is small by the statistics. Where there is
no other way, the cost that the planner then reckons with must not make it compile the statement.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step from a version of the tables to the next.

    Attributes:
        version: the one that it leads to.
        name: what it is about.
        applied_at: when it was applied, or made part of a new schema; None: not yet.
    """

    version: int
    name: str
    applied_at: datetime | None = None


# --- files ----------------------------------------------------------------------------------------


@cache
def _migration_files() -> tuple[tuple[int, str], ...]:
    names = sorted(f.name for f in (_SQL / "migrations").iterdir() if f.name.endswith(".sql"))
    return tuple((int(name.partition("_")[0]), name) for name in names)


VERSION: Final = _migration_files()[-1][0]
"""The version of the tables that this package reads and writes."""


@cache
def _function_files() -> tuple[Traversable, ...]:
    found = (f for f in (_SQL / "functions").iterdir() if f.name.endswith(".sql"))
    return tuple(sorted(found, key=lambda f: f.name))


@cache
def _functions() -> str:
    """Return the release of this package and the fingerprint of its functions."""
    digest = hashlib.sha256(_BY_INDEX.encode())
    for file in _function_files():
        digest.update(file.read_bytes())
    return f"{installed_release('sourced-postgres')} {digest.hexdigest()}"


def _bound(file: Traversable, schema: str, **more: sql.Composable) -> sql.Composed:
    """Return the text of a file with the schema bound, and what else it takes."""
    text: LiteralString = cast(Any, file.read_text(encoding="utf-8"))  # a file of this package
    return sql.SQL(text).format(schema=sql.Identifier(schema), by_index=sql.SQL(_BY_INDEX), **more)


# --- making ---------------------------------------------------------------------------------------


def install(
    connection: Connection, schema: str, *, role: str | None = None, turned_clock: bool = False
) -> bool:
    """Make or migrate what is missing; return whether anything was.

    Runs in the caller's transaction. Of several processes that install at once, one makes the
    schema while the others wait for its advisory lock, and then find it made. Roles that could work
    before still can afterwards.

    Args:
        connection: inside a transaction.
        schema: where.
        role: is granted what workers need.
        turned_clock: whether the store goes by a clock that tests turn.

    Raises:
        SchemaError: the tables are of a newer version.
        StoreError: there is no such role.
    """
    if role is not None:
        _check_exists(connection, role)
    connection.execute(_locked(schema))
    version, functions = installed_version(connection, schema)
    changed = version < VERSION or _is_older(functions)
    if changed:
        if version == 0:
            _create_schema(connection, schema)
        else:
            connection.execute(_PATIENCE)
        _run_steps(connection, schema, version, turned_clock=turned_clock)
    if role is not None:
        for part in _grants(schema, role):
            connection.execute(part)
    return changed


def migrate(connection: Connection, schema: str, *, turned_clock: bool) -> tuple[Migration, ...]:
    """Bring an older version to this one; return the steps that were taken.

    Raises:
        SchemaError: there are no tables, or they are of a newer version.
    """
    connection.execute(_locked(schema))
    version, functions = installed_version(connection, schema)
    if version == 0:
        raise SchemaError(
            f"there is nothing to migrate in the schema {schema!r}: make it with app.install() or "
            "`sourced install`"
        )
    if version < VERSION or _is_older(functions):
        connection.execute(_PATIENCE)
        _run_steps(connection, schema, version, turned_clock=turned_clock)
    return tuple(one for one in migrations(connection, schema) if one.version > version)


def installed_version(connection: Connection, schema: str) -> tuple[int, str]:
    """Return the version of the tables, 0 if there are none, and what the functions are.

    Raises:
        SchemaError: they are of a newer version than this package.
    """
    there = connection.execute("SELECT to_regclass(%s)", [f'"{schema}".migrations']).fetchone()
    if there is None or there[0] is None:
        return 0, ""
    latest = sql.SQL(
        "SELECT m.version, m.functions FROM {}.migrations AS m ORDER BY m.version DESC LIMIT 1"
    )
    row = connection.execute(latest.format(sql.Identifier(schema))).fetchone()
    version, functions = row if row is not None else (0, "")
    if version > VERSION:
        raise SchemaError(
            f"the schema {schema!r} is of version {version}, this package writes version "
            f"{VERSION}: upgrade it with `pip install --upgrade sourced-postgres`"
        )
    return version, functions


def migrations(connection: Connection, schema: str) -> tuple[Migration, ...]:
    """Return every migration of this package, oldest first, and when it was applied."""
    applied: dict[int, datetime] = {}
    if installed_version(connection, schema)[0] > 0:
        query = sql.SQL("SELECT m.version, m.applied_at FROM {}.migrations AS m")
        applied = dict(connection.execute(query.format(sql.Identifier(schema))).fetchall())
    return tuple(
        Migration(
            version=version,
            name=name.partition("_")[2].removesuffix(".sql").replace("_", " "),
            applied_at=applied[version].astimezone(UTC) if version in applied else None,
        )
        for version, name in _migration_files()
    )


def script(schema: str, after: int, role: str | None = None) -> str:
    """Return what brings the tables from a version to this package's, for somebody else to run.

    Args:
        schema: where.
        after: the version that is there, 0 for none.
        role: is granted what workers need, beside those that had it.

    Raises:
        UsageError: there is no such version, or no role can have the name.
    """
    parts = [_locked(schema), *_steps(schema, _checked_version(after)), *_grants(schema, role)]
    if after == 0:
        new = sql.SQL("CREATE SCHEMA IF NOT EXISTS {};").format(sql.Identifier(schema))
        parts.insert(1, new)
    else:
        parts.insert(1, sql.SQL("SET LOCAL lock_timeout = '1s';").format())  # if it fails, again
    lines = [_HEAD, "BEGIN;", *(part.as_string(None).strip() for part in parts), "COMMIT;"]
    return "\n\n".join(lines) + "\n"


def _checked_version(after: int) -> int:
    if type(after) is not int or not 0 <= after <= VERSION:  # True would be taken for 1
        raise UsageError(
            f"after={after!r} is no version of the tables: say 0 for none, or 1 to {VERSION}"
        )
    return after


_HEAD: Final = (
    "-- Sourced's schema. One transaction; with psql: psql -v ON_ERROR_STOP=1 -f this file.\n"
    "-- Whoever runs it owns what it makes, and needs the right to make it."
)


def check_role(role: str) -> str:
    """Return the name of a role.

    Raises:
        UsageError: no role can have it, or everybody would.
    """
    if not role or "\x00" in role or len(role.encode("utf-8", "replace")) > 63:
        raise UsageError(f"role={role!r} is no name of a role: those have 1 to 63 bytes")
    if role.lower() in {"public", "none"}:
        raise UsageError(
            f"role={role!r} stands for everybody or nobody; make one for workers: "
            "CREATE ROLE shop_worker LOGIN"
        )
    return role


def _steps(schema: str, after: int) -> Iterator[sql.Composed]:
    if after == 0:
        yield _bound(_SQL / "schema.sql", schema)
    for version, name in _migration_files():
        if 0 < after < version:
            yield _bound(_SQL / "migrations" / name, schema)
    yield sql.SQL("SET LOCAL check_function_bodies = off;").format()  # they refer to one another
    yield _bound(_SQL / "drop_functions.sql", schema)
    yield _bound(_SQL / "note_functions.sql", schema)
    for file in _function_files():
        yield _bound(file, schema)
    names = [file.name.removesuffix(".sql") for file in _function_files()]
    yield _bound(_SQL / "mark_functions.sql", schema, names=sql.Literal(names))
    yield _noted(schema)


def _noted(schema: str) -> sql.Composed:
    rows = sql.SQL(", ").join(
        [
            sql.SQL("({}, clock_timestamp(), {})").format(number, _functions())
            for number, _ in _migration_files()
        ]
    )
    return sql.SQL(
        "INSERT INTO {}.migrations AS m (version, applied_at, functions) VALUES {} "
        "ON CONFLICT (version) DO UPDATE SET functions = excluded.functions;"
    ).format(sql.Identifier(schema), rows)


def _is_older(functions: str) -> bool:
    """Return whether functions are of an older release than this package, or unreleased."""
    there, here = functions.partition(" ")[0], _functions().partition(" ")[0]
    if there == here:
        return functions != _functions()
    return _numbers(there) < _numbers(here)


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


def _create_schema(connection: Connection, schema: str) -> None:
    # CREATE SCHEMA IF NOT EXISTS asks for the right to create one even where it does nothing.
    if connection.execute("SELECT to_regnamespace(%s)", [f'"{schema}"']).fetchone() == (None,):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))


def _run_steps(connection: Connection, schema: str, after: int, *, turned_clock: bool) -> None:
    for part in _steps(schema, after):
        connection.execute(part)
    if turned_clock:
        connection.execute(_bound(_SQL / "testing" / "now.sql", schema))
    for part in _grants(schema, None):
        connection.execute(part)


def _check_exists(connection: Connection, role: str) -> None:
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchall():
        raise StoreError(f"there is no role {role!r}; make it first: CREATE ROLE … LOGIN")


def _grants(schema: str, role: str | None) -> Iterator[sql.Composed]:
    """Grant what workers need to a role, and again to those that had it."""
    if role is not None:
        name = sql.Literal(check_role(role))
        yield sql.SQL("SELECT set_config('sourced.role', {}, true);").format(name)
    yield _bound(_SQL / "grants.sql", schema)


def _locked(schema: str) -> sql.Composed:
    key = f"sourced install {schema}"
    return sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended({}, 0));").format(key)


# --- dropping -------------------------------------------------------------------------------------


def uninstall(connection: Connection, schema: str) -> None:
    """Drop what `install` made; the schema itself if nothing of the user's is left in it."""
    connection.execute(_locked(schema))
    if installed_version(connection, schema)[0] == 0:
        return
    connection.execute(_bound(_SQL / "drop_functions.sql", schema))
    for name in _TABLES:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(schema, name)))
    connection.execute(sql.SQL("DROP SEQUENCE {}").format(sql.Identifier(schema, "epochs")))
    (is_empty,) = connection.execute(_IS_EMPTY, {"schema": schema}).fetchone() or (False,)
    if is_empty and schema != "public":
        connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(schema)))


_TABLES: Final = (
    "streams",
    "messages",
    "groups",
    "former_names",
    "subscriptions",
    "deliveries",
    "schedule",
    "snapshots",
    "workers",
    "operations",
    "migrations",
    "clock",
)

_IS_EMPTY: Final = """
SELECT NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid
) AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_proc AS p WHERE p.pronamespace = n.oid
) AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_type AS t WHERE t.typnamespace = n.oid
)
FROM pg_catalog.pg_namespace AS n
WHERE n.nspname = %(schema)s
"""

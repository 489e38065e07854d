"""Finds the app, or just the store, that a command is about; the first hit wins.

1. `--app module:attr`
2. `SOURCED_APP`
3. `[tool.sourced] app` in the nearest `pyproject.toml`
4. the only `App` in `app.py`, `main.py`, `events.py`

A command that is about the store alone takes `--dsn` or `SOURCED_DSN` too and needs no app then:
who is on call has a URL, not a checkout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sourced_cli._exit import Code, CommandError
from sourced_cli._import import apps_in, import_app, import_module
from sourced_cli._report import Report

if TYPE_CHECKING:
    from sourced import App, Store

__all__ = [
    "GUESSES",
    "FoundApp",
    "FoundStore",
    "find_app",
    "find_store",
    "is_by_url",
    "is_in_memory",
    "project_folder",
    "warn_if_in_memory",
]

IN_MEMORY = frozenset({"sqlite://", "sqlite:///", "sqlite:///:memory:"})
GUESSES = ("app.py", "main.py", "events.py")


@dataclass(frozen=True, slots=True)
class FoundApp:
    """An app, what it is called, and what decided for it."""

    app: App
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class FoundStore:
    """A store, what it is called (without its password), and what decided for it."""

    store: Store
    name: str
    source: str


def find_app(given: str | None, report: Report, *, here: Path | None = None) -> FoundApp:
    """Return the app.

    Args:
        given: by `--app` or `SOURCED_APP`.
        report: told with `-v` which app it is and why.
        here: where to look; the working directory by default.

    Raises:
        CommandError: there is none, there are several, or it cannot be imported.
    """
    folder = (here or Path.cwd()).resolve()
    found = _named(given, folder) or _configured(folder) or _guessed(folder)
    report.at_end(found.app.close)
    report.detail(f"app: {found.name}, by {found.source}")
    return found


def is_in_memory(app: App) -> bool:
    """Return whether an app's store is its process's alone: ours, or SQLite's without a file."""
    return _is_ours(app.store) or app.url.partition("?")[0] in IN_MEMORY


def warn_if_in_memory(store: Store, report: Report) -> None:
    """Say that a store in memory is this process's alone, and what to do about it."""
    if _is_ours(store):
        report.warn(
            "store.in-memory",
            "the app's store is in memory: this process sees nothing of others, nor they of it",
            hint='give the app a URL: App("sqlite:///shop.db")',
        )


def _is_ours(store: Store) -> bool:
    return type(store).__module__.startswith("sourced.memory")


def find_store(
    given_app: str | None, given_dsn: str | None, report: Report, *, here: Path | None = None
) -> FoundStore:
    """Return the store: of a URL, or of the app.

    What is on the command line wins over the environment; if both are there, the URL does.

    Raises:
        CommandError: both are on the command line, or there is no app.
        StoreUrlError: no installed package opens the URL.
    """
    if given_dsn and is_by_url(given_app, given_dsn):
        is_from_environment = given_dsn == os.environ.get("SOURCED_DSN")
        return _opened(given_dsn, "SOURCED_DSN" if is_from_environment else "--dsn", report)
    found = find_app(given_app, report, here=here)
    warn_if_in_memory(found.app.store, report)
    name = found.app.url or type(found.app.store).__name__
    return FoundStore(found.app.store, name, found.source)


def is_by_url(given_app: str | None, given_dsn: str | None) -> bool:
    """Return whether a URL decides which store it is, and not an app.

    Raises:
        CommandError: both are on the command line.
    """
    app_by_option = given_app is not None and given_app != os.environ.get("SOURCED_APP")
    dsn_by_option = given_dsn is not None and given_dsn != os.environ.get("SOURCED_DSN")
    if app_by_option and dsn_by_option:
        raise CommandError(
            Code.USAGE, "--app and --dsn both name a store; give one of them", name="usage"
        )
    return bool(given_dsn) and not app_by_option


def project_folder(given: str | None, *, here: Path | None = None) -> Path:
    """Return the folder from which the app is imported."""
    folder = (here or Path.cwd()).resolve()
    if given:
        return folder
    return next((file.parent for file in _projects(folder) if _app_in(file)), folder)


def _opened(url: str, source: str, report: Report) -> FoundStore:
    from sourced._stores import open_store, safe_url

    found = FoundStore(open_store(url), safe_url(url), source)
    report.at_end(found.store.close)
    report.detail(f"store: {found.name}, by {source}")
    return found


def _named(given: str | None, folder: Path) -> FoundApp | None:
    if not given:
        return None
    source = "SOURCED_APP" if given == os.environ.get("SOURCED_APP") else "--app"
    app, name = import_app(given, _roots(folder))
    return FoundApp(app, name, source)


def _configured(folder: Path) -> FoundApp | None:
    for file in _projects(folder):
        target = _app_in(file)
        if target is not None:
            app, name = import_app(target, _roots(file.parent))
            return FoundApp(app, name, f"[tool.sourced] in {file}")
    return None


def _projects(folder: Path) -> Iterator[Path]:
    """Give the `pyproject.toml` files from here up to the root of the repository."""
    for each in (folder, *folder.parents):
        file = each / "pyproject.toml"
        if file.is_file():
            yield file
        if (each / ".git").exists():
            return


def _app_in(file: Path) -> str | None:
    import tomllib

    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CommandError(
            Code.APP, f"cannot read {file}: {error}", name="config.unreadable", subject=str(file)
        ) from error
    tool = content.get("tool")
    settings = tool.get("sourced") if isinstance(tool, dict) else None
    if settings is None:
        return None
    target = settings.get("app") if isinstance(settings, dict) else settings
    if target is None:
        return None
    if not isinstance(target, str) or not target.strip():
        raise CommandError(
            Code.APP,
            f"[tool.sourced] app in {file} is {target!r}",
            name="config.invalid",
            subject=str(file),
            hint='write app = "shop.events:app"',
        )
    return target


def _guessed(folder: Path) -> FoundApp:
    found: dict[int, FoundApp] = {}
    for guess in GUESSES:
        file = folder / guess
        if not _speaks_of_us(file):
            continue
        module = import_module(file.stem, [folder])
        if not _is_from(module.__file__, file):
            continue
        for name, app in apps_in(module).items():
            source = f"{guess}, where it is the only App"
            found.setdefault(id(app), FoundApp(app, f"{file.stem}:{name}", source))
    if len(found) == 1:
        return next(iter(found.values()))
    raise _several(list(found.values())) if found else _none(folder)


def _speaks_of_us(file: Path) -> bool:
    """Return whether a file may hold an app: any other is not ours to run."""
    try:
        return "sourced" in file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


def _is_from(loaded: str | None, file: Path) -> bool:
    return loaded is not None and Path(loaded).resolve() == file.resolve()


def _roots(folder: Path) -> list[Path]:
    source = folder / "src"
    return [folder, source] if source.is_dir() else [folder]


def _several(found: list[FoundApp]) -> CommandError:
    return CommandError(
        Code.APP,
        f"there are several apps here: {', '.join(each.name for each in found)}",
        name="app.ambiguous",
        hint=f"say which: --app {found[0].name}",
    )


def _none(folder: Path) -> CommandError:
    return CommandError(
        Code.APP,
        f"no app found in {folder}: no --app, no SOURCED_APP, no [tool.sourced] app in a "
        f"pyproject.toml, no App in {', '.join(GUESSES)}",
        name="app.not-found",
        hint="name one with --app shop.events:app, or make one with `sourced new shop`",
    )

"""The files of a new app, made from the templates beside this module."""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sourced_cli._exit import Code, CommandError

__all__ = ["files_of", "package_of", "write"]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_TAKEN = {"app", "sourced", "test", "tests"}


def package_of(name: str) -> str:
    """Return the Python package of an app's name.

    Raises:
        CommandError: the name does not serve for a folder, a project and a package.
    """
    package = name.replace("-", "_")
    if not _NAME.fullmatch(name):
        problem = "use lower-case letters, digits, - and _, beginning with a letter"
    elif keyword.iskeyword(package) or keyword.issoftkeyword(package):
        problem = "it is a word of Python's"
    elif package in sys.stdlib_module_names:
        problem = "a module of Python's standard library has that name"
    elif package in _TAKEN or package.startswith("sourced_"):
        problem = "it would hide a package of that name"
    elif len(name) > 60:
        problem = "it is longer than 60 characters"
    else:
        return package
    raise CommandError(
        Code.USAGE,
        f"{name!r} cannot name an app: {problem}",
        name="new.invalid-name",
        subject=name,
        hint="for example: sourced new shop",
    )


def files_of(name: str, package: str) -> dict[str, str]:
    """Return the files of a new app, by path below its folder."""
    found: dict[str, str] = {}
    for path, entry in _entries(files("sourced_cli") / "template", ""):
        text = entry.read_text(encoding="utf-8")
        for word, value in _words(name, package).items():
            text = text.replace(word, value)
        found[_path(path, package)] = text
    return found


def write(folder: Path, content: Mapping[str, str]) -> None:
    """Write files into a folder that does not exist or is empty.

    Raises:
        CommandError: there is something in the folder already, or it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandError(
            Code.REFUSED,
            f"{str(folder)!r} exists and is not an empty folder; nothing was written",
            name="new.folder-not-empty",
            subject=str(folder),
            hint="choose another name, or empty it first",
        )
    try:
        for path, text in content.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            Code.FAILED,
            f"cannot write to {str(folder)!r}: {error}",
            name="new.unwritable",
            subject=str(folder),
        ) from error


def _words(name: str, package: str) -> dict[str, str]:
    return {"@name@": name, "@package@": package, "@PACKAGE@": package.upper()}


def _path(path: str, package: str) -> str:
    """Return where a template goes; no template is a Python file, lest a tool takes it for ours."""
    parts = path.removesuffix(".txt").replace("dot_", ".").split("/")
    return "/".join(package if part == "package" else part for part in parts)


def _entries(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            found += _entries(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".txt"):
            found.append((prefix + entry.name, entry))
    return found

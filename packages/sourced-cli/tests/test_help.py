"""The tree of commands: each leaf explains itself, and asking for help loads next to nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from projects import Project
from typer.main import get_command

from sourced_cli._main import cli

GOLDEN = Path(__file__).parent / "golden"
WRITTEN_WITH = "0.29."
# Typer itself loads pydantic, to read options.
HEAVY = ("sourced", "sqlalchemy", "psycopg", "textual", "hypothesis", "rich", "sqlite3")


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give every command below one, groups too, with its path."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*path, name))


TREE = dict(walk(get_command(cli)))
LEAVES = [path for path, command in TREE.items() if not hasattr(command, "commands")]


def test_the_tree_is_what_it_says() -> None:
    assert {" ".join(path) for path in LEAVES} == {
        *("migrate status", "migrate up", "migrate sql"),
        *("new", "install", "workers", "lag", "version"),
        *("messages tail", "messages show", "messages trace"),
        *("commands list", "commands info", "commands send"),
    }


@pytest.mark.skipif(
    not version("typer").startswith(WRITTEN_WITH), reason="another Typer words its own parts anew"
)
@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_help_is_as_written_down(project: Project, path: tuple[str, ...]) -> None:
    """After a change that is meant: delete the file in golden/ and run this test twice."""
    result = project.sourced(*path, "--help")
    file = GOLDEN / f"{'-'.join(path) or 'sourced'}.txt"
    if not file.exists():
        file.write_text(result.out, encoding="utf-8")
        pytest.fail(f"wrote {file.name}; look at it and run again")

    assert result.code == 0
    assert result.out == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_leaf_has_an_example_that_names_it_and_answers_as_json(
    project: Project, path: tuple[str, ...]
) -> None:
    text = project.sourced(*path, "--help").out

    examples = text.partition("Examples:")[2]
    assert f"sourced {' '.join(path)}" in examples
    assert "--json" in text
    assert "-v, --verbose" in text


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_option_of_a_leaf_has_its_variable(project: Project, path: tuple[str, ...]) -> None:
    text = re.sub(r"\s+", " ", project.sourced(*path, "--help").out)

    for parameter in TREE[path].params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            own = "_".join(("SOURCED", *path, parameter.name)).upper()
            shared = f"SOURCED_{parameter.name.upper().removeprefix('AS_')}"
            assert f"env var: {own}" in text or f"env var: {shared}" in text, parameter.name


def test_a_variable_stands_for_its_option(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.installed().send("carts.place", "cart-1")
    monkeypatch.setenv("SOURCED_LAG_FAIL_OVER", "0")
    monkeypatch.setenv("SOURCED_JSON", "1")

    result = shop.sourced("lag")

    assert (result.code, result.json["status"]) == (8, "failed")


@pytest.mark.parametrize("path", [path for path in TREE if path not in LEAVES], ids=" ".join)
def test_a_noun_without_a_verb_shows_its_help(project: Project, path: tuple[str, ...]) -> None:
    result = project.sourced(*path)

    assert result.code == 0
    assert result.out == project.sourced(*path, "--help").out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("version",),
        ("nothing",),
        *((*path, "--help") for path in LEAVES),
    ],
    ids=" ".join,
)
def test_asking_for_help_loads_neither_kernel_nor_driver_nor_app(
    project: Project, arguments: tuple[str, ...]
) -> None:
    project.write(app="raise RuntimeError('loaded')  # sourced\n")
    script = (
        "import sys\nfrom sourced_cli._main import run\nrun(sys.argv[1:])\n"
        f"print(sorted({{*{HEAVY}, 'app'}} & sys.modules.keys(), key=str), file=sys.stderr)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )

    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", [("new",), ("version",)], ids=" ".join)
def test_what_needs_no_app_does_not_offer_to_say_which_was_chosen(
    project: Project, path: tuple[str, ...]
) -> None:
    text = project.sourced(*path, "--help").out

    assert "-v, --verbose" in text
    assert "app was chosen" not in text


def test_typing_errors_are_told_with_the_nearest(project: Project) -> None:
    command = project.sourced("lagg")
    option = project.sourced("lag", "--wach")

    assert (command.code, option.code) == (2, 2)
    assert "Did you mean 'lag'?" in command.err
    assert "--watch" in option.err


def test_a_usage_error_is_a_document_under_json(project: Project) -> None:
    result = project.sourced("lag", "--wach", "--json")

    assert (result.code, result.json["schema"], result.codes) == (2, "sourced.usage/1", ["usage"])

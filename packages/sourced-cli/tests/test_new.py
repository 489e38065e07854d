"""`sourced new`: an app that works, in a folder that was free."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest
from projects import Project


def test_it_writes_an_app_whose_parts_fit(project: Project) -> None:
    result = project.sourced("new", "corner-shop", "--json")

    data = result.json["data"]
    folder = project.folder / "corner-shop"
    written = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
    assert written == data["files"]
    assert data["package"] == "corner_shop"
    settings = tomllib.loads((folder / "pyproject.toml").read_text())
    assert settings["project"]["name"] == "corner-shop"
    assert settings["tool"]["sourced"]["app"] == "corner_shop.app:app"
    for file in folder.rglob("*.py"):
        ast.parse(file.read_text())
    assert not [f for f in written if re.search(r"@\w+@", (folder / f).read_text())]


SHAPELESS = ["", "Shop", "1shop", "my shop", "../shop", "/shop", "shop/x", "a--b", "-shop", "shöp"]
TAKEN = ["class", "match", "json", "sourced", "sourced-x", "tests", "x" * 61]


@pytest.mark.parametrize("name", [*SHAPELESS, *TAKEN])
def test_a_name_that_does_not_serve_is_refused_and_nothing_written(
    project: Project, name: str
) -> None:
    before = set(project.folder.rglob("*"))

    result = project.sourced("new", "--", name)

    assert result.code == 2
    assert set(project.folder.rglob("*")) == before


def test_a_folder_that_holds_something_is_left_alone(project: Project) -> None:
    folder = project.folder / "shop"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")

    result = project.sourced("new", "shop")

    assert result.code == 7
    assert "not an empty folder; nothing was written" in result.err
    assert [f.name for f in folder.iterdir()] == ["mine.txt"]


def test_a_file_of_that_name_is_left_alone(project: Project) -> None:
    (project.folder / "shop").write_text("mine")

    assert project.sourced("new", "shop").code == 7
    assert (project.folder / "shop").read_text() == "mine"


def test_an_empty_folder_is_taken(project: Project) -> None:
    (project.folder / "shop").mkdir()

    assert project.sourced("new", "shop").code == 0


def test_it_says_how_to_get_the_packages_today(project: Project) -> None:
    project.sourced("new", "shop")

    readme = (project.folder / "shop" / "README.md").read_text()
    assert "not on a package index yet" in readme
    assert "CLONE/packages/sourced-core" in readme


def test_its_help_names_the_files_it_writes(project: Project) -> None:
    files = project.sourced("new", "shop", "--dry-run", "--json").json["data"]["files"]
    text = project.sourced("new", "--help").out

    for module in ("carts", "totals", "app"):
        assert f"shop/{module}.py" in files
        assert f"{module}.py" in text


def test_a_dry_run_lists_the_files_and_writes_none(project: Project) -> None:
    result = project.sourced("new", "shop", "--dry-run")

    assert "would write shop/shop/app.py" in result.out
    assert not (project.folder / "shop").exists()

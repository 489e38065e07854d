"""`sourced version` and `sourced --version`."""

from __future__ import annotations

from importlib.metadata import version

from projects import Project


def test_it_names_what_is_installed_and_what_is_not(project: Project) -> None:
    data = project.sourced("version", "--json").json["data"]

    assert data["packages"]["sourced-cli"] == version("sourced-cli")
    assert set(data["packages"]) >= {"sourced-core", "sourced-postgres"}
    assert "sqlalchemy" in data["drivers"]
    assert "sourced-core" in project.sourced("version").out


def test_the_version_of_the_command_alone(project: Project) -> None:
    assert project.sourced("--version").out == f"sourced {version('sourced-cli')}\n"

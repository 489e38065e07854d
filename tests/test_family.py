"""What is true of all packages together."""

import configparser
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).parent.parent
FOLDERS = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
KERNEL = ROOT / "packages" / "sourced-core"
ADAPTERS = [folder for folder in FOLDERS if folder != KERNEL]

each_package = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
each_adapter = pytest.mark.parametrize("folder", ADAPTERS, ids=lambda folder: folder.name)


def project(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def module(folder: Path) -> Path:
    name = "sourced" if folder == KERNEL else folder.name.replace("-", "_")
    return folder / "src" / name


def test_the_family_is_found() -> None:
    assert {folder.name for folder in FOLDERS} == {
        path.name for path in ROOT.glob("packages/*") if any(path.iterdir())
    }
    assert KERNEL in FOLDERS


@each_package
def test_a_package_is_named_like_its_folder_and_module(folder: Path) -> None:
    assert project(folder)["name"] == folder.name
    assert (module(folder) / "__init__.py").is_file()


@each_package
def test_a_package_carries_what_its_wheel_needs(folder: Path) -> None:
    assert (module(folder) / "py.typed").is_file()
    assert (folder / "README.md").read_text().startswith(f"# {folder.name}\n")
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@each_package
def test_a_changelog_has_what_is_unreleased_or_the_version(folder: Path) -> None:
    sections = re.findall(r"^## \[(.+?)\]", (folder / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert {"Unreleased", project(folder)["version"]} & set(sections)


@each_adapter
def test_an_adapter_is_bound_to_the_kernels_minor_version(folder: Path) -> None:
    version = Version(project(KERNEL)["version"])
    requirements = [Requirement(text) for text in project(folder)["dependencies"]]
    bounds = [each.specifier for each in requirements if each.name == "sourced-core"]

    minor = f"{version.major}.{version.minor}"
    assert bounds == [SpecifierSet(f">={minor},<{version.major}.{version.minor + 1}")]
    assert version in bounds[0]


@each_adapter
def test_an_adapter_depends_on_no_sibling(folder: Path) -> None:
    names = {Requirement(text).name for text in project(folder)["dependencies"]}

    assert not names & {each.name for each in ADAPTERS}


def test_the_kernel_depends_on_typing_extensions_alone() -> None:
    names = [Requirement(text).name for text in project(KERNEL)["dependencies"]]

    assert names == ["typing-extensions"]


@each_package
def test_a_package_names_the_pythons_that_are_tested(folder: Path) -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini")
    minors = re.search(r"py3\{([\d,]+)\}", settings["tox"]["env_list"])
    assert minors is not None
    tested = [f"3.{minor}" for minor in minors[1].split(",")]

    prefix = "Programming Language :: Python :: 3."
    classifiers = [text for text in project(folder)["classifiers"] if text.startswith(prefix)]
    assert classifiers == [f"Programming Language :: Python :: {python}" for python in tested]
    assert project(folder)["requires-python"] == f">={tested[0]}"


@each_package
def test_a_package_is_a_factor_of_tox(folder: Path) -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini")

    factors = re.findall(r"[{,](\w+)(?=[,}])", settings["tox"]["labels"])
    assert folder.name.removeprefix("sourced-") in factors
    assert f"mypy {folder.relative_to(ROOT)}/tests" in settings["testenv:types"]["commands"]
    assert f"--verifytypes {module(folder).name}" in settings["testenv:types"]["commands"]


@each_package
def test_a_package_says_how_to_install_it_from_a_clone(folder: Path) -> None:
    readme = (folder / "README.md").read_text()

    (command,) = re.findall(r"^pip install (.*)$", readme, re.MULTILINE)
    paths = [re.sub(r"\[.*\]", "", text) for text in shlex.split(command)]
    assert f"./packages/{folder.name}" in paths
    assert all((ROOT / path / "pyproject.toml").is_file() for path in paths)
    assert "not on a package index yet" in readme


def test_contributing_brings_a_pip_that_knows_groups_before_it_asks_for_one() -> None:
    before, group, _ = (ROOT / "CONTRIBUTING.md").read_text().partition("--group")

    assert group
    assert 'pip install -q --upgrade "pip>=25.1"' in before


def test_folders_of_tests_are_no_packages() -> None:
    found = [*ROOT.glob("tests/**/__init__.py"), *ROOT.glob("packages/*/tests/**/__init__.py")]

    assert found == []


def test_importing_the_kernel_loads_nothing_that_happens_to_be_installed() -> None:
    script = Path(__file__).parent / "check_kernel.py"

    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr


def test_the_pytest_plugin_loads_pytest_and_the_standard_library_only() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import sourced_testing_plugin\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new - sys.stdlib_module_names - {'_pytest', 'sourced_testing_plugin'}))"
    )

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.split() == []


def test_ci_calls_what_the_readme_calls() -> None:
    readme = (ROOT / "README.md").read_text()
    calls = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if "tox" in line]

    command = "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox run"
    assert any(line.startswith(command) for line in calls)
    assert f"\n{command}\n" in readme
    assert f"\n{command} -e demo\n" in readme

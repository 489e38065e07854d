"""`__all__` equals what is public, module by module."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(ROOT.glob("packages/*/src"))
# What these promise are commands and fixtures, not names to import.
EXEMPT = ("sourced_cli.", "sourced_testing_plugin")


def public_modules() -> Iterator[tuple[str, Path]]:
    """Modules that users import: no part of their name begins with an underscore."""
    for source in SOURCES:
        for file in sorted(source.rglob("*.py")):
            parts = file.relative_to(source).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            if not (any(part.startswith("_") for part in name.split(".")) or is_exempt(name)):
                yield name, file


def is_exempt(name: str) -> bool:
    return name.startswith(EXEMPT)


def bound_names(body: list[ast.stmt], package: str, *, is_package: bool) -> Iterator[str]:
    """Names a module defines and, in a package's `__init__`, those it takes from within."""
    for statement in body:
        match statement:
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
            ):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.ImportFrom(names=aliases) if is_package and is_within(statement, package):
                yield from (alias.asname or alias.name for alias in aliases)
            case ast.If(body=then, orelse=otherwise) | ast.Try(body=then, orelse=otherwise):
                yield from bound_names([*then, *otherwise], package, is_package=is_package)
            case _:
                pass


def is_within(statement: ast.ImportFrom, package: str) -> bool:
    return statement.level > 0 or (statement.module or "").partition(".")[0] == package


@pytest.mark.parametrize(
    ("name", "file"), [pytest.param(*each, id=each[0]) for each in public_modules()]
)
def test_all_names_what_is_public(name: str, file: Path) -> None:
    package = name.partition(".")[0]
    bound = set(
        bound_names(
            ast.parse(file.read_text()).body, package, is_package=file.name == "__init__.py"
        )
    )
    public = {each for each in bound if not each.startswith("_")}

    loaded = importlib.import_module(name)

    names = list(getattr(loaded, "__all__", ()))
    assert sorted(names) == sorted(public)
    assert [each for each in names if not hasattr(loaded, each)] == []

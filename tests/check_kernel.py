"""Imports every module of the kernel but the extras', and finds nothing else loaded by that.

A script without pytest: it also runs where `sourced-core` is all that is installed.
"""

import importlib
import sys
from pathlib import Path

# Modules that need an extra of the distribution, and so more than the kernel has.
EXTRAS = (
    "sourced._aio",
    "sourced.schemas.pydantic",
    "sourced.schemas.msgspec",
    "sourced.telemetry._otel",
    "sourced_testing.conformance.histories",  # needs Hypothesis
)
ALLOWED = sys.stdlib_module_names | {"sourced", "typing_extensions"}


def strangers(before: set[str]) -> set[str]:
    """Top-level modules loaded since `before` that the kernel may not load."""
    return {name.partition(".")[0] for name in sys.modules.keys() - before} - ALLOWED


def module_names(package: str, root: Path) -> list[str]:
    """Every module below a package, itself included, in order of name."""
    files = sorted(root.rglob("*.py"))
    dotted = [".".join((package, *file.relative_to(root).with_suffix("").parts)) for file in files]
    return [name.removesuffix(".__init__") for name in dotted if not name.endswith(".__main__")]


def needs_an_extra(name: str) -> bool:
    """Whether a module, or the package it is in, needs an extra."""
    return any(name == extra or name.startswith(f"{extra}.") for extra in EXTRAS)


def check() -> str:
    """Says what was imported.

    Raises:
        SystemExit: something else than the standard library and typing_extensions was loaded.
    """
    before = set(sys.modules)
    kernel = importlib.import_module("sourced")
    if found := strangers(before):
        raise SystemExit(f"`import sourced` also loads {sorted(found)}")

    names = module_names("sourced", Path(str(kernel.__file__)).parent)
    imported = [name for name in names if not needs_an_extra(name)]
    for name in imported:
        importlib.import_module(name)
        if found := strangers(before):
            raise SystemExit(f"`import {name}` also loads {sorted(found)}")
    return f"{len(imported)} of {len(names)} modules imported; nothing else was loaded"


if __name__ == "__main__":
    print(check())

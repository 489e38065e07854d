"""Builds the wheel of each package and imports, in an environment of its own, what users get.

Each environment has the wheel, the kernel's wheel and what they declare: nothing of this folder.
A script without pytest, so that nothing else is installed by accident.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from check_kernel import needs_an_extra

ROOT = Path(__file__).parent.parent
LOOK = """
import importlib, importlib.metadata, sys
name, *modules = sys.argv[1:]
for module in modules:
    importlib.import_module(module)
distribution = importlib.metadata.distribution(name)
for entry in distribution.entry_points:
    entry.load()
print(f"{name} {distribution.version}: {len(modules)} modules, "
      f"{len(distribution.entry_points)} entry points")
"""


def run(*command: str | Path) -> None:
    """Runs a program from a folder where nothing of ours can be imported by accident."""
    subprocess.run([str(part) for part in command], check=True, cwd=tempfile.gettempdir())


def build(folder: Path, into: Path) -> Path:
    """The wheel of one package."""
    wheels = into / folder.name
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, folder)
    (wheel,) = wheels.glob("*.whl")
    return wheel


def contents(wheel: Path) -> list[str]:
    """The modules in a wheel that import without an extra.

    Raises:
        SystemExit: the licence or the marker of typed code is missing.
    """
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("/py.typed", "/licenses/LICENSE"):
        if not any(name.endswith(wanted) for name in names):
            raise SystemExit(f"{wheel.name} has no {wanted}")
    modules = [name.removesuffix(".py").replace("/", ".") for name in names if name.endswith(".py")]
    plain = [module.removesuffix(".__init__") for module in modules]
    return [name for name in plain if not (needs_an_extra(name) or name.endswith(".__main__"))]


def main() -> None:
    """Builds all wheels, then installs and imports each."""
    with tempfile.TemporaryDirectory() as temporary:
        wheels = {
            folder.parent.name: build(folder.parent, Path(temporary))
            for folder in sorted(ROOT.glob("packages/*/pyproject.toml"))
        }
        for name, wheel in wheels.items():
            environment = Path(temporary) / f"environment-{name}"
            run(sys.executable, "-m", "venv", "--without-pip", environment)
            (python,) = (*environment.glob("bin/python"), *environment.glob("Scripts/python.exe"))
            needed = {wheel, wheels["sourced-core"]}
            run(sys.executable, "-m", "pip", "--python", python, "install", "-q", *sorted(needed))
            run(python, "-I", "-W", "error", "-c", LOOK, name, *contents(wheel))


if __name__ == "__main__":
    main()

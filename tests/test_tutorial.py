"""Whoever follows the tutorial, blocks and commands, sees what it says."""

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorial" / "running-cart.md"

pytestmark = pytest.mark.integration


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [str(block) for block in found]


def commands() -> Iterator[tuple[str, str]]:
    """Give each command of the console blocks, with what the page says that it prints."""
    for block in blocks("console"):
        for command, _, said in (part.partition("\n") for part in block.split("$ ")[1:]):
            yield command, said


def plain(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def test_the_tutorials_commands_print_what_it_says(tmp_path: Path) -> None:
    app = "\n".join(block for block in blocks("python") if block.startswith("# app.py"))
    (tmp_path / "app.py").write_text(app)
    script = ROOT / "tests" / "run_page.py"
    subprocess.run([sys.executable, script, PAGE], cwd=tmp_path, check=True, capture_output=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    checker = doctest.OutputChecker()

    for command, said in commands():
        ran = subprocess.run(
            command.split(),
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "PYTHONIOENCODING": "utf-8", "COLUMNS": "120"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )

        assert ran.returncode == 0, ran.stderr
        printed = plain(ran.stdout)
        assert checker.check_output(plain(said), printed, doctest.ELLIPSIS), printed

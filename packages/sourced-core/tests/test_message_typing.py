"""Type checkers know a message's constructor and attributes, and find every mistake with them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONSUMERS = Path(__file__).parent / "typing_consumers"

Mistakes = set[tuple[str, int]]
"""Files with the lines in which a type checker found something."""


def found_by_mypy(folder: Path) -> Mistakes:
    pytest.importorskip("mypy")
    printed = _run(folder, "mypy", "--strict", "right.py", "wrong.py")
    return {(file, int(line)) for file, line in re.findall(r"(\w+\.py):(\d+): error:", printed)}


def found_by_pyright(folder: Path) -> Mistakes:
    pytest.importorskip("pyright")
    options = ("--outputjson", "--pythonpath", sys.executable)
    report = json.loads(_run(folder, "pyright", *options, "right.py", "wrong.py"))
    assert report["summary"]["filesAnalyzed"] == 2
    return {
        (Path(found["file"]).name, found["range"]["start"]["line"] + 1)
        for found in report["generalDiagnostics"]
    }


def _run(folder: Path, module: str, *arguments: str) -> str:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("found", [found_by_mypy, found_by_pyright])
def test_every_mistake_with_messages_is_found_and_nothing_else(
    found: Callable[[Path], Mistakes], tmp_path: Path
) -> None:
    shutil.copy(CONSUMERS / "messages.py", tmp_path / "right.py")
    shutil.copy(CONSUMERS / "messages_wrong.py.txt", tmp_path / "wrong.py")
    lines = (tmp_path / "wrong.py").read_text().splitlines()
    marked = {n for n, line in enumerate(lines, 1) if line.endswith("# wrong")}

    mistakes = found(tmp_path)

    assert len(marked) == 16
    assert mistakes == {("wrong.py", line) for line in marked}

"""Type checkers accept what users write, messages and both forms, and find each mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONSUMERS = Path(__file__).parent / "typing_consumers"


def lines_found_by_mypy(path: Path) -> set[int]:
    pytest.importorskip("mypy")
    arguments = ["--strict", "--cache-dir", str(path.parent / "cache"), path.name]
    printed = _run("mypy", *arguments, cwd=path.parent)
    return {int(line) for line in re.findall(rf"^{path.name}:(\d+): error:", printed, re.MULTILINE)}


def lines_found_by_pyright(path: Path) -> set[int]:
    pytest.importorskip("pyright")
    arguments = ["--outputjson", "--pythonpath", sys.executable, path.name]
    report = json.loads(_run("pyright", *arguments, cwd=path.parent))
    assert report["summary"]["filesAnalyzed"] == 1
    return {found["range"]["start"]["line"] + 1 for found in report["generalDiagnostics"]}


def _run(module: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("lines_found", [lines_found_by_mypy, lines_found_by_pyright])
@pytest.mark.parametrize("consumer", ["right.py", "messages.py"])
def test_what_users_write_is_accepted(
    consumer: str, lines_found: Callable[[Path], set[int]], tmp_path: Path
) -> None:
    path = tmp_path / "right.py"
    path.write_text((CONSUMERS / consumer).read_text())

    assert lines_found(path) == set()


@pytest.mark.parametrize("lines_found", [lines_found_by_mypy, lines_found_by_pyright])
@pytest.mark.parametrize(
    ("consumer", "count"), [("wrong.py.txt", 19), ("messages_wrong.py.txt", 16)]
)
def test_every_mistake_is_found_and_nothing_else(
    consumer: str, count: int, lines_found: Callable[[Path], set[int]], tmp_path: Path
) -> None:
    """Constructors, payloads and state attributes, in the long and in the short form."""
    path = tmp_path / "wrong.py"
    path.write_text((CONSUMERS / consumer).read_text())
    lines = path.read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}

    found = lines_found(path)

    assert len(wrong) == count
    assert found == wrong

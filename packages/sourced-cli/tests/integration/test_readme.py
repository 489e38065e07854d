"""The session of the README says what really happens."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCKS: list[tuple[str, str]] = re.findall(
    r"^```(\w+)\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
)


def block(language: str) -> str:
    (found,) = [text for name, text in BLOCKS if name == language]
    return found


def steps() -> list[tuple[str, str]]:
    """Each command with what the README says it answers, on both streams."""
    parts = re.split(r"^\$ ", block("console"), flags=re.MULTILINE)[1:]
    return [(line, answer) for line, _, answer in (part.partition("\n") for part in parts)]


def test_the_session_is_what_happens(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "sourced").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sourced_cli "$@"\n')
    (tmp_path / "sourced").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"

    for line, answer in steps():
        done = subprocess.run(
            ["bash", "-c", f"{line} 2>&1"],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if not doctest.OutputChecker().check_output(answer, done.stdout, doctest.ELLIPSIS):
            pytest.fail(f"$ {line}\n\nexpected:\n{answer}\ngot:\n{done.stdout}")


def test_the_table_names_every_exit_code() -> None:
    from sourced_cli._exit import Code

    listed = re.findall(r"^\| ([\d, ]+) \|", README.read_text("utf-8"), re.MULTILINE)

    assert {int(number) for row in listed for number in row.split(",")} == {int(c) for c in Code}

"""What the tests share: a project on disk to run the command line in."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from projects import SHOP, Project, forget_modules

from sourced import _message
from sourced._type_names import TypeNames


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Project]:
    """An empty folder, which is the working directory, and no message class known yet.

    Commands run in this process, yet they find the message classes of their project only, as in a
    process of their own: another test module may have imported an app with the same type names.
    """
    monkeypatch.setattr(_message, "_names", TypeNames())
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".git").mkdir()  # where the search for a pyproject.toml ends
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in list(os.environ):
        if name.startswith("SOURCED_") or name in {"NO_COLOR", "FORCE_COLOR"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    logger = logging.getLogger("sourced")
    handlers, level = list(logger.handlers), logger.level
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield Project(folder, capsys)
    logger.handlers[:] = handlers
    logger.setLevel(level)
    for number, handler in signals.items():
        signal.signal(number, handler)
    forget_modules(folder)


@pytest.fixture
def shop(project: Project) -> Project:
    """A project with a small shop on SQLite, in app.py."""
    return project.write(app=SHOP)

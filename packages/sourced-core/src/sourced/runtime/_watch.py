"""Notices that a Python file below a folder has changed: by looking, or by being told."""

from __future__ import annotations

import importlib
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["Watch"]

EVERY = 0.5
SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})

Stamps = dict[str, tuple[int, int]]


class Watch:
    """Watches the `.py` files below a folder until it is stopped.

    Hidden folders, virtual environments and what symbolic links lead to are left out.

    Args:
        folder: the project's.
        changed: called, in a thread, when a file was written, made, moved or removed.
    """

    def __init__(self, folder: Path, changed: Callable[[], object]) -> None:
        self._folder = folder
        self._changed = changed
        self._stopping = threading.Event()
        self._is_told = importlib.util.find_spec("watchfiles") is not None

    @property
    def means(self) -> str:
        """How it notices."""
        return "watchfiles" if self._is_told else "a look each half second"

    def start(self) -> None:
        """Begin; what changes from now on is noticed."""
        notice = threading.Thread(
            target=self._notice,
            args=(python_files(self._folder),),
            name="sourced-watch",
            daemon=True,
        )
        notice.start()

    def stop(self) -> None:
        """End; no change is told any more."""
        self._stopping.set()

    def _notice(self, known: Stamps) -> None:
        for _ in self._told() if self._is_told else self._every_now_and_then():
            known, former = python_files(self._folder), known
            if known != former:
                self._changed()

    def _every_now_and_then(self) -> Iterator[object]:
        while not self._stopping.wait(EVERY):
            yield None

    def _told(self) -> Iterator[object]:
        """Give a moment when something has changed, of whatever kind, and every few seconds."""
        watchfiles: Any = importlib.import_module("watchfiles")
        yield from watchfiles.watch(
            self._folder, watch_filter=None, stop_event=self._stopping, yield_on_timeout=True
        )


def python_files(folder: Path) -> Stamps:
    """Return the Python files below a folder, with when each was written and its size."""
    found: Stamps = {}
    for path in _walk(folder):
        try:
            status = path.stat()
        except OSError:  # it has just been removed
            continue
        found[str(path)] = (status.st_mtime_ns, status.st_size)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [each for each in folders if not _is_skipped(Path(root, each))]
        yield from (Path(root, each) for each in files if each.endswith(".py"))


def _is_skipped(folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name in SKIPPED:
        return True
    return (folder / "pyvenv.cfg").exists()

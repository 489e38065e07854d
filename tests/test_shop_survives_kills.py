"""Three processes work in the shop, one is killed every second, and the totals are the same.

Twice by default; `SHOP_KILL_RUNS=20` runs it twenty times.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.shop.__main__ import COMMANDS
from examples.shop.checks import checks, fingerprint
from examples.shop.command_file import read_lines
from examples.shop.intake import take_in
from examples.shop.recount import recount
from examples.shop.shop import open_shop
from examples.shop.work import in_process, wait_until_quiet

ROOT = Path(__file__).parent.parent
RUNS = int(os.environ.get("SHOP_KILL_RUNS", "2"))
PAUSE = 1.0

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def undisturbed() -> str:
    """The totals of a run in memory, where nobody is killed."""
    shop = open_shop("memory://")
    with shop.app, COMMANDS.open("rb") as lines:
        take_in(shop.app, read_lines(lines))
        with in_process(shop.app):
            wait_until_quiet(shop.app)
        return fingerprint(recount(shop.app))


class Workers:
    """Three workers; the one that has lived longest is killed every second, and replaced."""

    def __init__(self, nursery: "subprocess.Popen[str]") -> None:
        self._nursery = nursery
        self._alive = [self._start() for _ in range(3)]
        self.killed = 0

    def kill_until(self, ended: threading.Event) -> None:
        while not ended.wait(PAUSE):
            os.kill(self._alive.pop(0), signal.SIGKILL)
            self.killed += 1
            self._alive.append(self._start())

    def end(self) -> None:
        for process in self._alive:
            os.kill(process, signal.SIGKILL)

    def _start(self) -> int:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write("one more\n")
        self._nursery.stdin.flush()
        return int(self._nursery.stdout.readline())


@contextmanager
def workers_under_fire(store: str) -> Iterator[Workers]:
    nursery_script = str(Path(__file__).with_name("worker_nursery.py"))
    command = [sys.executable, nursery_script, store]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as nursery:
        workers = Workers(nursery)
        ended = threading.Event()
        killer = threading.Thread(target=workers.kill_until, args=(ended,))
        killer.start()
        try:
            yield workers
        finally:
            ended.set()
            killer.join()
            workers.end()


@pytest.mark.parametrize("run", range(RUNS))
def test_totals_are_the_same_though_a_worker_is_killed_every_second(
    run: int, undisturbed: str, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path / 'shop.db'}"
    shop = open_shop(store)
    with shop.app, COMMANDS.open("rb") as lines:
        shop.install()
        intake = take_in(shop.app, read_lines(lines))

        with workers_under_fire(store) as workers:
            wait_until_quiet(shop.app)

        count = recount(shop.app)
        assert workers.killed > 0
        assert [what for what, holds in checks(shop, count, intake).items() if not holds] == []
        assert fingerprint(count) == undisturbed

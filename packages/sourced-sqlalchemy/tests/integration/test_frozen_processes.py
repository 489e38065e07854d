"""A process frozen with SIGSTOP after it claimed: others finish its work, once (T14, T15)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from runpy import run_path

import pytest
from sqlalchemy import text

from sourced._store import WorkerInfo
from sourced_sqlalchemy import SQLAlchemyStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import Given, message

CHILD = Path(__file__).with_name("child.py")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing can be frozen here")
def test_what_a_frozen_worker_held_is_finished_by_another_and_refused_to_it(
    busy_store: SQLAlchemyStore, clock: FakeClock, url: str
) -> None:
    given = Given(busy_store, clock)
    command = [sys.executable, str(CHILD), "freeze", url, "claim.after"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as frozen:
        os.waitpid(frozen.pid, os.WUNTRACED)  # it has stopped, holding fifty streams

        busy_store.append([message("s0")])  # nobody is held up
        freed = given.lease_over()
        busy_store.join(WorkerInfo(id="heir"))
        run_path(str(CHILD))["handle"](busy_store, "G", "heir")
        os.kill(frozen.pid, signal.SIGCONT)
        said, _ = frozen.communicate(timeout=60)

    assert freed == 50
    assert said.splitlines() == ["['ClaimLostError']", "False"]
    with busy_store.connection() as connection:
        rows = connection.execute(text("SELECT stream, seq FROM effects"))
        done = Counter((stream, seq) for stream, seq in rows)
    assert done == Counter((each.stream_id, each.seq) for each in given.log())

"""Processes of a parent: what it knows of them, and what it passes on; with programs of a line."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sourced._tally import Tally
from sourced.errors import UsageError
from sourced.runtime import Ending, Processes, Refusal, Watch
from sourced.runtime._obituaries import Record
from sourced.runtime._processes import KEPT
from sourced.runtime._watch import python_files

PATIENCE = 30.0

pytestmark = pytest.mark.integration

CHILD = """
import os, signal, sys, threading
from sourced.runtime import Lifeline

signal.signal(signal.SIGTERM, signal.SIG_IGN)
line = Lifeline.inherited()
tally = dict(claimed=1, handled=2, retried=0, parked=0, stopped=0, skipped=0)
told, words = threading.Event(), []

def hear(word):
    words.append(word)
    if word == WAITS_FOR:
        told.set()

line.obey(hear)
"""
END = """
told.wait()
line.say("ended", tally=tally, forced=False, signal=None, left={"words": words}, looked_at=1.0)
"""
OBEDIENT = f"""
line.say("joined")
{END}
"""


def child(then: str = OBEDIENT, *, waits_for: str = "stop") -> list[str]:
    """The command of a process that does something with its line."""
    return [sys.executable, "-c", CHILD.replace("WAITS_FOR", repr(waits_for)) + then]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What dies is started again at once."""
    monkeypatch.setattr("sourced.runtime._children.FIRST_PAUSE", 0.01)


@contextmanager
def running(processes: Processes) -> Iterator[list[Ending]]:
    """Run them in a thread that ends by itself."""
    ended: list[Ending] = []
    thread = threading.Thread(target=lambda: ended.append(processes.run()), daemon=True)
    thread.start()
    yield ended
    thread.join(PATIENCE)
    assert not thread.is_alive()


def await_fact(fact: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if fact():
            return
        pause.wait(0.01)
    pytest.fail("it never came true")


def test_they_are_ready_when_one_works_and_not_when_the_end_was_asked_for() -> None:
    processes = Processes(child(waits_for="now"), count=2)
    states = [processes.status]

    with running(processes):
        await_fact(lambda: processes.status.working == 2)
        states.append(processes.status)
        processes.stop()
        await_fact(lambda: processes.status.is_stopping)
        states.append(processes.status)
        processes.stop()

    assert [state.is_ready for state in states] == [False, True, False]
    assert (states[1].wanted, states[1].down, len(states[1].pids)) == (2, 0, 2)


def test_words_are_passed_on_and_tallies_added_up() -> None:
    processes = Processes(child(waits_for="now"), count=2)

    with running(processes) as ended:
        await_fact(lambda: processes.status.working == 2)
        processes.stop()
        processes.stop()

    (ending,) = ended
    assert ending.tally == Tally(claimed=2, handled=4)
    assert ending.left == {"words": ["stop", "now"]}
    assert (len(ending.by_process), ending.exit_code) == (2, 0)


def test_one_that_is_left_down_makes_them_unready(tmp_path: Path) -> None:
    crash = f"""
try:
    open({str(tmp_path / "first")!r}, "x")
except FileExistsError:
    os._exit(1)
"""
    processes = Processes(child(crash + OBEDIENT), count=2)

    with running(processes):
        await_fact(lambda: processes.status.down == 1)
        status = processes.status
        processes.stop()

    assert (status.working, status.is_ready) == (1, False)


def test_when_all_are_down_the_exit_code_is_1(caplog: pytest.LogCaptureFixture) -> None:
    processes = Processes(child("os._exit(3)"), count=2)

    with running(processes) as ended:
        pass

    (ending,) = ended
    assert (ending.is_down, ending.died, ending.worked, ending.exit_code) == (True, 5, False, 1)
    assert sum("died with exit code 3" in r.getMessage() for r in caplog.records) == 5


def test_who_keeps_on_when_all_are_down_takes_new_ones_when_asked(tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    crash = f"if not os.path.exists({str(mended)!r}): os._exit(3)"
    processes = Processes(child(crash + OBEDIENT), count=2, keeps_on=True)

    with running(processes) as ended:
        await_fact(lambda: processes.status.down == 2)
        mended.touch()
        processes.replace()
        await_fact(lambda: processes.status.working == 2)
        processes.stop()

    assert (ended[0].exit_code, ended[0].died, ended[0].is_down) == (0, 5, False)


def test_why_one_cannot_start_again_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = f"""
try:
    open({str(tmp_path / "first")!r}, "x")
except FileExistsError:
    line.say("refused", code=3, name="app", message="half-way", trace="Traceback of it")
    os._exit(3)
line.say("joined")
os._exit(1)
"""
    processes = Processes(child(refusing), count=1)

    with running(processes) as ended:
        pass

    said = [record.getMessage() for record in caplog.records]
    assert ended[0].is_down
    assert sum("Traceback of it" in each for each in said) == 1
    assert sum("could not start, as before" in each for each in said) == 3


def test_a_store_that_does_not_answer_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "starts"
    waiting = f"""
with open({str(file)!r}, "a") as starts:
    starts.write("x")
    count = starts.tell()
if 1 < count < 8:
    line.say("refused", code=4, name="store", message="gone", is_waiting=True)
    os._exit(4)
line.say("joined")
if count == 1:
    os._exit(1)
"""
    processes = Processes(child(waiting + END), count=1)

    with running(processes) as ended:
        await_fact(lambda: file.exists() and len(file.read_text()) == 8)
        await_fact(lambda: processes.status.is_ready)
        processes.stop()

    assert (ended[0].exit_code, ended[0].died) == (0, 1)


def test_why_the_first_one_cannot_start_is_returned_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusing = 'line.say("refused", code=5, name="schema", message="no tables")'
    processes = Processes(child(refusing), count=3)

    with running(processes) as ended:
        pass

    assert ended[0].refusal == Refusal(code=5, name="schema", message="no tables")
    assert (ended[0].exit_code, ended[0].worked) == (5, False)
    assert caplog.records == []


def test_a_program_that_is_not_there_is_given_up() -> None:
    processes = Processes(["/no/such/program"], count=1)

    with running(processes) as ended:
        pass

    assert (ended[0].is_down, ended[0].exit_code) == (True, 1)


def test_one_that_does_not_end_is_killed_and_that_is_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sourced.runtime._children.PATIENCE", 0.1)
    processes = Processes(child(waits_for="never"), count=1, grace=0.1)

    with running(processes) as ended:
        await_fact(lambda: processes.status.working == 1)
        processes.stop()

    assert (ended[0].forced, ended[0].exit_code) == (True, 70)


def test_of_many_that_have_gone_the_last_are_kept_and_all_are_counted() -> None:
    processes = Processes(child(), count=1)
    for id in range(1, 3 * KEPT):
        processes._records[id] = record = _gone()
        record.pid = id
    processes._forget()

    assert len(processes._records) == KEPT
    assert processes.tally.handled == 3 * KEPT - 1


def _gone() -> Record:
    return Record(slot=1, tally=Tally(handled=1))


def test_processes_run_once_and_there_is_at_least_one() -> None:
    processes = Processes(child(), count=1)
    processes.stop()

    assert processes.run().exit_code == 0
    with pytest.raises(UsageError, match="run once"):
        processes.run()
    with pytest.raises(UsageError, match="processes must be 1 or more"):
        Processes(child(), count=0)


# --- what is watched ------------------------------------------------------------------------------


def test_only_python_files_of_the_project_are_watched(tmp_path: Path) -> None:
    for name in (".git/a.py", "venv/pyvenv.cfg", "venv/b.py", "pkg/__pycache__/c.py", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    for name in ("app.py", "pkg/part.py"):
        (tmp_path / name).write_text("")

    found = python_files(tmp_path)

    assert sorted(found) == [str(tmp_path / "app.py"), str(tmp_path / "pkg" / "part.py")]


@pytest.mark.parametrize("what", ["written", "made", "removed"])
def test_a_change_is_told(tmp_path: Path, what: str) -> None:
    (tmp_path / "app.py").write_text("VERSION = 1")
    changed = threading.Event()
    watch = Watch(tmp_path, changed.set)

    watch.start()
    if what == "removed":
        (tmp_path / "app.py").unlink()
    else:
        (tmp_path / ("app.py" if what == "written" else "new.py")).write_text("VERSION = 10")

    assert changed.wait(PATIENCE)
    watch.stop()

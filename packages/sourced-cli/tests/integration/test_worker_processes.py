"""`sourced workers --processes`: real processes under load that are told to end, killed, replaced.

Two run longer where that is asked for: `WORKERS_TERM_RUNS=100` says how often TERM comes under
load, `WORKERS_KILL_SECONDS=300` for how long children are killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from uuid import uuid4

import pytest
from crews import (
    LEASE,
    LOAD,
    PATIENCE,
    POLL,
    STREAMS,
    Crew,
    await_fact,
    children_of,
    crew,
    dispatch,
    drained,
    effects,
    is_there,
    kill,
    problems,
    versions,
)
from projects import Project

from sourced._stores import open_store
from sourced.runtime._children import PATIENCE as CHILDREN_PATIENCE

TERM_RUNS = int(os.environ.get("WORKERS_TERM_RUNS", "2"))
KILL_SECONDS = float(os.environ.get("WORKERS_KILL_SECONDS", "6"))
GRACE = 10.0
CHUNK = 20  # so many numbers are sent to each stream at a time
SLACK = 1.0  # for a machine that has other things to do

NO_PRCTL = """
import ctypes

def refuse(*_):
    raise OSError("not here")

ctypes.CDLL = refuse
"""

STUCK = """
import os, threading
from sourced import App, Command, Reactor, on

class Wait(Command, type="stuck.wait"):
    pass

class Stuck(Reactor, group="Stuck"):
    @on
    def wait(self, message: Wait):
        open(f"stuck-{os.getpid()}", "w").close()
        threading.Event().wait()

app = App("sqlite:///load.db").register(Stuck)
"""


@pytest.fixture
def load(project: Project) -> Project:
    return project.write(app=LOAD)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, project: Project) -> Iterator[str]:
    """The URL of a store: a file of the project's, or a schema of its own."""
    if request.param == "sqlite":
        yield f"sqlite:///{project.folder / 'load.db'}"
        return
    server: str = request.getfixturevalue("sourced_postgres")
    made = f"{server}{'&' if '?' in server else '?'}schema=t{uuid4().hex[:12]}"
    yield made
    store = open_store(made)
    store.uninstall()
    store.close()


@pytest.fixture
def stuck(project: Project) -> Project:
    """Two messages, each of which a handler is given and never gives back."""
    project.write(app=STUCK)
    project.installed()
    for stream in ("s-1", "s-2"):
        project.send("stuck.wait", stream)
    return project


def wait_for_work(running: Crew, count: int) -> None:
    await_fact(lambda: effects(running.project).total() >= count, running)


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", range(TERM_RUNS))
def test_term_under_load_exits_0_within_the_grace_and_leaves_nothing_behind(
    load: Project, run: int
) -> None:
    """Nothing is handled twice, no attempt is counted, no claim is left."""
    last = 20
    dispatch(load, 1, last)

    options = ("-p", "3", "-c", "2", "--grace", f"{GRACE}s", "--json")
    with crew(load, *options, wait=3, LOAD_PAUSE="0.02") as running:
        wait_for_work(running, random.randrange(50, 400))
        began = running.signal(signal.SIGTERM)
        code, out = running.ended()
        took = time.monotonic() - began
        left, children = running.left_behind(), running.children

    interrupted = effects(load).total()
    drained(load)
    answer = json.loads(out)
    assert (code, left, children) == (0, (0, 0, []), []), running.said
    assert took <= GRACE + 1
    assert answer["data"]["signal"] == signal.SIGTERM
    assert interrupted < last * STREAMS, "it was done before it could be interrupted"
    assert set(effects(load).values()) == {1}
    assert problems(running, last) == []
    print(f"run {run}: {took:.2f} s")  # noqa: T201 - a figure, shown with -s


def test_term_that_reaches_children_too_is_one_term(load: Project) -> None:
    """Ctrl-C in a terminal and systemd signal all processes, and the parent passes it on."""
    dispatch(load, 1, 20)

    with crew(load, "-p", "2", wait=2, LOAD_PAUSE="0.02") as running:
        wait_for_work(running, 50)
        for _ in range(2):
            for pid in running.children:
                os.kill(pid, signal.SIGINT)
        running.signal(signal.SIGINT)
        code, _ = running.ended()
        left = running.left_behind()

    assert (code, left) == (0, (0, 0, [])), running.said
    assert set(effects(load).values()) == {1}


def test_the_second_term_gives_back_at_once_and_exits_70(stuck: Project) -> None:
    with crew(stuck, "-p", "2", "--grace", "1h", "--json", wait=2) as running:
        await_fact(lambda: len(list(stuck.folder.glob("stuck-*"))) > 0, running)
        running.signal(signal.SIGTERM)
        await_fact(lambda: "stopping all" in running.said, running)
        began = running.signal(signal.SIGTERM)
        code, out = running.ended()
        took = time.monotonic() - began
        left = running.left_behind()

    answer = json.loads(out)
    assert (code, left) == (70, (0, 0, [])), running.said
    assert answer["data"]["forced"]
    assert [each["code"] for each in answer["diagnostics"]] == ["workers.forced"]
    assert took <= 1.0


def test_the_end_of_the_grace_gives_back_and_exits_70(stuck: Project) -> None:
    with crew(stuck, "-p", "2", "--grace", "100ms", wait=2) as running:
        await_fact(lambda: len(list(stuck.folder.glob("stuck-*"))) > 0, running)
        running.signal(signal.SIGTERM)
        code, _ = running.ended()
        left = running.left_behind()

    assert (code, left) == (70, (0, 0, [])), running.said


def test_the_third_term_ends_all_on_the_spot(stuck: Project) -> None:
    began = 0.0
    with crew(stuck, "-p", "2", "--grace", "1h", wait=2) as running:
        children = running.children
        for pid in children:
            os.kill(pid, signal.SIGSTOP)  # so that they heed nothing
        for said in ("stopping all", "stopping now", ""):
            began = running.signal(signal.SIGTERM)
            await_fact(partial(_has_said, running, said), running)
        code, _ = running.ended()
        await_fact(lambda: not any(is_there(pid) for pid in children), running)

    assert code == 70
    assert time.monotonic() - began < CHILDREN_PATIENCE


IN_A_TERMINAL = """
import os, pty, subprocess, sys

parent, terminal = pty.openpty()
process = subprocess.Popen(
    [sys.executable, "-c", "import fcntl, os, runpy, sys, termios;"
     "fcntl.ioctl(int(sys.argv.pop(1)), termios.TIOCSCTTY, 0);"
     "runpy.run_module('sourced_cli', run_name='__main__')", str(terminal), *sys.argv[1:]],
    pass_fds=[terminal], start_new_session=True, stdout=subprocess.PIPE,
)
os.close(terminal)
print(process.pid, flush=True)
sys.stdin.readline()
os.close(parent)
sys.exit(process.wait())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="terminals differ")
def test_closing_the_terminal_ends_them(load: Project) -> None:
    dispatch(load, 1, 1)
    drained(load)

    with (
        closing(open_store(f"sqlite:///{load.folder / 'load.db'}")) as store,
        subprocess.Popen(
            [sys.executable, "-c", IN_A_TERMINAL, "workers", "-p", "2"],
            cwd=load.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as shell,
    ):
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        workers = store.inspect.workers
        try:
            await_fact(lambda: len(workers()) == 2)
            _, said = shell.communicate("close\n", timeout=PATIENCE)
        finally:
            for each in [pid, *children_of(pid)]:
                kill(each)
        left = workers()

    assert (shell.returncode, left) == (0, ()), said
    assert "stopping all processes" in said


def _has_said(running: Crew, what: str) -> bool:
    return what in running.said


def test_a_drain_in_several_processes_handles_all_and_answers_once(load: Project) -> None:
    dispatch(load, 1, 10)

    with crew(load, "-p", "3", "--drain", "--json") as running:
        code, out = running.ended()

    data = json.loads(out)["data"]
    assert (code, data["left"], data["died"]) == (0, {}, 0), running.said
    assert data["handled"] == 3 * 10 * STREAMS
    assert [sum(each["handled"] for each in data["processes"])] == [data["handled"]]
    assert len(data["processes"]) == 3
    assert problems(running, 10) == []


# --- deaths ---------------------------------------------------------------------------------------


def test_children_are_killed_at_random_and_nothing_is_lost_doubled_or_out_of_order(
    load: Project, url: str
) -> None:
    """T28: what they held is taken over within lease + poll, and they are started again."""
    dispatch(load, 1, CHUNK, url)
    options = ("-p", "4", "-c", "2", "--json")
    with crew(load, *options, url=url, wait=4, LOAD_PAUSE="0.01") as running:
        fire = Fire(running)
        last = fire.keep_up(KILL_SECONDS)
        await_quiet(running)
        running.signal(signal.SIGTERM)
        code, out = running.ended()

    lost = problems(running, last)
    assert (code, lost) == (0, []), running.said
    assert 0 < json.loads(out)["data"]["died"] <= fire.killed
    assert fire.takeovers
    assert max(fire.takeovers) <= LEASE + POLL * 1.25 + SLACK, fire.takeovers
    doubled = sum(count - 1 for count in effects(load).values())
    print(  # noqa: T201 - figures, shown with -s
        f"{fire.killed} killed, {fire.hung_up} HUP, {last * STREAMS} commands, {doubled} handled "
        f"again; {len(fire.takeovers)} takeovers, the longest {max(fire.takeovers):.2f} s"
    )


class Fire:
    """Kills a child every second or so, and replaces all whenever one has been left down.

    Attributes:
        killed: how many.
        hung_up: how often all were replaced.
        takeovers: for each that had joined, how long its claims and its row stayed, in seconds.
    """

    def __init__(self, running: Crew) -> None:
        self._running = running
        self._dead: dict[str, float] = {}
        self._down = 0
        self.killed = self.hung_up = 0
        self.takeovers: list[float] = []

    def keep_up(self, seconds: float) -> int:
        """Do so for a while, and until all has been taken over; return the last number sent."""
        end = kill_at = time.monotonic() + 0.3
        end += seconds
        with sending(self._running) as sent:
            while (now := time.monotonic()) < end:
                if now >= kill_at:
                    self._kill()
                    kill_at = now + random.uniform(0.4, 1.6)
                self._look()
        await_fact(lambda: self._look() == 0, self._running)
        return sent[-1]

    def _kill(self) -> None:
        children, workers = self._running.children, self._running.store.inspect.workers()
        at_work = {worker.pid for worker in workers} & set(children)
        if len(at_work) > 1:  # somebody has to take over
            victim = random.choice([pid for pid in children if {pid} != at_work])
            kill(victim)
            self.killed += 1
            died_at = time.monotonic()
            self._dead |= {worker.id: died_at for worker in workers if worker.pid == victim}
        down = self._running.said.count("stays down")
        if down > self._down:
            self._down, self.hung_up = down, self.hung_up + 1
            self._running.signal(signal.SIGHUP)

    def _look(self) -> int:
        """See who has been taken over; return how many have not."""
        inspect = self._running.store.inspect
        held = {row.worker for row in inspect.deliveries(states=["claimed"], limit=1_000)}
        held |= {worker.id for worker in inspect.workers()}
        now = time.monotonic()
        self.takeovers += [now - at for worker, at in self._dead.items() if worker not in held]
        self._dead = {worker: at for worker, at in self._dead.items() if worker in held}
        return len(self._dead)


@contextmanager
def sending(running: Crew) -> Iterator[list[int]]:
    """Send more whenever half has been handled; give the last numbers that were sent."""
    over, sent = threading.Event(), [CHUNK]

    def send() -> None:
        while not over.wait(0.05):
            if effects(running.project).total() >= (sent[-1] - CHUNK // 2) * STREAMS:
                dispatch(running.project, sent[-1] + 1, sent[-1] + CHUNK, running.url)
                sent.append(sent[-1] + CHUNK)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield sent
    finally:
        over.set()
        sender.join()


def await_quiet(running: Crew) -> None:
    await_fact(lambda: running.store.inspect.status().deliveries == 0, running)


def test_a_child_that_somebody_else_ends_is_missed(load: Project) -> None:
    dispatch(load, 1, 1)

    with crew(load, "-p", "2", "--json", wait=2) as running:
        first, _ = running.children
        os.kill(first, signal.SIGTERM)
        await_fact(lambda: len(set(running.joined) - {first}) == 2, running)
        running.signal(signal.SIGTERM)
        code, out = running.ended()

    data = json.loads(out)["data"]
    assert (code, data["died"], len(data["processes"])) == (0, 0, 3), running.said
    assert f"process {first} ended by itself" in running.said


@pytest.mark.parametrize("by", ["kernel", "pipe"])
def test_no_child_outlives_a_parent_that_is_killed(load: Project, by: str) -> None:
    """The kernel kills even those that are stuck; where it does not, they see their pipe end."""
    dispatch(load, 1, 20)
    load.write(sitecustomize="" if by == "kernel" else NO_PRCTL)

    more = {"PYTHONPATH": str(load.folder), "LOAD_PAUSE": "0.02"}
    with crew(load, "-p", "3", wait=3, **more) as running:
        wait_for_work(running, 50)
        children = running.children
        for pid in children if by == "kernel" else ():
            os.kill(pid, signal.SIGSTOP)
        kill(running.process.pid)
        began = time.monotonic()
        await_fact(lambda: not any(is_there(pid) for pid in children), running)
        took = time.monotonic() - began
        left = running.left_behind()
    drained(load)

    assert len(children) == 3
    assert took <= 5
    assert by == "kernel" or left == (0, 0, [])
    assert problems(running, 20) == []


def test_a_child_whose_parent_is_gone_gives_back_what_it_is_stuck_in(stuck: Project) -> None:
    stuck.write(sitecustomize=NO_PRCTL)

    with crew(stuck, "-p", "1", wait=1, PYTHONPATH=str(stuck.folder)) as running:
        await_fact(lambda: len(list(stuck.folder.glob("stuck-*"))) > 0, running)
        children = running.children
        kill(running.process.pid)
        await_fact(lambda: not any(is_there(pid) for pid in children), running)
        left = running.left_behind()

    assert left == (0, 0, [])


CRASHING = """
import os
from sourced import App, Command, Reactor, on

class Boom(Command, type="crash.boom"):
    pass

class Crashing(Reactor, group="Crashing"):
    @on
    def boom(self, message: Boom):
        os._exit(3)

app = App("sqlite:///load.db").register(Crashing)
"""


def test_an_app_that_kills_its_process_at_import_is_given_up_after_five(project: Project) -> None:
    project.write(app="import os  # sourced\nos._exit(1)\n")

    with crew(project, "-p", "3", "--json") as running:
        code, out = running.ended()

    answer = json.loads(out)
    assert (code, answer["data"]["died"]) == (1, 5), running.said
    assert [each["code"] for each in answer["diagnostics"]] == ["workers.crash-loop"]
    assert running.said.count("died with exit code 1") == 5
    assert running.said.count("stays down") == 1


def test_a_handler_that_kills_its_process_again_and_again_leaves_it_down(project: Project) -> None:
    project.write(app=CRASHING).installed()
    for n in range(40):
        project.send("crash.boom", f"s-{n}")

    with crew(project, "-p", "2", "-c", "1", "--json") as running:
        code, out = running.ended()

    answer = json.loads(out)
    assert (code, answer["data"]["died"]) == (1, 10), running.said
    assert [each["code"] for each in answer["diagnostics"]] == ["workers.crash-loop"]
    assert running.said.count("stays down") == 2


def test_a_message_that_kills_its_process_is_parked_and_the_others_are_handled(
    project: Project,
) -> None:
    """T21, by the deaths of several processes."""
    policy = 'App("sqlite:///load.db", settings=settings, errors=ErrorPolicy(retries=1))'
    app = LOAD.replace("import Actor,", "import Actor, ErrorPolicy,").replace(
        'App(os.environ.get("LOAD_STORE", "sqlite:///load.db"), settings=settings)', policy
    )
    pause = "        time.sleep(PAUSE)\n"
    assert policy in app
    assert pause in app
    deadly = "        if event.number == 2 and stream == 's-3':\n            os._exit(3)\n"
    project.write(app=app.replace(pause, deadly + pause))
    dispatch(project, 1, 3)

    with crew(project, "-p", "2", "--json") as running:
        inspect = running.store.inspect
        await_fact(lambda: [row.state for row in inspect.deliveries()] == ["parked"], running)
        (parked,) = inspect.deliveries()
        running.signal(signal.SIGTERM)
        code, out = running.ended()

    assert (code, json.loads(out)["data"]["died"] in {2, 3}) == (0, True), running.said
    assert (parked.stream_id, parked.group) == ("s-3", "Copier")
    lost = problems(running, 3)
    assert lost == ["s-3 copied: [1]"]


# --- who cannot start -----------------------------------------------------------------------------


def test_an_app_that_cannot_be_imported_says_why_once(project: Project) -> None:
    project.write(app="import sourced\nraise RuntimeError('no configuration')\n")

    with crew(project, "-p", "3") as running:
        code, out = running.ended()

    assert (code, out) == (3, "")
    assert running.said.count("Traceback") == 1
    assert running.said.count("error: 'app' failed to import: RuntimeError: no configuration") == 1
    assert "process" not in running.said


def test_tables_that_are_missing_are_told_once(load: Project) -> None:
    with crew(load, "-p", "3", "--json") as running:
        code, out = running.ended()

    assert code == 5
    (said,) = json.loads(out)["diagnostics"]
    assert "sourced install" in said["message"]
    assert running.said == ""


@pytest.mark.parametrize("url", ["", "sqlite://"])
def test_several_processes_over_a_store_in_memory_are_refused(project: Project, url: str) -> None:
    project.write(app=LOAD.replace("sqlite:///load.db", url))

    with crew(project, "-p", "2", "--json") as running:
        code, out = running.ended()

    (said,) = json.loads(out)["diagnostics"]
    assert (code, said["code"]) == (2, "store.in-memory")
    assert "each of 2 processes would have its own" in said["message"]


# --- replacement ----------------------------------------------------------------------------------


@contextmanager
def watching_joined(running: Crew) -> Iterator[Counter[int]]:
    """Count, again and again, how many workers are joined."""
    seen: Counter[int] = Counter()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            seen[len(running.joined)] += 1

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_hup_under_load_replaces_all_and_nothing_is_handled_twice(load: Project) -> None:
    dispatch(load, 1, 40)

    with crew(load, "-p", "3", "-c", "2", "--json", wait=3, LOAD_PAUSE="0.02") as running:
        wait_for_work(running, 50)
        former = set(running.children)
        load.write(app=LOAD.replace("VERSION = 1", "VERSION = 2"))
        with watching_joined(running) as seen:
            running.signal(signal.SIGHUP)
            await_fact(
                lambda: len(running.joined) == 3 and not former & set(running.children), running
            )
        attempts = running.left_behind()[2]
        await_quiet(running)
        running.signal(signal.SIGTERM)
        code, out = running.ended()

    data = json.loads(out)["data"]
    assert (code, data["replaced"], data["died"], attempts) == (0, 3, 0, []), running.said
    assert set(seen) <= {3, 4}
    assert versions(load) == {"1", "2"}
    assert set(effects(load).values()) == {1}
    assert problems(running, 40) == []


def test_hup_with_code_that_cannot_start_replaces_nobody(load: Project) -> None:
    dispatch(load, 1, 1)

    with crew(load, "-p", "2", wait=2) as running:
        former = running.children
        load.write(app=LOAD + "\nraise RuntimeError('half-way')\n")
        running.signal(signal.SIGHUP)
        await_fact(lambda: "nobody is replaced" in running.said, running)
        after = running.children
        running.signal(signal.SIGTERM)
        code, _ = running.ended()

    assert (code, after) == (0, former)
    assert running.said.count("RuntimeError: half-way\n") == 1


def test_reload_takes_new_processes_when_a_file_of_the_project_changes(load: Project) -> None:
    dispatch(load, 1, 1)
    (load.folder / ".hidden").mkdir()

    with crew(load, "--reload", wait=1) as running:
        (former,) = running.children
        (load.folder / ".hidden" / "other.py").write_text("")
        (load.folder / "notes.txt").write_text("")
        load.write(app=LOAD.replace("VERSION = 1", "VERSION = 2"))
        await_fact(lambda: former not in running.children, running)
        await_fact(lambda: len(running.joined) == 1, running)
        dispatch(load, 2, 2)
        await_quiet(running)
        running.signal(signal.SIGINT)
        code, _ = running.ended()

    assert code == 0
    assert versions(load) == {"1", "2"}
    assert running.said.count("replacing the processes") == 1
    assert str(load.folder) in running.said


def test_a_drain_cannot_reload(load: Project) -> None:
    assert load.sourced("workers", "--drain", "--reload").code == 2

"""The command line in real processes: signals, pipes, and a stdout that holds the answer alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from projects import SHOP, Project

PATIENCE = 60.0
COMMAND = (sys.executable, "-m", "sourced_cli")
ITEM = ("product_id=tea", "price=1")
has_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full"
)

LOADED = """
import os, time
from pathlib import Path
from sourced import Actor, App, Command, Event, Reactor, command, on

class Count(Command, type="load.count"):
    number: int

class Counted(Event, type="load.counted"):
    number: int

class Counter(Actor[None]):
    def initial_state(self, stream_id): return None

    @command
    def count(self, state, cmd: Count):
        yield Counted(number=cmd.number)

class Effects(Reactor, group="Effects"):
    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @on
    def counted(self, event: Counted):
        os.write(self.file, f"{event.number}\\n".encode())

app = App("sqlite:///load.db").register(Counter, Effects("effects.txt"))
"""

STUCK = """
import sys, threading
from sourced import App, Command, Reactor, on

class Wait(Command, type="stuck.wait"):
    pass

class Stuck(Reactor, group="Stuck"):
    @on
    def wait(self, message: Wait):
        print("stuck", flush=True)
        threading.Event().wait()

app = App("sqlite:///stuck.db").register(Stuck)
"""

CHATTY = """
import os, subprocess, sys
print("imported", flush=True)
os.write(1, b"past python\\n")
from sourced import App, Command, Reactor, on

class Say(Command, type="chatty.say"):
    pass

class Chatty(Reactor, group="Chatty"):
    @on
    def say(self, message: Say):
        print("handled")
        subprocess.run([sys.executable, "-c", "print('a child')"], check=True)

app = App("sqlite:///chatty.db").register(Chatty)
"""


def dispatch(project: Project, code: str) -> None:
    """Run code in which `app` is the project's, in a process of its own."""
    script = f"from app import *\n{code}"
    subprocess.run([sys.executable, "-c", script], cwd=project.folder, check=True, env=env(project))


def env(project: Project) -> dict[str, str]:
    path = [str(project.folder), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def state_of(project: Project, database: str) -> tuple[int, int]:
    """How many claims and how many workers the store has."""
    from sourced._stores import open_store

    store = open_store(f"sqlite:///{project.folder / database}")
    try:
        return len(store.inspect.deliveries(states=["claimed"])), len(store.inspect.workers())
    finally:
        store.close()


def await_fact(fact: Callable[[], bool]) -> None:
    """Look again and again until something is so."""
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.01)):
        if fact():
            return
        pause.wait(0.01)
    pytest.fail("it never came true")


def lines_of(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


# --- workers --------------------------------------------------------------------------------------


def test_term_under_load_exits_0_with_no_claim_left_and_nothing_handled_twice(
    project: Project,
) -> None:
    project.write(app=LOADED)
    total, effects = 3_000, project.folder / "effects.txt"
    dispatch(
        project,
        f"""
from sourced import Dispatch
app.install()
app.dispatch_many(Dispatch(Count(number=n), to=f"s-{{n % 150}}") for n in range({total}))
""",
    )

    workers = project.start("workers", "-c", "4", "--json")
    await_fact(lambda: len(lines_of(effects)) > 100)
    workers.send_signal(signal.SIGTERM)
    code, out, err = ended(workers)
    interrupted = len(lines_of(effects))
    left = state_of(project, "load.db")
    rest, *_ = ended(project.start("workers", "--drain"))

    assert (code, left, rest) == (0, (0, 0), 0), err
    assert interrupted < total, "it was done before it could be interrupted"
    answer = json.loads(out)["data"]
    assert (answer["signal"], answer["forced"]) == (signal.SIGTERM, False)
    assert answer["handled"] >= interrupted
    assert (answer["retried"], answer["parked"]) == (0, 0)
    assert Counter(lines_of(effects)) == Counter(str(n) for n in range(total))


@pytest.fixture
def stuck(project: Project) -> Project:
    project.write(app=STUCK)
    dispatch(project, "app.install(); app.dispatch(Wait(), to='s')")
    return project


@pytest.mark.parametrize("drain", [(), ("--drain",)], ids=["workers", "drain"])
def test_the_second_signal_gives_back_what_is_in_hand_and_exits_70(
    stuck: Project, drain: tuple[str, ...]
) -> None:
    workers = stuck.start("workers", "--grace", "1h", *drain)
    assert workers.stdout is not None
    assert workers.stdout.readline() == "stuck\n"

    workers.send_signal(signal.SIGINT)
    workers.send_signal(signal.SIGTERM)
    code, _, err = ended(workers)

    assert code == 70
    assert "what is in hand is given back" in err
    assert state_of(stuck, "stuck.db") == (0, 0)


def test_the_end_of_the_grace_exits_70(stuck: Project) -> None:
    workers = stuck.start("workers", "--grace", "50ms", "--json")
    assert workers.stderr is not None
    while "stuck" not in (line := workers.stderr.readline()):
        assert line, "it ended"

    workers.send_signal(signal.SIGTERM)
    code, out, _ = ended(workers)

    answer = json.loads(out)
    assert (code, answer["data"]["forced"]) == (70, True)
    (said,) = answer["diagnostics"]
    assert (said["code"], said["level"]) == ("workers.forced", "error")
    assert "given back" in said["message"]
    assert "--grace" in said["hint"]
    assert state_of(stuck, "stuck.db") == (0, 0)


@has_full_device
def test_a_stdout_that_takes_no_more_does_not_keep_workers_from_ending(stuck: Project) -> None:
    command = 'exec "$@" >/dev/full'
    options = ("workers", "--drain", "--grace", "50ms", "--json")
    workers = subprocess.Popen(
        ["sh", "-c", command, "sh", *COMMAND, *options],
        cwd=stuck.folder,
        stderr=subprocess.PIPE,
        text=True,
    )

    try:
        assert workers.stderr is not None
        while "stuck" not in (line := workers.stderr.readline()):
            assert line, "it ended"
        workers.send_signal(signal.SIGTERM)
        code, _, err = ended(workers)
    finally:
        workers.kill()

    assert code == 70
    assert "what is in hand is given back" in err


def test_ctrl_c_ends_idle_workers_with_0(project: Project) -> None:
    project.write(app=LOADED)
    dispatch(project, "app.install()")
    workers = project.start("workers")
    await_fact(lambda: state_of(project, "load.db") == (0, 1))

    workers.send_signal(signal.SIGINT)
    code, out, err = ended(workers)

    assert code == 0
    assert out == "0 handled, 0 retried, 0 parked\n"
    assert "stopping: no new claims" in err


LATE = """
import atexit, os, signal
from sourced import App, Command, Reactor, on

def signal_myself():
    os.kill(os.getpid(), signal.SIGTERM)

class Note(Command, type="late.note"):
    pass

class Idle(Reactor, group="Idle"):
    @on
    def note(self, message: Note): ...

class Late(App):
    def close(self):
        if os.environ.get("LATE") == "while it closes":
            signal_myself()
        super().close()

class Last:
    def __del__(self, kill=os.kill, me=os.getpid(), number=signal.SIGTERM):
        kill(me, number)

if os.environ.get("LATE") == "while Python ends":
    atexit.register(signal_myself)
if os.environ.get("LATE") == "while Python forgets its modules":
    last = Last()
app = Late("sqlite:///late.db").register(Idle)
"""


@pytest.mark.parametrize(
    "late", ["while it closes", "while Python ends", "while Python forgets its modules"]
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_kills_no_process_that_is_about_to_end(
    project: Project, late: str, number: signal.Signals
) -> None:
    project.write(app=LATE.replace("SIGTERM", number.name))
    dispatch(project, "app.install()")
    workers = project.start("workers", "--json", LATE=late)
    await_fact(lambda: state_of(project, "late.db") == (0, 1))

    workers.send_signal(signal.SIGTERM)
    code, out, err = ended(workers)

    assert (code, json.loads(out)["status"]) == (0, "ok"), err
    assert "interrupted" not in err


def test_a_drain_that_is_cut_short_says_so_by_its_exit_code(project: Project) -> None:
    project.write(app=LOADED)
    dispatch(
        project,
        """
from sourced import Dispatch
app.install()
app.dispatch_many(Dispatch(Count(number=n), to=f"s-{n % 150}") for n in range(3_000))
""",
    )
    drain = project.start("workers", "--drain", "-c", "1", "--json")
    await_fact(lambda: len(lines_of(project.folder / "effects.txt")) > 10)

    drain.send_signal(signal.SIGTERM)
    code, out, _ = ended(drain)

    assert code == 128 + signal.SIGTERM
    (said,) = json.loads(out)["diagnostics"]
    assert said["code"] == "workers.interrupted"
    assert state_of(project, "load.db") == (0, 0)


def test_a_drain_handles_what_a_killed_worker_held(project: Project) -> None:
    settings = "settings=Settings(lease=timedelta(seconds=1.5), heartbeat=timedelta(seconds=0.5))"
    stuck_once = STUCK.replace("import App,", "import Settings, App,").replace(
        'App("sqlite:///stuck.db")', f'App("sqlite:///stuck.db", {settings})'
    )
    wait = "        threading.Event().wait()"
    assert wait in stuck_once
    project.write(
        app="import os\nfrom datetime import timedelta\n"
        + stuck_once.replace(wait, f"        if 'STUCK' in os.environ:\n    {wait}")
    )
    dispatch(project, "app.install(); app.dispatch(Wait(), to='s')")
    workers = project.start("workers", STUCK="1")
    assert workers.stdout is not None
    assert workers.stdout.readline() == "stuck\n"

    workers.kill()
    ended(workers)
    held = state_of(project, "stuck.db")
    code, out, err = ended(project.start("workers", "--drain", "--json"))

    assert (held, code) == ((1, 1), 0), err
    answer = json.loads(out)["data"]
    assert (answer["handled"], answer["left"]) == (1, {})
    assert state_of(project, "stuck.db") == (0, 0)


# --- stdout ---------------------------------------------------------------------------------------


def test_under_json_stdout_holds_the_document_alone_whatever_the_app_writes(
    project: Project,
) -> None:
    project.write(app=CHATTY)
    dispatch(project, "app.install(); app.dispatch(Say(), to='s')")

    code, out, err = ended(project.start("workers", "--drain", "--json", "-v"))

    assert code == 0
    assert json.loads(out)["data"]["handled"] == 1
    for text in ("imported", "past python", "handled", "a child", "app: app:app"):
        assert text in err


def test_a_reader_that_has_gone_is_no_error(shop: Project) -> None:
    shop.installed()
    for _ in range(3):
        shop.send("carts.place", "cart-1")

    tail = shop.start("messages", "tail", "-n", "1000")
    assert tail.stdout is not None
    tail.stdout.close()
    tail.wait(PATIENCE)

    assert tail.stderr is not None
    assert (tail.returncode, tail.stderr.read()) == (0, "")
    tail.stderr.close()


def redirected(project: Project, redirection: str, *arguments: str) -> tuple[int, str, str]:
    """Run the command line under a shell that redirects its streams."""
    ran = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *arguments],
        cwd=project.folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return ran.returncode, ran.stdout, ran.stderr


ANSWERING = [
    ("lag",),
    ("lag", "--json"),
    ("lag", "Nobody", "--json"),
    ("lag", "--watch"),
    ("commands", "list"),
    ("messages", "tail", "--json"),
    ("workers", "--drain"),
    ("version",),
    ("--help",),
    ("nonsense", "--json"),
]


@pytest.mark.parametrize("arguments", ANSWERING, ids=" ".join)
def test_a_stdout_that_is_closed_is_told_in_one_line(
    shop: Project, arguments: tuple[str, ...]
) -> None:
    shop.installed().send("carts.place", "cart-1")

    code, _, err = redirected(shop, ">&-", *arguments)

    assert (code, err) == (1, "error: cannot write to stdout: it is closed; nothing was done\n")


@has_full_device
@pytest.mark.parametrize("arguments", ANSWERING, ids=" ".join)
def test_a_stdout_that_takes_no_more_is_told_in_one_line(
    shop: Project, arguments: tuple[str, ...]
) -> None:
    shop.write(app=f"print('hello')\n{SHOP}").installed().send("carts.add_item", "c", *ITEM)

    code, _, err = redirected(shop, ">/dev/full", *arguments)

    told = [line for line in err.splitlines() if line != "hello"]
    assert (code, told) == (1, ["error: cannot write to stdout: No space left on device"])


def test_with_a_closed_stdout_nothing_is_sent(shop: Project) -> None:
    shop.installed()

    code, _, _ = redirected(shop, ">&-", "commands", "send", "carts.place", "--to", "cart-1")

    assert code == 1
    assert shop.sourced("messages", "tail").out == ""


@pytest.mark.parametrize(
    "redirection", ["2>&-", pytest.param("2>/dev/full", marks=has_full_device)]
)
def test_what_cannot_be_said_on_stderr_changes_nothing(shop: Project, redirection: str) -> None:
    shop.installed()

    sent, out, _ = redirected(
        shop, redirection, "commands", "send", "carts.place", "--to", "c", "-v", "--json"
    )
    refused, _, _ = redirected(shop, redirection, "lag", "Nobody")
    wrong, _, _ = redirected(shop, redirection, "nonsense")
    drained, counts, _ = redirected(shop, redirection, "workers", "--drain")
    mute, _, _ = redirected(shop, f">&- {redirection}", "lag")

    assert (sent, json.loads(out)["data"]["sent"]) == (0, True)
    assert (refused, wrong, mute) == (6, 2, 1)
    assert (drained, counts.split(",")[0]) == (0, "2 handled")


@pytest.mark.parametrize("locale", ["C.UTF-8", "POSIX"])
def test_a_terminal_that_lacks_a_character_is_no_error(shop: Project, locale: str) -> None:
    shop.installed().send("carts.add_item", "cärt-世界", "product_id=ä", "price=1")

    process = shop.start(
        "lag", LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii"
    )
    code, out, err = ended(process)

    assert (code, err) == (0, "")
    assert "\\u25cb waiting" in out


def test_log_lines_go_to_stderr_and_control_no_terminal(shop: Project) -> None:
    shop.installed().send("carts.place", "cart-1")

    code, out, err = ended(shop.start("workers", "--drain"))

    assert (code, "WARNING" in out) == (0, False)
    (line,) = err.splitlines()
    assert "WARNING group Mailer, stream mail-1 #1 (mail.send), attempt 1" in line
    assert "no \\x1b[31mroute" in line


def test_an_app_that_logs_its_own_way_is_left_alone(shop: Project) -> None:
    own = "import logging\nlogging.basicConfig(format='mine: %(message)s')\n"
    shop.write(app=own + SHOP).installed().send("carts.place", "cart-1")

    code, _, err = ended(shop.start("workers", "--drain"))

    assert code == 0
    assert err.startswith("mine: group Mailer")
    assert err.count("group Mailer") == 1


def test_a_format_that_is_asked_for_goes_before_the_apps_own(shop: Project) -> None:
    own = "import logging\nlogging.basicConfig(format='mine: %(message)s')\n"
    shop.write(app=own + SHOP).installed().send("carts.place", "cart-1")

    code, _, err = ended(shop.start("workers", "--drain", "--log-format", "json"))

    assert (code, "mine:" in err, err.count("group Mailer")) == (0, False, 1)


def test_log_lines_as_json_say_who_and_what_and_no_payload(shop: Project) -> None:
    broken = SHOP.replace("raise ConnectionError", "raise SystemError")
    shop.write(app=f"import logging\n{broken}").installed()
    shop.send("carts.add_item", "cart-1", "product_id=secret-tea", "price=0")
    message_id = shop.send("carts.place", "cart-1")

    code, _, err = ended(shop.start("workers", "--drain", "--log-format", "json"))

    lines = [json.loads(line) for line in err.splitlines()]
    (line,) = lines
    assert code == 0
    assert datetime.fromisoformat(line["time"]).tzinfo is not None
    assert (line["level"], line["logger"]) == ("WARNING", "sourced")
    assert (line["group"], line["stream"], line["message_type"]) == (
        "Mailer",
        "mail-1",
        "mail.send",
    )
    assert line["correlation_id"] == message_id
    assert line["message_id"] != message_id
    assert line["worker"]
    assert "SystemError" in line["message"]
    assert "secret-tea" not in err


def test_everything_that_workers_say_while_they_run_is_json(project: Project) -> None:
    broken = LOADED.replace("os.write(self.file", "raise SystemExit; os.write(self.file")
    project.write(app=f"import logging\n{broken}")
    dispatch(project, "app.install(); app.dispatch(Count(number=1), to='s')")

    workers = project.start("workers", "--log-format", "json", "--health", "127.0.0.1:0")
    assert workers.stderr is not None
    lines: list[Any] = []
    while not lines or "attempt 1" not in lines[-1]["message"]:
        lines.append(json.loads(workers.stderr.readline()))
    workers.send_signal(signal.SIGTERM)
    code, _, err = ended(workers)

    lines += [json.loads(line) for line in err.splitlines()]
    said = [line["message"] for line in lines]
    assert code == 0
    assert said[0] == "workers of app:app run with 4 threads; Ctrl-C stops them"
    assert any(text.startswith("stopping: no new claims") for text in said)


# --- health ---------------------------------------------------------------------------------------


def asked(url: str, path: str) -> tuple[int, str]:
    """Ask over HTTP."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_workers_serve_their_health_and_say_where(project: Project) -> None:
    project.write(app=LOADED)
    dispatch(project, "app.install()")

    workers = project.start("workers", "--health", "127.0.0.1:0", "--log-format", "json")
    assert workers.stderr is not None
    while "url" not in (line := json.loads(workers.stderr.readline())):
        pass
    await_fact(lambda: asked(line["url"], "/readyz")[0] == 200)
    _, metrics = asked(line["url"], "/metrics")
    workers.send_signal(signal.SIGTERM)
    code, _, _ = ended(workers)

    assert code == 0
    assert 'sourced_pending_messages{group="Effects"} 0' in metrics
    with pytest.raises(ConnectionRefusedError):
        asked(line["url"], "/livez")


def test_after_term_workers_are_alive_and_not_ready_while_they_finish(stuck: Project) -> None:
    workers = stuck.start(
        *("workers", "--health", "127.0.0.1:0", "--log-format", "json", "--grace", "1h")
    )
    assert workers.stdout is not None
    assert workers.stderr is not None
    assert workers.stdout.readline() == "stuck\n"
    while "url" not in (line := json.loads(workers.stderr.readline())):
        pass
    before, _ = asked(line["url"], "/readyz")

    workers.send_signal(signal.SIGTERM)
    while not json.loads(workers.stderr.readline())["message"].startswith("stopping"):
        pass
    (after, said), (alive, _) = (asked(line["url"], path) for path in ("/readyz", "/livez"))
    workers.send_signal(signal.SIGTERM)
    code, _, _ = ended(workers)

    assert (before, after, alive, code) == (200, 503, 200, 70)
    assert json.loads(said)["reason"] == "stopping"


def test_a_port_that_is_in_use_ends_the_workers_before_they_begin(project: Project) -> None:
    project.write(app=LOADED)
    dispatch(project, "app.install()")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, out, err = ended(project.start("workers", "--health", address))

    assert (code, out) == (3, "")
    assert f"health cannot be served at {address}" in err
    assert "Traceback" not in err


# --- following ------------------------------------------------------------------------------------


def test_a_tail_follows_what_another_process_sends_until_ctrl_c(shop: Project) -> None:
    shop.installed()
    tail = shop.start("messages", "tail", "-f", "--json")
    assert tail.stdout is not None
    seen = []

    for n in range(3):
        shop.send("carts.place", f"cart-{n}")
        seen.append(json.loads(tail.stdout.readline())["data"]["stream_id"])
    tail.send_signal(signal.SIGINT)
    how = ended(tail)

    assert seen == ["cart-0", "cart-1", "cart-2"]
    assert how == (0, "", "")


def test_watching_ends_quietly_with_ctrl_c(shop: Project) -> None:
    shop.installed()
    watch = shop.start("lag", "--watch", "--interval", "10ms")
    assert watch.stdout is not None
    for _ in range(8):
        assert watch.stdout.readline()

    watch.send_signal(signal.SIGINT)
    code, out, err = ended(watch)

    assert (code, err) == (0, "")
    assert "\x1b" not in out


def test_what_is_interrupted_half_way_says_so(shop: Project) -> None:
    sending = shop.installed().start("commands", "send", "carts.place", "--to", "c", "--wait", "60")
    assert sending.stdout is not None
    assert sending.stdout.readline().startswith("sent carts.place to c #1")

    sending.send_signal(signal.SIGINT)
    code, out, err = ended(sending)

    assert (code, out) == (130, "")
    assert err.endswith("error: interrupted\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("messages", "tail", "-f", "--after", "0"),
        ("messages", "tail", "-f", "--after", "0", "--json"),
        ("messages", "tail", "-f", "--after", "0", "--stream", "cart-1"),
        ("lag", "--watch", "--interval", "1h"),
        ("lag", "--watch", "--interval", "100d", "--json"),
    ],
    ids=" ".join,
)
def test_who_shows_nothing_new_notices_all_the_same_that_the_reader_has_gone(
    shop: Project, arguments: tuple[str, ...]
) -> None:
    shop.installed().send("carts.place", "cart-1")
    process = shop.start(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None

    try:
        assert process.stdout.readline()
        process.stdout.close()
        process.wait(PATIENCE)
    finally:
        process.kill()

    assert (process.returncode, process.stderr.read()) == (0, "")
    process.stderr.close()


# --- a new app ------------------------------------------------------------------------------------


def test_a_new_app_passes_its_tests_and_runs_from_install_to_lag(project: Project) -> None:
    assert project.sourced("new", "corner-shop").code == 0
    shop = Project(project.folder / "corner-shop", project.capsys)

    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=shop.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    codes = [
        ended(shop.start(*command.split()))[0]
        for command in (
            "install",
            "commands send carts.add_item --to cart-1 -F product_id=tea -F price=300",
            "commands send carts.check_out --to cart-1",
            "lag --fail-over 1",
            "workers --drain",
            "lag --fail-over 0",
        )
    ]

    assert tests.returncode == 0, tests.stdout
    assert codes == [0, 0, 0, 8, 0, 0]

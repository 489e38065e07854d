"""Several processes and threads on one file: none is starved, none sees half of anything."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import text

from sourced_sqlalchemy import SQLAlchemyStore, open_store
from sourced_testing.conformance._given import message

CHILD = Path(__file__).with_name("child.py")


@contextmanager
def children(roles: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """Start processes, let them begin at once, and collect what each says in the end."""
    running = [
        subprocess.Popen(
            [sys.executable, str(CHILD), *role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for role in roles
    ]
    said: list[str] = []
    try:
        for child in running:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in running:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        yield said
        for child in running:
            out, err = child.communicate(timeout=120)
            assert child.returncode == 0, err
            said.append(out.strip())
    finally:
        for child in running:
            child.kill()
            child.communicate()


def test_eight_processes_install_at_once_and_one_of_them_makes_the_tables(url: str) -> None:
    with children([["install", url]] * 8) as said:
        pass

    assert sorted(said) == ["false"] * 7 + ["true"]
    assert open_store(url).installed()


def test_writers_of_the_same_streams_in_opposite_order_leave_no_hole_and_no_deadlock(
    store: SQLAlchemyStore, url: str
) -> None:
    """T22, T53: {A, B} and {B, A}, by four processes."""
    store.close()
    orders = ["a,b", "b,a", "a,b", "b,a"]

    with children([["write", url, "100", order] for order in orders]) as said:
        pass

    assert said == ["done"] * 4
    for name in "ab":
        page = store.read_stream(name, limit=1000)
        assert [each.seq for each in page.messages] == list(range(1, 401))
    positions = [each.position for each in store.read_all(limit=1000).messages]
    assert positions == list(range(1, 801))


def test_four_threads_and_three_processes_that_hammer_starve_nobody(
    store: SQLAlchemyStore, url: str
) -> None:
    """With the default busy timeout nobody ever reads "database is locked"."""
    failures: list[BaseException] = []

    def hammer(name: str) -> None:
        try:
            for _ in range(100):
                store.append([message(name)])
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    threads = [threading.Thread(target=hammer, args=(f"t{number}",)) for number in range(4)]
    with children([["write", url, "100", f"p{number}"] for number in range(3)]) as said:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert (failures, said) == ([], ["done"] * 3)
    assert store.inspect.status().messages == 700


def test_workers_of_several_processes_handle_each_message_once(
    store: SQLAlchemyStore, url: str
) -> None:
    store.register("G", ["added"])
    for _ in range(3):
        store.append([message(f"s{number}") for number in range(300)])
    with store.transaction() as transaction:
        transaction.connection.execute(
            text('CREATE TABLE effects ("group", stream, seq, UNIQUE ("group", stream, seq))')
        )
    store.close()

    with children([["work", url, "G"]] * 3) as said:
        pass

    assert sum(map(int, said)) == 900
    with store.connection() as connection:
        rows = connection.execute(text("SELECT stream, seq FROM effects")).all()
    assert Counter(map(tuple, rows)) == Counter(
        (f"s{number}", seq) for number in range(300) for seq in (1, 2, 3)
    )


FORKING = """
import os, sys
from sourced_sqlalchemy import open_store
from sourced_testing.conformance._given import message

store = open_store(sys.argv[1])
store.append([message("parent")])
store.read_stream("parent")
child = os.fork()
if child == 0:
    for _ in range(50):
        store.append([message("child")])
    os._exit(0 if store.read_stream("child").head == 50 else 1)
for _ in range(50):
    store.append([message("parent")])
store.close()  # as the last one of this process: it must not take the child's log away
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_connections_of_its_own(store: SQLAlchemyStore, url: str) -> None:
    store.close()

    ended = subprocess.run([sys.executable, "-c", FORKING, url], capture_output=True, check=False)

    assert ended.returncode == 0, ended.stderr.decode()
    assert (store.read_stream("parent").head, store.read_stream("child").head) == (51, 50)


HOLDING = """
import os, sys, threading
from sourced_sqlalchemy import open_store
from sourced_testing.conformance._given import message

store = open_store(sys.argv[1])
holds, ends = threading.Event(), threading.Event()
def hold():
    with store.transaction() as transaction:
        transaction.append([message("held")])
        holds.set()
        ends.wait()
holder = threading.Thread(target=hold)
holder.start()
holds.wait()
def end_it_as_soon_as_the_fork_waits():
    while not store._database._usage.is_forking:
        pass
    ends.set()
threading.Thread(target=end_it_as_soon_as_the_fork_waits).start()
child = os.fork()
if child == 0:
    store.append([message("child")])
    os._exit(0)
holder.join()
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_while_a_thread_writes_is_not_locked_out(
    store: SQLAlchemyStore, url: str
) -> None:
    store.close()

    command = [sys.executable, "-W", "ignore", "-c", HOLDING, url]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=60)

    assert ended.returncode == 0, ended.stderr.decode()
    assert (store.read_stream("held").head, store.read_stream("child").head) == (1, 1)


UNPRIVILEGED = """
import os, sys
from sourced.errors import StoreUnavailableError
from sourced_sqlalchemy import open_store
from sourced_testing.conformance._given import message

store = open_store(sys.argv[1])
message("a")  # imports what it needs while it may
if os.geteuid() == 0:
    os.setuid(65534)
try:
    store.append([message("a")])
except StoreUnavailableError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="there are no users here")
@pytest.mark.parametrize(("directory", "database"), [(0o555, 0o666), (0o777, 0o444)])
def test_what_this_user_may_not_write_is_named(directory: int, database: int) -> None:
    """The directory too must be writable: the log lies in it."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "shop.db"
        store = open_store(f"sqlite:///{file}")
        store.install()
        store.close()
        file.chmod(database)
        file.parent.chmod(directory)

        command = [sys.executable, "-c", UNPRIVILEGED, f"sqlite:///{file}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        file.parent.chmod(0o755)

    assert str(file) in ended.stdout, ended.stderr
    assert "write" in ended.stdout

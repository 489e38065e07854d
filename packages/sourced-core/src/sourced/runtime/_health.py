"""Serves a process's pages over HTTP, to probes and to Prometheus, from threads of its own.

Nobody who asks can keep it from answering others: a connection has so many seconds in all, and so
many connections are open at a time; those beyond are closed at once. One request a connection.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from sourced._engine import logger
from sourced.errors import ConfigurationError
from sourced.runtime._address import Address, shown_address
from sourced.runtime._pages import Page, Pages

__all__ = ["HealthServer"]

CONNECTION_SECONDS = 5.0
CONNECTIONS = 64
LOOK_EVERY = 0.25


class HealthServer:
    """Listens from its making on; answers from `start` until `close`.

    Args:
        address: where to listen; port 0 takes any that is free.
        pages: makes the pages.

    Raises:
        ConfigurationError: nothing can listen there, such as when the port is in use.
    """

    def __init__(self, address: Address, pages: Pages) -> None:
        paths: dict[str, Callable[[], Page]] = {
            "/livez": pages.livez,
            "/readyz": pages.readyz,
            "/healthz": pages.healthz,
            "/metrics": pages.metrics,
        }
        try:
            self._server = _Server(address, paths)
        except OSError as error:
            raise ConfigurationError(
                f"health cannot be served at {shown_address(address)}: {error.strerror or error}"
            ) from error
        host, port = self._server.socket.getsockname()[:2]
        self.url: str = f"http://{shown_address((host, port))}"
        self._thread = threading.Thread(target=self._serve, name="sourced-health", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()
        logger.info("health is served at %s", self.url, extra={"url": self.url})

    def close(self) -> None:
        """Answer nobody any more, and free the port."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=LOOK_EVERY)


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS

    def __init__(self, address: Address, pages: Mapping[str, Callable[[], Page]]) -> None:
        host, port = address
        self.pages = pages
        self._mutex = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        self._is_dual = not host and socket.has_dualstack_ipv6()
        if self._is_dual or ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the name service for the host's name, which may take minutes."""
        if self._is_dual:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, unless too many are being answered."""
        with self._mutex:
            is_full = len(self._open) >= CONNECTIONS
            if not is_full:
                self._open[request] = time.monotonic() + CONNECTION_SECONDS
        if is_full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._mutex:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections whose time is over; called a few times a second."""
        now = time.monotonic()
        with self._mutex:
            for connection in [c for c, until in self._open.items() if until < now]:
                self._end(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - as it is called
        """A client that went away is no news."""
        logger.debug("a request for health failed", exc_info=True)

    def _end(self, connection: socket.socket) -> None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            self._open.pop(connection, None)  # it has ended by itself


class _Handler(BaseHTTPRequestHandler):
    timeout = CONNECTION_SECONDS
    server_version = "sourced"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with a page."""
        self._answer()

    do_HEAD = do_GET  # noqa: N815 - named after the method

    def do_POST(self) -> None:
        """Refuse: there is nothing to change here."""
        page = _problem(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered")
        self._send(page, Allow="GET, HEAD")

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST  # noqa: N815 - named after the methods

    def _answer(self) -> None:
        pages = self.server.pages  # type: ignore[attr-defined]  # it is a `_Server`
        make = pages.get(self.path.partition("?")[0])
        if make is None:
            known = ", ".join(pages)
            self._send(_problem(HTTPStatus.NOT_FOUND, f"there are {known}"))
            return
        try:
            page = make()
        except Exception:  # noqa: BLE001 - whoever asks gets an answer, and the log the error
            logger.exception("a page of health could not be made")
            page = _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the log says why")
        self._send(page)

    def _send(self, page: Page, **headers: str) -> None:
        body = page.text.encode()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - as it is called; what a client sent is not sent back
        """Answer what is no request."""
        self.request_version = self.protocol_version  # else there would be no status
        self._send(_problem(HTTPStatus(code), "this is no request that can be answered"))

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: probes come every few seconds."""


def _problem(status: HTTPStatus, reason: str) -> Page:
    return Page(status, json.dumps({"status": status.phrase.lower(), "reason": reason}) + "\n")

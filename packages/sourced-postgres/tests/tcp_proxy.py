"""A TCP proxy between a client and a server, for tests: it cuts, stalls, and counts round trips.

```
client ──▶ link: to the server  ──▶ server       a link is one connection of the client's,
client ◀── link: to the client  ◀── server       with a thread for each direction
```

A round trip is what a client sends until it waits, and the server's answer. Whoever watches is told
of each when its answer has arrived, before the client gets any of it.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

__all__ = ["Link", "Proxy", "proxied"]

Watcher = Callable[["Link", int], None]
"""Is told of a round trip of a link, the first of which has the number 1."""

_PIECE = 65536


class Link:
    """One connection of a client's, and the one to the server that was opened for it.

    Attributes:
        port: of the connection to the server, by which the server knows it.
        last_request: what the client last sent until it waited.
    """

    def __init__(self, client: socket.socket, server: socket.socket, proxy: Proxy) -> None:
        self._client, self._server, self._proxy = client, server, proxy
        self.port: int = server.getsockname()[1]
        self._flows = threading.Event()
        self._flows.set()
        self._asked = False
        self._left: int | None = None
        self.last_request = b""

    def start(self) -> None:
        """Begin to pass on what comes."""
        for pump in (self._to_server, self._to_client):
            threading.Thread(target=pump, daemon=True).start()

    def stall(self) -> None:
        """Pass nothing on any more, in either direction, and keep both connections open."""
        self._flows.clear()

    def resume(self) -> None:
        """Pass on what has come meanwhile, and what comes."""
        self._flows.set()

    def break_off_after(self, count: int) -> None:
        """Pass only so many bytes more on to the server, as if the client froze while it sends."""
        self._left = count

    def cut(self) -> None:
        """End both connections at once; what was not passed on is lost."""
        for end in (self._client, self._server):
            with suppress(OSError):
                # Closed with a reset: neither side may take it for an orderly end.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._flows.set()

    def close(self) -> None:
        """Let go of both sockets."""
        for end in (self._client, self._server):
            end.close()

    def _to_server(self) -> None:
        with self._ending():
            while piece := self._client.recv(_PIECE):
                self._flows.wait()
                self.last_request = piece if not self._asked else self.last_request + piece
                self._asked = True
                if self._left is not None:
                    piece, self._left = piece[: self._left], max(0, self._left - len(piece))
                self._server.sendall(piece)

    def _to_client(self) -> None:
        with self._ending():
            while piece := self._server.recv(_PIECE):
                if self._asked:
                    self._asked = False
                    self._proxy.passed(self)
                self._flows.wait()
                self._client.sendall(piece)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        with suppress(OSError):
            yield
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._proxy.forget(self)


class Proxy:
    """Listens on a port of its own and passes every connection on to a server.

    Args:
        port: of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._mutex = threading.Lock()
        self._links: dict[int, Link] = {}
        self._trips = 0
        self._watcher: Watcher | None = None
        self._stalls = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def links(self) -> list[Link]:
        """The connections that are open."""
        with self._mutex:
            return list(self._links.values())

    @property
    def trips(self) -> int:
        """How many round trips there were."""
        return self._trips

    def watch(self, watcher: Watcher | None) -> None:
        """Tell somebody of each round trip, counted over all links, or nobody any more."""
        with self._mutex:
            self._watcher, self._trips = watcher, 0

    def link_from(self, port: int) -> Link:
        """Return the link whose connection to the server comes from this port."""
        with self._mutex:
            return next(link for link in self._links.values() if link.port == port)

    def cut(self) -> None:
        """Cut every connection; new ones are welcome."""
        for link in self.links:
            link.cut()

    def stall(self) -> None:
        """Let every connection stand still, those to come too."""
        self._stalls = True
        for link in self.links:
            link.stall()

    def resume(self) -> None:
        """Let all go on."""
        self._stalls = False
        for link in self.links:
            link.resume()

    def close(self) -> None:
        """Cut all, and listen no more."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def passed(self, link: Link) -> None:
        """Count a round trip."""
        with self._mutex:
            self._trips += 1
            watcher, number = self._watcher, self._trips
        if watcher is not None:
            watcher(link, number)

    def forget(self, link: Link) -> None:
        """Drop a link that has ended; its second direction closes the sockets."""
        with self._mutex:
            known = self._links.pop(link.port, None)
        if known is None:
            link.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                continue
            self._link(client, server)

    def _link(self, client: socket.socket, server: socket.socket) -> None:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.settimeout(None)
        link = Link(client, server, self)
        if self._stalls:
            link.stall()
        with self._mutex:
            self._links[link.port] = link
        link.start()


@contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """Give a proxy to a server on this machine."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()

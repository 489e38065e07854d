"""One worker process: handles what there is until it is told to stop.

    python -m examples.shop.worker --store sqlite:///shop.db

As many as you like may run on one store, and any of them may be killed.
"""

import argparse
import signal
import threading
from datetime import timedelta

from examples.shop.shop import DEFAULT_STORE, open_shop
from sourced import App, Settings

IDLE = 0.05
"""How long to wait, in seconds, when there was nothing to do."""

LEASE = 15.0
"""How long, in seconds, the claims of a worker that is not heard of are kept from the others."""


def work(app: App, ended: threading.Event, *, threads: int = 1) -> None:
    """Handle whatever is ready, again and again."""
    while not ended.is_set():
        drained = app.drain(threads=threads, stopping=ended.is_set)
        if not drained.handled:
            ended.wait(IDLE)


def run(store: str, *, threads: int = 1, lease: float = LEASE) -> None:
    """Work until TERM or INT."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    trusted = timedelta(seconds=lease)
    shop = open_shop(store, settings=Settings(lease=trusted, heartbeat=trusted / 5))
    with shop.app as app:
        work(app, ended, threads=threads)


def main() -> None:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop.worker", description=__doc__)
    parser.add_argument("--store", default=DEFAULT_STORE)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--lease", type=float, default=LEASE, help="seconds")
    given = parser.parse_args()
    run(given.store, threads=given.threads, lease=given.lease)


if __name__ == "__main__":
    main()

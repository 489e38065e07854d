"""Forks a worker of the shop for every line it reads, and answers with its process id.

Importing a worker takes longer than one lives that is killed every second; forked from a process
that has imported everything and opened nothing, it is at work at once.

Usage: python worker_nursery.py STORE
"""

import os
import signal
import sys
from datetime import timedelta

from examples.shop.worker import run
from sourced import Settings

# What the dead held is little, and soon taken over.
SETTINGS = Settings(
    lease=timedelta(seconds=2), heartbeat=timedelta(milliseconds=400), max_streams=10
)


def main(store: str) -> None:
    # The dead need no burial: nobody waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(store, settings=SETTINGS)
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

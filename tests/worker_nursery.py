"""Forks a worker of the shop for every line it reads, and answers with its process id.

Importing a worker takes longer than one lives that is killed every second; forked from a process
that has imported everything and opened nothing, it is at work at once.

Usage: python worker_nursery.py STORE LEASE
"""

import os
import signal
import sys

from examples.shop.worker import run


def main(store: str, lease: float) -> None:
    # The dead need no burial: nobody waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(store, lease=lease)
            os._exit(0)
        print(child, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

"""One worker process: handles what comes, until it is told to stop.

    python -m examples.shop.worker --store sqlite:///shop.db

As many as you like may run on one store, and any of them may be killed.
"""

import argparse
import sys

from examples.shop.shop import DEFAULT_STORE, open_shop
from sourced import Settings
from sourced.runtime import Supervisor


def run(store: str, *, threads: int = 1, settings: Settings | None = None) -> int:
    """Work until TERM or INT; return the exit code."""
    with open_shop(store, settings=settings).app as app:
        return Supervisor(app, threads=threads).run().exit_code


def main() -> int:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop.worker", description=__doc__)
    parser.add_argument("--store", default=DEFAULT_STORE)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    return run(given.store, threads=given.threads)


if __name__ == "__main__":
    sys.exit(main())

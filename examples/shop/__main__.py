"""The demonstration: a file of commands, several workers, and totals that are checked.

    python -m examples.shop [--store sqlite:///shop.db] [--workers 3]

Run it again: it changes nothing.
"""

import argparse
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy.engine import make_url

from examples.shop import work
from examples.shop.command_file import read_lines
from examples.shop.intake import Intake, take_in
from examples.shop.report import report
from examples.shop.shop import DEFAULT_STORE, Shop, open_shop
from sourced.errors import StoreUrlError

COMMANDS = Path(__file__).with_name("commands.jsonl")


def main() -> int:
    """Run the demonstration; return 0 if its checks passed."""
    given = _arguments()
    try:
        shop = open_shop(given.store)
    except StoreUrlError as error:
        print(error, file=sys.stderr)
        return 2
    if given.fresh:
        _forget(given.store)
    try:
        with shop.app:
            shop.install()
            intake = _intake(shop, given.commands)
            _handle(shop, given)
            passed = report(shop, intake)
    except work.StuckError as error:
        print(f"\nNothing moves any more:\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Run it again: it goes on where it was.", file=sys.stderr)
        return 130
    print("\nAll checks passed." if passed else "\nA check failed.")
    return 0 if passed else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.shop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", default=DEFAULT_STORE, help="a URL, or memory:// (%(default)s)")
    parser.add_argument(
        "--commands",
        type=Path,
        default=COMMANDS,
        help="a file of JSON lines, the only one of its store",
    )
    parser.add_argument("--workers", type=_count, default=3, help="processes (%(default)s)")
    parser.add_argument("--threads", type=_count, default=1, help="of each process (%(default)s)")
    parser.add_argument("--fresh", action="store_true", help="forget what the store holds, first")
    given = parser.parse_args()
    if not given.commands.is_file():
        parser.error(f"there is no file {given.commands}")
    return given


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


def _intake(shop: Shop, commands: Path) -> Intake:
    """Record all commands before the first is handled.

    So each payment's card stands before the end of its time to pay, however slow the workers are:
    see `orders.Order.ask`.
    """
    began = time.monotonic()
    with commands.open("rb") as lines:
        intake = take_in(shop.app, read_lines(lines))
    _tell(f"{intake.lines:,} lines read in {time.monotonic() - began:.1f} s")
    return intake


def _handle(shop: Shop, given: argparse.Namespace) -> None:
    began, before = time.monotonic(), shop.app.store.inspect.status().messages
    with _workers(shop, given):
        work.wait_until_quiet(shop.app, _progress)
    seconds = time.monotonic() - began
    more = shop.app.store.inspect.status().messages - before
    _tell(f"{more:,} more messages caused and handled in {seconds:.1f} s")


def _workers(shop: Shop, given: argparse.Namespace) -> AbstractContextManager[None]:
    if given.store.startswith("memory:"):
        return work.in_process(shop.app, threads=given.threads)
    return work.processes(given.store, count=given.workers, threads=given.threads)


def _forget(store: str) -> None:
    """Delete the files of a SQLite store."""
    if store.startswith("memory:"):
        return
    database = make_url(store).database
    assert database is not None, f"{store} names no file"
    for suffix in ("", "-wal", "-shm"):
        Path(database + suffix).unlink(missing_ok=True)


def _progress(pending: int, scheduled: int) -> None:
    """Show how far it is, where somebody is watching."""
    if sys.stderr.isatty():
        line = f"{pending:,} messages pending, {scheduled:,} scheduled"
        print(f"\r{line:60}", end="" if pending or scheduled else "\r", file=sys.stderr, flush=True)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

"""A model of the storage protocol: every interleaving of its statements, within small bounds.

Run it as a script:

    python docs/explanation/storage_model.py                all scenarios, with the shortest traces
    python docs/explanation/storage_model.py --short        what takes seconds
    python docs/explanation/storage_model.py renamed        the scenarios of this in their names

What it is. Processes append, claim, commit, reset, register and so on, statement by statement, on a
database that has what matters of PostgreSQL at READ COMMITTED: a statement sees what was committed
before it and what its own transaction wrote; locks of streams, deliveries and groups, and advisory
ones, are held until the end of the transaction; a claim may be lost in a crash. Around them leases
end and processes die. The search goes breadth first through every state that can be reached, and
compares each commit with a ledger of what was promised.

What it shows. In each scenario the store as it was built keeps all rules. Beside it stand other
ways to do the same, most of them what one writes first; the search finds the rule that they break,
and the shortest way there. What holds here holds for a few processes, streams and messages, and for
the statements as the model has them: the tests on a real server show that those are the server's.

Read `storage.md` for the protocol itself. Change it here first, then in SQL. The model's parts:

    choices      the points at which a store may go wrong
    world        a state of database and processes; connection: what a transaction does to it
    ledger       the rules
    append, hand, commit, worker, reset, register, unsubscribe, handle_now, operators
                 the verbs, one class each, a method for each statement
    environment  what happens to processes
    search       the search
    scenarios    who does what at the same time
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Sequence

from storage_protocol.choices import Choices
from storage_protocol.scenarios import SCENARIOS, Scenario
from storage_protocol.search import Found, search

__all__ = ["LIMIT", "main"]

LIMIT = 500_000
"""States of one search; what is not looked at then is said."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Search scenarios and print what is found; return 1 if anything is not as expected."""
    parser = argparse.ArgumentParser(description="Search a model of the storage protocol.")
    parser.add_argument("name", nargs="?", default="", help="a part of scenarios' names")
    parser.add_argument("--short", action="store_true", help="leave out what takes minutes")
    options = parser.parse_args(arguments)
    chosen = [one for one in SCENARIOS if options.name.lower() in one.name.lower()]
    gc.disable()  # states refer to states before them only: there are no cycles to look for
    began, states, surprises = time.monotonic(), 0, 0
    for scenario in chosen:
        print(f"\n{scenario.name}")
        for found, is_expected in _searched(scenario, is_short=options.short):
            states += found.states
            surprises += not is_expected
    seconds = time.monotonic() - began
    print(f"\n{len(chosen)} scenarios, {states:,} states, {seconds:.0f} s; {surprises} surprises")
    return 1 if surprises or not chosen else 0


def _searched(scenario: Scenario, *, is_short: bool) -> list[tuple[Found, bool]]:
    results = [_tried(one.what, scenario, one.choices, one.breaks) for one in scenario.wrong]
    if not (is_short and scenario.is_long):
        results.append(_tried("as built", scenario, scenario.built, ""))
    return results


def _tried(what: str, scenario: Scenario, choices: Choices, breaks: str) -> tuple[Found, bool]:
    """Search, print what was found, and tell whether that was expected."""
    began = time.monotonic()
    found = search(scenario.bounds, choices, limit=LIMIT)
    rule = found.violation.rule if found.violation else ""
    surprise = "" if rule == breaks else "   NOT EXPECTED"
    print(f"    {what}: {_result(found)} ({_effort(found, began)}){surprise}")
    for number, label in enumerate(found.trace, 1):
        print(f"        {number:2} {label}")
    return found, rule == breaks


def _result(found: Found) -> str:
    if found.violation is not None:
        return str(found.violation)
    return "holds" if found.is_complete else "holds as far as was looked"


def _effort(found: Found, began: float) -> str:
    return f"{found.states:,} states, {time.monotonic() - began:.1f} s"


if __name__ == "__main__":
    sys.exit(main())

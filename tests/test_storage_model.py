"""The storage model, in its short form: what was built holds, and what was not would not hold."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from storage_protocol.choices import BUILT, Choices
from storage_protocol.scenarios import SCENARIOS, Scenario, Wrong
from storage_protocol.search import search

EXPLANATION = Path(__file__).parent.parent / "docs" / "explanation"
MODEL = EXPLANATION / "storage_model.py"
FIRST_STATES = 1_000
"""How many states are looked at here where all of them take longer; the script looks at all."""

each_scenario = pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS]
)
each_wrong_way = pytest.mark.parametrize(
    ("scenario", "wrong"),
    [(scenario, wrong) for scenario in SCENARIOS for wrong in scenario.wrong],
    ids=[f"{scenario.name}: {wrong.what}" for scenario in SCENARIOS for wrong in scenario.wrong],
)


@each_scenario
def test_what_was_built_keeps_all_rules(scenario: Scenario) -> None:
    limit = FIRST_STATES if scenario.is_long else 20_000

    found = search(scenario.bounds, scenario.built, limit=limit)

    assert found.violation is None, "\n".join(found.trace)
    assert found.is_complete != scenario.is_long


@each_wrong_way
def test_another_way_breaks_the_rule_that_it_is_said_to(scenario: Scenario, wrong: Wrong) -> None:
    found = search(scenario.bounds, wrong.choices, limit=20_000)

    if wrong.breaks:
        assert found.violation is not None
        assert found.violation.rule == wrong.breaks
        assert found.trace
    else:
        assert found.violation is None
        assert found.is_complete


def test_every_choice_matters() -> None:
    """Each is made otherwise in some scenario, and breaks a rule there."""
    breaking = [wrong.choices for one in SCENARIOS for wrong in one.wrong if wrong.breaks]
    tried = {
        field.name
        for field in fields(Choices)
        for choices in breaking
        if getattr(choices, field.name) != getattr(BUILT, field.name)
    }

    # PostgreSQL ends every deadlock: there the model as built is the one that is otherwise.
    assert tried == {field.name for field in fields(Choices)} - {"ends_deadlocks"}
    assert any(scenario.built.ends_deadlocks for scenario in SCENARIOS)


def test_the_page_tells_how_many_there_are() -> None:
    ways = [wrong for scenario in SCENARIOS for wrong in scenario.wrong]

    page = (EXPLANATION / "storage.md").read_text()

    assert f"{len(SCENARIOS)} scenarios, with {len(ways)} other ways" in page
    assert f"Of the other ways {sum(bool(one.breaks) for one in ways)} break a rule" in page


def test_a_trace_is_a_shortest_one() -> None:
    (scenario,) = [one for one in SCENARIOS if one.name == "two appends to the same two streams"]

    found = search(scenario.bounds, scenario.wrong[0].choices)

    assert found.trace == (
        "append (1): begin, share subscriptions",
        "append (1): lock A",
        "append (2): begin, share subscriptions",
        "append (2): lock B",
    )


def test_the_script_says_what_it_found() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", MODEL, "An ack against an append"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "as built: holds" in ran.stdout
    assert "a snapshot older than the lock: I2: G/A has [2] to handle, no delivery" in ran.stdout
    assert "1 scenarios" in ran.stdout
    assert "0 surprises" in ran.stdout


def test_the_script_fails_when_no_scenario_has_the_name() -> None:
    ran = subprocess.run(
        [sys.executable, MODEL, "no such scenario"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 1

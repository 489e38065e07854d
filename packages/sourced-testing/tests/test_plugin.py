"""The plugin's fixtures: an empty store and its clock, on the store that the command line names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sourced._store import Store
from sourced.memory import MemoryStore
from sourced_testing import FakeClock
from sourced_testing.conformance._given import message

pytest_plugins = ["pytester"]


def test_the_plugin_loads_only_pytest_and_the_standard_library() -> None:
    check = (
        "import sys, sourced_testing_plugin\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'sourced', 'sourced_testing', 'typing_extensions'}))"
    )

    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_store_is_empty_and_goes_by_the_fake_clock(
    sourced_store: Store, sourced_clock: FakeClock
) -> None:
    before = sourced_store.now()

    sourced_clock.advance(60)

    assert (sourced_store.now() - before).total_seconds() == 60
    assert sourced_store.inspect.status().messages == 0


def test_the_store_is_in_memory_unless_the_command_line_says_otherwise(
    sourced_store: Store, pytestconfig: pytest.Config
) -> None:
    if pytestconfig.getoption("--sourced-store") != "memory":
        pytest.skip("another store was asked for")

    assert isinstance(sourced_store, MemoryStore)
    assert sourced_store.append([message()]).messages[0].seq == 1


def test_no_fixture_is_used_unless_asked_for(request: pytest.FixtureRequest) -> None:
    assert [name for name in request.fixturenames if name.startswith("sourced_")] == []


def test_a_store_that_nobody_opens_is_refused_with_what_to_install(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_store(sourced_store): pass")

    result = pytester.runpytest_subprocess(
        "--sourced-store=oracle://host/db", "-p", "no:cacheprovider"
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*unknown store scheme 'oracle'*"])


def test_what_the_readme_shows_passes(pytester: pytest.Pytester) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    blocks = re.findall(r"^```python$(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    pytester.makepyfile("\n".join(blocks))

    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q")

    outcomes = result.parseoutcomes()
    assert outcomes.keys() == {"passed"}
    assert outcomes["passed"] > 50


def test_the_option_is_explained_in_the_help(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--help")

    result.stdout.fnmatch_lines(["*--sourced-store=STORE*"])

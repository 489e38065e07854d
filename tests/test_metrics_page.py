"""The page of metrics says of each what the code says, and names no other."""

import re
from pathlib import Path

from sourced.telemetry import METRICS

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "metrics.md"
HOW_TO = PAGE.parent.parent / "how-to" / "watch-workers.md"
ROW = re.compile(r"^\| `(sourced_\w+)` \| (\w+) \| (.*) \| (.*) \|$", re.MULTILINE)


def test_the_page_has_a_row_for_each_metric_and_for_no_other() -> None:
    rows = ROW.findall(PAGE.read_text())

    assert rows == [
        (each.name, each.kind, ", ".join(f"`{label}`" for label in each.labels) or "–", each.help)
        for each in METRICS
    ]


def test_pages_name_no_metric_that_there_is_not() -> None:
    known = {each.name for each in METRICS}

    for page in (PAGE, HOW_TO):
        assert set(re.findall(r"\bsourced_[a-z_]+\b", page.read_text())) <= known


def test_names_say_their_unit() -> None:
    for each in METRICS:
        assert each.name.startswith("sourced_")
        assert each.name.endswith("_total") == (each.kind == "counter"), each.name
        assert each.kind != "histogram" or each.name.endswith("_seconds"), each.name
        assert each.help.endswith("."), each.name

"""`sourced lag`: what is pending, in one table, one document and one exit code."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from projects import Project

from sourced_cli._lag import GroupLag, Lag, Limits, render
from sourced_cli._render import Painter

NOW = datetime(2026, 1, 1, tzinfo=UTC)

FINE = GroupLag(
    name="Cart",
    state="ok",
    status="active",
    reason="",
    pending=0,
    pending_is_exact=True,
    pending_streams=0,
    oldest_seconds=None,
    claimed=0,
    retrying=0,
    parked=0,
    has_worker=True,
    types=frozenset(),
)


def shown(*groups: GroupLag, painter: Painter) -> str:
    return render(Lag(at=NOW, groups=groups, head=1234, scheduled=2, workers=1), painter)


@pytest.fixture
def plain() -> Painter:
    return Painter(io.StringIO())


def test_it_counts_what_is_pending_and_what_is_not(shop: Project) -> None:
    shop.installed()
    for cart in ("cart-1", "cart-2"):
        shop.send("carts.add_item", cart, "product_id=p", "price=5")

    before = shop.sourced("lag", "--json").json["data"]
    shop.sourced("workers", "--drain")
    after = shop.sourced("lag", "--json").json["data"]

    figures = {
        g["name"]: (g["state"], g["pending"], g["pending_streams"]) for g in before["groups"]
    }
    assert figures == {"Cart": ("waiting", 2, 2), "Mailer": ("ok", 0, 0)}
    assert [g["pending"] for g in after["groups"]] == [0, 0]
    assert (before["head"], after["head"]) == (2, 4)
    assert after["groups"][0]["oldest_seconds"] is None


def test_it_says_that_no_worker_runs(shop: Project) -> None:
    shop.installed().send("carts.place", "cart-1")

    result = shop.sourced("lag")

    (row,) = [line for line in result.out.splitlines() if line.startswith("Cart ")]
    assert "○ waiting" in row
    assert row.endswith("no worker runs")


def test_only_the_groups_asked_for_are_shown(shop: Project) -> None:
    data = shop.installed().sourced("lag", "Mailer", "--json").json["data"]

    assert [group["name"] for group in data["groups"]] == ["Mailer"]


def test_a_store_without_groups_says_what_announces_them(project: Project) -> None:
    project.write(app='from sourced import App\napp = App("sqlite:///a.db")\n').installed()

    assert "sourced install" in project.sourced("lag").out


@pytest.mark.parametrize(
    ("group", "limits", "problems"),
    [
        (FINE, Limits(over=0, age=timedelta(0)), 0),
        (replace(FINE, pending=10), Limits(over=10), 0),
        (replace(FINE, pending=11), Limits(over=10), 1),
        (replace(FINE, pending=10_000, pending_is_exact=False), Limits(over=10_000), 1),
        (replace(FINE, oldest_seconds=60.0), Limits(age=timedelta(minutes=1)), 0),
        (replace(FINE, oldest_seconds=60.1), Limits(age=timedelta(minutes=1)), 1),
        (replace(FINE, pending=5, oldest_seconds=9.0), Limits(over=1, age=timedelta(0)), 2),
        (replace(FINE, pending=5, oldest_seconds=9.0), Limits(), 0),
    ],
)
def test_a_limit_is_broken_by_more_than_it(group: GroupLag, limits: Limits, problems: int) -> None:
    assert len(limits.broken_by(group)) == problems


def test_the_check_names_group_and_figure(shop: Project) -> None:
    shop.installed().send("carts.place", "cart-1")

    result = shop.sourced("lag", "--fail-over", "0", "--json")

    assert result.code == 8
    (said,) = result.json["diagnostics"]
    assert (said["subject"], said["message"]) == ("Cart", "1 pending, more than 0")
    assert result.json["data"]["groups"]


def test_watching_ends_with_a_broken_limit_and_gives_a_document_on_each_line(
    shop: Project,
) -> None:
    shop.installed().send("carts.place", "cart-1")

    result = shop.sourced("lag", "--watch", "--interval", "10ms", "--fail-over", "0", "--json")

    assert result.code == 8
    assert [line["status"] for line in result.lines] == ["ok", "failed"]


def test_each_state_has_its_word_and_its_note(plain: Painter) -> None:
    groups = [
        replace(FINE, name="a", state="stopped", status="stopped", reason="mend \x1b[31mit"),
        replace(FINE, name="b", state="parked", parked=2),
        replace(FINE, name="c", state="retrying", pending=12_345, retrying=1, oldest_seconds=2472),
        replace(
            FINE,
            name="d",
            state="waiting",
            pending=10_000,
            pending_is_exact=False,
            has_worker=False,
        ),
    ]

    text = shown(*groups, painter=plain)

    rows = [line.split() for line in text.splitlines()]
    assert rows[1][:3] == ["a", "■", "stopped"]
    assert text.splitlines()[1].endswith("mend \\x1b[31mit")
    assert text.splitlines()[2].endswith("2 streams wait for an operator")
    assert rows[3][3:5] == ["12,345", "41m12s"]
    assert "10,000+" in text
    assert rows[4][-3:] == ["no", "worker", "runs"]
    assert text.splitlines()[-1] == "head #1,234 · 4 groups · 1 worker · 2 scheduled"


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_no_colour_goes_into_a_pipe_unless_it_is_asked_for(
    shop: Project, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], coloured: bool
) -> None:
    shop.installed()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    result = shop.sourced("lag")

    assert ("\x1b" in result.out) is coloured
    assert "\x1b" not in shop.sourced("lag", "--json").out

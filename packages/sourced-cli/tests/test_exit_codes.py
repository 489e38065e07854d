"""Every exit code, each by at least two ways, and none that is not in the table."""

from __future__ import annotations

import inspect
import sqlite3
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from projects import Project

from sourced import errors
from sourced_cli._exit import Code, CommandError, code_of

UNKNOWN = "01a20a46-c71e-7000-a431-e51b7f8d3985"
BROKEN = """
from sourced import App

class Odd(App):
    @property
    def reactors(self):
        return 1 / 0

app = Odd("sqlite:///odd.db")
app.store.install()
"""


def code(project: Project, *arguments: str) -> int:
    """The exit code, after seeing that the document under --json tells the same story."""
    text = project.sourced(*arguments)
    document = project.sourced(*arguments, "--json")
    assert text.code == document.code
    status = document.lines[-1]["status"] if document.out else "ok"
    assert status == {0: "ok", 8: "failed"}.get(text.code, "error")
    if text.code:
        assert "error: " in text.err
        assert document.lines[-1]["diagnostics"]
    return text.code


def test_0_done(shop: Project) -> None:
    assert code(shop, "install") == 0
    assert code(shop, "lag") == 0


@pytest.mark.parametrize("command", ["commands list", "install", "workers --drain"])
def test_1_failed(project: Project, command: str) -> None:
    project.write(app=BROKEN)

    result = project.sourced(*command.split())

    assert code(project, *command.split()) == 1
    assert "error: ZeroDivisionError: division by zero" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("lagg",),
        ("lag", "--fail-over", "-1"),
        ("lag", "--fail-age", "soon"),
        ("messages", "show", "not-an-id"),
        ("messages", "tail", "-n", "few"),
        ("commands", "send", "carts.add_item", "--to", "cart-1"),
        ("workers", "--threads", "0"),
        ("new", "Not A Name"),
    ],
    ids=" ".join,
)
def test_2_usage(shop: Project, arguments: tuple[str, ...]) -> None:
    assert code(shop.installed(), *arguments) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("lag", "--app", "nowhere:app"),
        ("lag", "--dsn", "nonsense"),
        ("lag", "--dsn", "carrier-pigeon://loft"),
        ("install", "--app", "app:nothing"),
    ],
    ids=" ".join,
)
def test_3_app_or_configuration(shop: Project, arguments: tuple[str, ...]) -> None:
    assert code(shop, *arguments) == 3


@pytest.mark.parametrize("command", ["lag", "messages tail", "install", "workers --drain"])
def test_4_store_unreachable(shop: Project, command: str) -> None:
    (shop.folder / "shop.db").mkdir()

    assert code(shop, *command.split()) == 4


def test_4_what_is_no_database(shop: Project) -> None:
    (shop.folder / "shop.db").write_text("not a database, " * 100)

    assert code(shop, "lag") == 4


@pytest.mark.parametrize(
    "command",
    [
        "lag",
        "messages tail",
        f"messages show {UNKNOWN}",
        f"messages trace {UNKNOWN}",
        "workers --drain",
        "commands send carts.place --to c",
    ],
)
def test_5_schema_missing(shop: Project, command: str) -> None:
    result = shop.sourced(*command.split())

    assert code(shop, *command.split()) == 5
    assert "sourced install" in result.err


def test_5_schema_ahead(shop: Project) -> None:
    shop.installed()
    with sqlite3.connect(shop.folder / "shop.db") as connection:
        (table,) = connection.execute(
            "SELECT name FROM sqlite_master WHERE type='table' AND name LIKE '%migrations'"
        ).fetchone()
        connection.execute(f"UPDATE {table} SET version = 99")  # noqa: S608 - a table of the test's
    connection.close()

    assert code(shop, "install") == 5
    assert code(shop, "workers", "--drain") == 5


@pytest.mark.parametrize(
    "arguments",
    [
        ("lag", "Nobody"),
        ("messages", "show", UNKNOWN),
        ("messages", "trace", UNKNOWN),
        ("messages", "tail", "--stream", "nowhere"),
        ("commands", "info", "carts.add_itm"),
        ("commands", "send", "carts.add_itm", "--to", "c"),
        ("workers", "--groups", "Nobody", "--drain"),
    ],
    ids=" ".join,
)
def test_6_not_found(shop: Project, arguments: tuple[str, ...]) -> None:
    assert code(shop.installed(), *arguments) == 6


@pytest.mark.parametrize(
    "arguments", [("lag", "Crat"), ("workers", "--groups", "Crat", "--drain")], ids=" ".join
)
def test_an_unknown_group_is_told_once_with_the_nearest_and_where_they_are_listed(
    shop: Project, arguments: tuple[str, ...]
) -> None:
    result = shop.installed().sourced(*arguments)

    assert result.code == 6
    assert result.err == (
        "error: no group 'Crat'; did you mean 'Cart'?\n  → list them: sourced lag\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lag", "Nobody"), "error: no group 'Nobody'"),
        (("messages", "tail", "--stream", "nowhere"), "error: no stream 'nowhere'"),
        (("messages", "show", UNKNOWN), f"error: no message {UNKNOWN}"),
    ],
)
def test_what_is_not_there_is_named_once(
    shop: Project, arguments: tuple[str, ...], said: str
) -> None:
    text = shop.installed().sourced(*arguments)
    document = shop.sourced(*arguments, "--json").json

    assert text.err.splitlines()[0] == said
    assert document["diagnostics"][0]["subject"] == arguments[-1]
    assert document["diagnostics"][0]["hint"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("new", "full"),
        ("commands", "send", "carts.item_added", "--to", "c"),
        ("commands", "send", "orphans.command", "--to", "c"),
    ],
    ids=" ".join,
)
def test_7_refused(shop: Project, arguments: tuple[str, ...]) -> None:
    (shop.folder / "full").mkdir()
    (shop.folder / "full" / "file").touch()

    assert code(shop.installed(), *arguments) == 7


def test_7_an_id_that_belongs_to_another_message(shop: Project) -> None:
    identity = shop.installed().send("carts.place", "cart-1")

    assert code(shop, "commands", "send", "carts.place", "--to", "cart-2", "--id", identity) == 7


def test_8_a_check_failed(shop: Project) -> None:
    shop.installed().send("carts.place", "cart-1")

    assert code(shop, "lag", "--fail-over", "0") == 8
    assert code(shop, "lag", "--fail-age", "0s") == 8
    assert code(shop, "commands", "send", "carts.place", "--to", "cart-1", "--wait", "0") == 8


def test_every_error_of_the_kernel_has_its_code() -> None:
    made = {
        errors.UnknownGroupError("g"): 6,
        errors.UnknownTypeError("t", "Command"): 6,
        errors.NotFoundError("no"): 6,
        errors.PayloadError("t", {"a": ["b"]}): 2,
        errors.HandlerError("f", "no"): 3,
        errors.RegistrationError("no"): 3,
        errors.StoreUrlError("no"): 3,
        errors.StatementTimeoutError("no"): 4,
        errors.StreamLockedError("no"): 4,
        errors.SchemaError("no"): 5,
        errors.ConcurrencyError("s", 1, 2): 7,
        errors.DuplicateMessageError(uuid4(), "s", 1, "t"): 7,
        errors.IsolationError("no"): 7,
        errors.ClaimLostError("g", "s"): 7,
        errors.CommitRefusedError({}): 7,
        errors.BusyError("g", "s", "held", datetime.now(UTC)): 7,
        errors.StreamParkedError("g", "s"): 7,
        errors.GroupStoppedError("g", "s"): 7,
        errors.WorkerDiedError("g", "s", 3): 7,
        errors.WaitTimeoutError(["x"], 1): 8,
        errors.LoopError(3, ["a"]): 1,
        errors.UsageError("no"): 1,
    }
    leaves = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.SourcedError) and not kind.__subclasses__()
    }

    assert {type(error) for error in made} | {errors.DuplicateTypeError} == leaves
    assert {error: code_of(error) for error in made} == made
    assert code_of(errors.StoreUnavailableError("no")) == 4


def test_all_else_has_a_code_too() -> None:
    assert code_of(CommandError(Code.CONFIRM, "no", name="x")) == 9
    assert code_of(KeyboardInterrupt()) == 130
    assert code_of(RuntimeError()) == 1
    assert {int(each) for each in Code} == {*range(10), 70, 130, 143}


def test_a_failure_of_the_users_code_shows_its_traceback(project: Project) -> None:
    project.write(app=BROKEN)

    assert "Traceback" in project.sourced("commands", "list").err
    assert "Traceback" not in project.sourced("lag", "--app", "nowhere:app").err

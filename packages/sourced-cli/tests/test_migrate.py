"""`sourced migrate` and `sourced install --dsn` where the store has no migrations: SQLite."""

from __future__ import annotations

import pytest
from projects import Project

VERBS = [("migrate", "status"), ("migrate", "up"), ("migrate", "sql")]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("store", [("--dsn", "sqlite:///shop.db"), ("--app", "app:app")])
def test_a_store_without_migrations_says_so(
    shop: Project, verb: tuple[str, ...], store: tuple[str, ...]
) -> None:
    shop.installed()

    text = shop.sourced(*verb, *store)
    document = shop.sourced(*verb, *store, "--json")

    assert (text.code, document.code) == (7, 7)
    assert "error: the store sqlite:///shop.db has no migrations" in text.err
    assert "sourced install" in text.err
    assert document.codes == ["store.no-migrations"]


def test_install_needs_no_app_for_the_tables(project: Project) -> None:
    dry = project.sourced("install", "--dsn", "sqlite:///shop.db", "--dry-run")
    first = project.sourced("install", "--dsn", "sqlite:///shop.db")
    second = project.sourced("install", "--dsn", "sqlite:///shop.db", "--json")

    assert "tables would be made in sqlite:///shop.db" in dry.out
    assert "made the tables in sqlite:///shop.db" in first.out
    assert "groups are announced" in first.err
    assert second.json["data"] == {
        "app": None,
        "store": "sqlite:///shop.db",
        "tables": "present",
        "role": None,
        "groups": [],
        "dry_run": False,
    }
    assert second.codes == []


def test_install_takes_an_app_or_a_url_and_not_both(shop: Project) -> None:
    result = shop.sourced("install", "--app", "app:app", "--dsn", "sqlite:///other.db")

    assert result.code == 2
    assert not (shop.folder / "other.db").exists()


def test_install_grants_a_role_only_where_there_are_roles(shop: Project) -> None:
    result = shop.sourced("install", "--role", "worker")

    assert result.code == 7
    assert "has no roles" in result.err
    assert not (shop.folder / "shop.db").exists()


@pytest.mark.parametrize("after", ["-1", "1.5", "newest"])
def test_a_version_is_a_number(shop: Project, after: str) -> None:
    assert shop.sourced("migrate", "sql", "--after", after).code == 2

"""`sourced install`: says what it did, does nothing twice, and nothing at all when it is dry."""

from __future__ import annotations

from projects import SHOP, Project


def test_it_makes_tables_and_announces_groups_and_a_second_time_nothing(shop: Project) -> None:
    first = shop.sourced("install", "--json").json["data"]
    second = shop.sourced("install", "--json").json["data"]

    assert first["tables"] == "made"
    assert {g["name"]: g["state"] for g in first["groups"]} == {"Cart": "new", "Mailer": "new"}
    assert second["tables"] == "present"
    assert {g["name"]: g["state"] for g in second["groups"]} == {"Cart": "known", "Mailer": "known"}


def test_a_dry_run_says_the_same_and_writes_nothing(shop: Project) -> None:
    result = shop.sourced("install", "--dry-run")

    assert "tables would be made in sqlite:///shop.db" in result.out
    assert "would announce group Cart" in result.out
    assert not (shop.folder / "shop.db").exists()


def test_types_that_a_group_handles_now_are_named(shop: Project) -> None:
    shop.installed()
    shop.write(app=SHOP.replace("message: Mail)", "message: Mail | ItemAdded)"))

    planned = shop.sourced("install", "--dry-run")
    done = shop.sourced("install")

    assert "group Mailer would handle carts.item_added too" in planned.out
    assert "group Mailer now handles carts.item_added too" in done.out
    assert shop.sourced("install", "--json").json["data"]["groups"][1]["added_types"] == []

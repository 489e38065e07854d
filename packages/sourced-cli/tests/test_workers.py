"""`sourced workers --drain`: what it handles, what it leaves, and what it says of it."""

from __future__ import annotations

from projects import SHOP, Project


def test_a_drain_handles_what_is_there_and_counts_it(shop: Project) -> None:
    shop.installed()
    shop.send("carts.add_item", "cart-1", "product_id=tea", "price=300")
    shop.send("carts.place", "cart-1")

    result = shop.sourced("workers", "--drain", "--json")

    assert result.code == 0
    data = result.json["data"]
    assert (data["handled"], data["retried"], data["parked"], data["left"]) == (4, 0, 0, {})
    assert shop.sourced("workers", "--drain").out == "0 handled, 0 retried, 0 parked\n"


def test_due_messages_are_promoted_and_handled(shop: Project) -> None:
    shop.installed()
    shop.sourced("commands", "send", "carts.place", "--to", "c", "--after", "1ms")
    shop.sourced("commands", "send", "carts.place", "--to", "c", "--after", "1h")

    assert shop.sourced("workers", "--drain", "--json").json["data"]["handled"] >= 1
    assert shop.sourced("lag", "--json").json["data"]["scheduled"] == 1


def test_what_waits_for_a_retry_stays_and_is_told(shop: Project) -> None:
    shop.installed().send("carts.place", "cart-1")

    result = shop.sourced("workers", "--drain")

    assert result.code == 0
    assert "2 handled, 1 retried, 0 parked" in result.out
    assert "left: Mailer 1 pending, 1 retrying" in result.out


def test_what_is_parked_is_told(shop: Project) -> None:
    never = SHOP.replace("import Actor,", "import ErrorPolicy, Actor,").replace(
        'App("sqlite:///shop.db")', 'App("sqlite:///shop.db", errors=ErrorPolicy(retries=0))'
    )
    shop.write(app=never).installed().send("carts.place", "cart-1")

    data = shop.sourced("workers", "--drain", "--json").json["data"]

    assert (data["parked"], data["left"]) == (1, {"Mailer": {"parked": 1}})


def test_only_the_groups_asked_for_work(shop: Project) -> None:
    shop.installed().send("carts.place", "cart-1")

    data = shop.sourced("workers", "--drain", "--groups", "Mailer", "--json").json["data"]

    assert (data["handled"], data["left"]["Cart"]["pending"]) == (0, 1)


def test_an_address_that_is_none_is_a_wrong_use(shop: Project) -> None:
    result = shop.sourced("workers", "--health", "8080")

    assert result.code == 2
    assert "expected an address such as 127.0.0.1:8080" in result.err


def test_an_app_without_reactors_has_nothing_to_work_for(project: Project) -> None:
    project.write(app='from sourced import App\napp = App("sqlite:///a.db")\n')

    result = project.sourced("workers", "--drain", "--json")

    assert (result.code, result.codes) == (3, ["app.empty"])

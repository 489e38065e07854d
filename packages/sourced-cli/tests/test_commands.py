"""`sourced commands`: which there are, what they take, and sending one or none."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from projects import SHOP, Project


def send(project: Project, *arguments: str) -> tuple[int, Any, list[dict[str, str]]]:
    result = project.sourced("commands", "send", *arguments, "--json")
    document = result.json
    return result.code, document["data"], document["diagnostics"]


def in_log(project: Project) -> int:
    return len(project.sourced("messages", "tail", "-n", "1000", "--json").lines)


# --- list and info --------------------------------------------------------------------------------


def test_the_commands_that_groups_handle_are_listed_with_their_schemas(shop: Project) -> None:
    data = shop.sourced("commands", "list", "--json").json["data"]

    assert [(each["type"], each["group"]) for each in data] == [
        ("carts.add_item", "Cart"),
        ("carts.place", "Cart"),
        ("mail.send", "Mailer"),
    ]
    assert data[0]["schema"]["required"] == ["product_id", "price"]
    assert (
        "product_id: string, price: integer, quantity: integer?"
        in shop.sourced("commands", "list").out
    )


def test_listing_needs_no_store(shop: Project) -> None:
    shop.sourced("commands", "list")

    assert not (shop.folder / "shop.db").exists()


def test_info_shows_fields_rules_and_a_command_line_that_sends_it(shop: Project) -> None:
    text = shop.sourced("commands", "info", "carts.add_item").out

    assert "Put some of a product into the cart." in text
    assert [line.split() for line in text.splitlines() if line.startswith("price")] == [
        ["price", "integer", "required", "≥", "0"]
    ]
    assert text.endswith(
        "sourced commands send carts.add_item --to STREAM --field product_id=… --field price=…\n"
    )


def test_an_unknown_command_is_told_with_the_nearest(shop: Project) -> None:
    result = shop.sourced("commands", "info", "cart.add_item")

    assert result.code == 6
    assert "did you mean 'carts.add_item'?" in result.err


# --- send -----------------------------------------------------------------------------------------


def test_a_command_is_sent_and_its_place_told(shop: Project) -> None:
    code, data, _ = send(
        shop.installed(),
        "carts.add_item",
        "--to",
        "cart-1",
        "-F",
        "product_id=7",
        "-F",
        "price=300",
    )

    assert (code, data["sent"], data["stream_id"], data["seq"]) == (0, True, "cart-1", 1)
    stored = shop.sourced("messages", "show", str(data["message_id"]), "--json").json["data"]
    assert stored["payload"] == {"product_id": "7", "price": 300, "quantity": 1, "tags": []}


def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_sent(shop: Project) -> None:
    shop.installed()

    code, data, problems = send(
        shop,
        "carts.add_item",
        *("-F", "price=x", "-F", "quantity=", "-F", "colour=red", "-F", "nonsense"),
        *("--meta", "id=1", "--meta", "none", "--id", "z", "--at", "2026-01-01", "--after", "soon"),
    )

    assert (code, data) == (2, None)
    subjects = [problem["subject"] for problem in problems]
    assert sorted(subjects) == sorted(
        [
            *("--to", "--at", "--at", "--after", "--id", "meta.id"),
            *("command line", "command line", "product_id", "price", "quantity", "colour"),
        ]
    )
    assert in_log(shop) == 0


def test_a_stream_id_that_no_store_takes_is_told_with_the_rest(shop: Project) -> None:
    code, _, problems = send(shop.installed(), "carts.place", "--to", "x" * 300, "-F", "a=1")

    assert code == 2
    assert [problem["subject"] for problem in problems] == ["a", "stream_id"]


def test_a_payload_given_whole_is_completed_by_fields(shop: Project) -> None:
    payload = json.dumps({"product_id": "tea", "price": 1})

    _, data, _ = send(
        shop.installed(),
        *("carts.add_item", "--to", "c", "--payload", payload, "-F", "price=2"),
        *("-F", "tags=a", "-F", "tags=b", "--dry-run"),
    )

    assert data["payload"] == {"product_id": "tea", "price": 2, "quantity": 1, "tags": ["a", "b"]}


@pytest.mark.parametrize("payload", ["[1]", "{", "3", '{"price": NaN}'])
def test_a_payload_that_is_no_json_object_is_refused(shop: Project, payload: str) -> None:
    code, _, problems = send(shop, "carts.place", "--to", "c", "--payload", payload)

    assert code == 2
    assert problems[0]["subject"] == "--payload"


TOO_DEEP = ["[" * 100_000, "[" * 600 + "]" * 600, '{"a":' * 600 + "1" + "}" * 600]


@pytest.mark.parametrize("text", TOO_DEEP, ids=["unclosed", "list", "object"])
def test_what_is_nested_too_deeply_is_told_by_its_option_wherever_it_stands(
    shop: Project, text: str
) -> None:
    code, _, problems = send(
        shop.installed(),
        *("carts.add_item", "--to", "c", "--payload", text, "--meta", f"k={text}"),
        *("-F", f"tags={text}", "-F", f"quantity={text}"),
    )

    told = {(problem["subject"], problem["message"]) for problem in problems}
    assert code == 2
    assert ("--payload", "is nested too deeply") in told
    for option in ("--meta k", "--field tags"):
        assert ("command line", f"{option}: is nested too deeply") in told
    assert "quantity" in {subject for subject, _ in told}
    assert in_log(shop) == 0


def test_a_text_field_may_look_like_anything(shop: Project) -> None:
    deep = "[" * 100_000

    _, data, _ = send(
        shop.installed(),
        *("carts.add_item", "--to", "c", "-F", "price=1", "--dry-run"),
        *("-F", f"product_id={deep}"),
    )

    assert data["payload"]["product_id"] == deep


def test_a_key_that_is_named_twice_is_told_by_its_name_and_nothing_is_sent(shop: Project) -> None:
    code, _, problems = send(
        shop.installed(),
        *("carts.add_item", "--to", "c", "-F", 'tags=[{"a": 1, "a": 1}]'),
        *("--payload", '{"product_id": "tea", "price": 1, "price": 2}'),
        *("--meta", 'by={"who": {"name": "ana", "name": "bea"}}'),
    )

    told = {(problem["subject"], problem["message"]) for problem in problems}
    assert code == 2
    assert ("--payload", "names the key 'price' twice") in told
    assert ("command line", "--field tags: names the key 'a' twice") in told
    assert ("command line", "--meta by: names the key 'name' twice") in told
    assert in_log(shop) == 0


def test_what_is_no_json_after_all_is_a_text(shop: Project) -> None:
    text = '{"a": 1, "a": 2} is what came'

    _, data, _ = send(
        shop.installed(), "carts.place", "--to", "c", "--meta", f"note={text}", "--dry-run"
    )

    assert data["meta"] == {"note": text}


def test_meta_and_id_are_stored(shop: Project) -> None:
    identity = str(uuid4())

    send(
        shop.installed(),
        *("carts.place", "--to", "c", "--id", identity, "--meta", "user_id=7", "--meta", "by=ana"),
    )

    stored = shop.sourced("messages", "show", identity, "--json").json["data"]
    assert stored["meta"] == {"user_id": 7, "by": "ana"}


def test_sent_twice_under_one_id_it_is_recorded_once(shop: Project) -> None:
    identity = str(uuid4())
    shop.installed()

    first = send(shop, "carts.place", "--to", "c", "--id", identity)
    second = send(shop, "carts.place", "--to", "c", "--id", identity)

    assert (first[1]["sent"], second[1]["sent"]) == (True, False)
    assert (second[0], second[1]["seq"]) == (0, 1)
    assert in_log(shop) == 1


def test_a_dry_run_checks_and_sends_nothing(shop: Project) -> None:
    shop.installed()

    good = send(shop, "carts.place", "--to", "c", "--dry-run")
    bad = send(shop, "carts.place", "--dry-run")

    assert (good[0], good[1]["sent"], bad[0]) == (0, False, 2)
    assert in_log(shop) == 0


@pytest.mark.parametrize("when", [("--after", "1h"), ("--at", "2100-01-01T00:00:00Z")])
def test_a_command_for_later_is_scheduled_and_the_undo_told(
    shop: Project, when: tuple[str, str]
) -> None:
    result = shop.installed().sourced("commands", "send", "carts.place", "--to", "c", *when)

    assert result.out.startswith("scheduled carts.place for 2")
    assert "undo: app.cancel(UUID(" in result.err
    assert in_log(shop) == 0


def test_waiting_returns_when_all_that_it_caused_is_handled(shop: Project) -> None:
    shop.installed()
    receipt = shop.send("carts.add_item", "cart-1", "product_id=p", "price=1")
    shop.sourced("workers", "--drain")

    code, data, _ = send(
        shop,
        *("carts.add_item", "--to", "cart-1", "-F", "product_id=p", "-F", "price=1"),
        *("--id", receipt, "--wait", "5"),
    )

    assert (code, data["repeated"]) == (0, True)


def test_waiting_in_vain_exits_8_and_names_what_is_open(shop: Project) -> None:
    code, data, problems = send(shop.installed(), "carts.place", "--to", "c", "--wait", "0.01")

    assert (code, data["sent"]) == (8, True)
    assert "group 'Cart' has not handled carts.place" in problems[0]["message"]


def test_a_parked_stream_ends_the_wait_at_once(shop: Project) -> None:
    never = SHOP.replace("import Actor,", "import ErrorPolicy, Actor,").replace(
        'App("sqlite:///shop.db")', 'App("sqlite:///shop.db", errors=ErrorPolicy(retries=0))'
    )
    shop.write(app=never).installed()
    identity = shop.send("carts.place", "c")
    shop.sourced("workers", "--drain")

    code, _, problems = send(shop, "carts.place", "--to", "c", "--id", identity, "--wait", "60")

    assert code == 8
    assert "parked" in problems[0]["message"]


def test_ids_are_ids(shop: Project) -> None:
    UUID(shop.installed().send("carts.place", "c"))

"""`sourced messages`: the end of the log, one message, and the tree it belongs to."""

from __future__ import annotations

import itertools
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from projects import SHOP, Project

from sourced._records import NewMessage
from sourced._store import LogPage
from sourced.memory import MemoryStore
from sourced_cli._tail import LogTail, StreamTail, follow, read_to_end


@pytest.fixture
def busy(shop: Project) -> Project:
    """A shop in which two carts were filled and placed, and everything handled."""
    shop.installed()
    for cart in ("cart-1", "cart-2"):
        shop.send("carts.add_item", cart, "product_id=tea", "price=300")
        shop.send("carts.place", cart)
    assert shop.sourced("workers", "--drain", "-c", "1").code == 0  # one stream after the other
    return shop


def types(project: Project, *arguments: str) -> list[str]:
    result = project.sourced("messages", "tail", "--json", *arguments)
    assert result.code == 0, result
    return [line["data"]["type"] for line in result.lines]


def positions(project: Project, *arguments: str) -> list[int]:
    result = project.sourced("messages", "tail", "--json", *arguments)
    return [line["data"]["position"] for line in result.lines]


# --- tail -----------------------------------------------------------------------------------------


def test_the_last_messages_come_in_order(busy: Project) -> None:
    every = positions(busy, "-n", "100")

    assert every == sorted(every)
    assert len(every) == 10
    assert positions(busy, "-n", "3") == every[-3:]
    assert positions(busy, "-n", "0") == []


def test_reading_on_behind_a_position_gives_what_follows_it(busy: Project) -> None:
    every = positions(busy, "-n", "100")

    assert positions(busy, "--after", str(every[3])) == every[4:]
    assert positions(busy, "--after", str(every[3]), "-n", "2") == every[4:6]
    assert positions(busy, "--after", "0") == every


def test_only_some_types(busy: Project) -> None:
    assert types(busy, "--type", "carts.placed") == ["carts.placed"] * 2
    assert set(types(busy, "--type", "carts.placed", "--type", "mail.send")) == {
        "carts.placed",
        "mail.send",
    }
    assert len(types(busy, "--type", "carts.placed", "-n", "1")) == 1


def test_one_stream(busy: Project) -> None:
    assert types(busy, "--stream", "cart-2") == [
        "carts.add_item",
        "carts.place",
        "carts.item_added",
        "carts.placed",
    ]
    assert types(busy, "--stream", "cart-2", "-n", "1") == ["carts.placed"]
    assert types(busy, "--stream", "cart-2", "--after", "2", "-n", "1") == ["carts.item_added"]
    assert types(busy, "--stream", "cart-2", "--type", "carts.place") == ["carts.place"]


def test_a_line_says_where_when_what_and_with_which_payload(busy: Project) -> None:
    line = busy.sourced("messages", "tail", "-n", "1", "--stream", "cart-2").out.rstrip("\n")

    position, day, time, type_, stream, seq, payload = line.split()
    assert position.startswith("#")
    datetime.fromisoformat(f"{day} {time}")
    assert (type_, stream, seq, payload) == ("carts.placed", "cart-2", "#4", '{"total":300}')


def test_a_message_is_data_under_json(busy: Project) -> None:
    result = busy.sourced("messages", "tail", "-n", "1", "--json")

    (line,) = result.lines
    assert line["schema"] == "sourced.messages.tail/1"
    assert line["data"]["payload"] == {"text": "300 please"}
    assert line["data"]["meta"]["producer"] == "Cart"


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.install()
    return store


def message(stream: str = "s", type: str = "t") -> NewMessage:
    identity = uuid4()
    return NewMessage(
        id=identity,
        type=type,
        stream_id=stream,
        payload="{}",
        meta="{}",
        created_at=datetime.now(UTC),
        causation_id=identity,
        correlation_id=identity,
    )


class HeldUp(MemoryStore):
    """A store in which somebody is about to fill the place behind `settled`, and commits last."""

    settled: int | None = None

    def read_all(self, **options: object) -> LogPage:
        page = super().read_all(**options)  # type: ignore[arg-type]
        if self.settled is None or options.get("backwards"):
            return page
        return LogPage(
            messages=tuple(m for m in page.messages if m.position <= self.settled),
            next_after=min(page.next_after, self.settled),
            waiting_for=("pid 7 (import), 3 s",),
        )


def test_a_tail_never_passes_a_hole_that_may_be_filled() -> None:
    """T9."""
    store = HeldUp()
    store.install()
    store.append([message() for _ in range(5)])
    store.settled = 3
    tail = LogTail(store, last=10)

    first = list(read_to_end(tail))
    held = list(read_to_end(tail))
    store.settled = None
    rest = list(read_to_end(tail))

    assert [m.position for page in first for m in page.messages] == [1, 2, 3]
    assert [m.position for page in held for m in page.messages] == []
    assert held[0].waiting_for == ("pid 7 (import), 3 s",)
    assert [m.position for page in rest for m in page.messages] == [4, 5]


def test_following_gives_each_message_once_whenever_it_comes(store: MemoryStore) -> None:
    store.append([message() for _ in range(1_200)])
    tail = LogTail(store, last=700)
    seen = []

    for page in follow(store, tail):
        seen += [m.position for m in page.messages]
        if len(seen) == 700:
            store.append([message() for _ in range(600)])
        if len(seen) >= 1_300:
            break

    assert seen == list(range(501, 1_801))


def test_following_an_empty_log_begins_with_its_first_message(store: MemoryStore) -> None:
    tail = LogTail(store, last=5)
    store.append([message()])

    (page,) = read_to_end(tail)

    assert [m.position for m in page.messages] == [1]


@pytest.mark.parametrize("last", [0, 1, 7, 40, 100])
def test_the_last_of_a_type_in_a_stream_are_found_among_others(
    store: MemoryStore, last: int
) -> None:
    kinds = itertools.cycle(["rare", *["often"] * 9])
    store.append([message("s", next(kinds)) for _ in range(400)])

    pages = list(read_to_end(StreamTail(store, "s", types=["rare"], last=last)))

    found = [m.seq for page in pages for m in page.messages]
    assert found == list(range(1, 400, 10))[40 - min(last, 40) :]


# --- show -----------------------------------------------------------------------------------------


def test_showing_a_message_shows_all_of_it(shop: Project) -> None:
    identity = shop.installed().send("carts.add_item", "cart-1", "product_id=tea", "price=300")

    data = shop.sourced("messages", "show", identity, "--json").json["data"]
    text = shop.sourced("messages", "show", identity).out

    assert data["payload"] == {"product_id": "tea", "price": 300, "quantity": 1, "tags": []}
    assert (data["id"], data["stream_id"], data["seq"]) == (identity, "cart-1", 1)
    assert "caused by    nothing" in text
    assert '    "product_id": "tea",' in text


def test_a_type_that_is_no_longer_defined_is_shown_as_it_is_stored(busy: Project) -> None:
    """T65."""
    identity = busy.sourced("messages", "tail", "-n", "1", "--json").lines[0]["data"]["id"]
    busy.write(app='from sourced import App\napp = App("sqlite:///shop.db")\n')

    assert busy.sourced("messages", "show", identity).code == 0
    assert busy.sourced("messages", "trace", identity).code == 0


# --- trace ----------------------------------------------------------------------------------------


def outline(text: str) -> list[str]:
    """The drawing without times."""
    return [re.split(r"(?<=\w)  ", line)[0].rstrip() for line in text.splitlines()[:-1]]


@pytest.mark.parametrize("depth", [600, 100_000])
def test_a_payload_that_another_language_nested_too_deeply_is_shown_as_its_text(
    shop: Project, depth: int
) -> None:
    identity = shop.installed().send("carts.place", "cart-1")
    payload = '{"a":' * depth + "1" + "}" * depth
    with closing(sqlite3.connect(shop.folder / "shop.db")) as database, database:
        database.execute("UPDATE sourced_messages SET payload = ?", [payload])

    shown = shop.sourced("messages", "show", identity)
    document = shop.sourced("messages", "show", identity, "--json")
    traced = shop.sourced("messages", "trace", identity, "--json")

    assert (shown.code, document.code, traced.code) == (0, 0, 0)
    assert document.json["data"]["payload"] == payload
    assert r"{\"a\":{\"a\":" in shown.out


def test_a_trace_draws_what_came_of_a_message(busy: Project) -> None:
    identity = busy.sourced("messages", "tail", "--type", "carts.placed", "-n", "1", "--json")
    placed = identity.lines[0]["data"]["id"]

    result = busy.sourced("messages", "trace", placed)

    assert outline(result.out) == ["carts.place", "└─ carts.placed", "   └─ mail.send"]
    assert "mail.send  mail-1 #2  +" in result.out
    assert "by Cart" in result.out
    assert result.out.splitlines()[-1] == "3 messages · 2 streams · 0 open branches"


def test_what_nobody_has_handled_names_the_group_and_that_no_worker_runs(shop: Project) -> None:
    identity = shop.installed().send("carts.place", "cart-1")

    result = shop.sourced("messages", "trace", identity)

    assert outline(result.out) == [
        "carts.place",
        "└─ ✗ Cart has not handled it: no worker runs for this group",
    ]
    assert result.out.splitlines()[-1].endswith("1 open branch")


def test_what_waits_for_a_retry_says_for_which_error(shop: Project) -> None:
    identity = shop.installed().send("carts.place", "cart-1")
    shop.sourced("workers", "--drain")

    (branch,) = [
        branch
        for node in shop.sourced("messages", "trace", identity, "--json").json["data"]["messages"]
        for branch in node["open"]
    ]

    assert (branch["group"], branch["state"]) == ("Mailer", "retrying")
    assert "ConnectionError: no" in branch["why"]


def test_what_is_parked_says_where_and_by_which_error(shop: Project) -> None:
    never = SHOP.replace("import Actor,", "import ErrorPolicy, Actor,").replace(
        'App("sqlite:///shop.db")', 'App("sqlite:///shop.db", errors=ErrorPolicy(retries=0))'
    )
    shop.write(app=never).installed()
    first = shop.send("carts.place", "cart-1")
    shop.sourced("workers", "--drain")
    shop.send("carts.add_item", "cart-2", "product_id=tea", "price=1")
    second = shop.send("carts.place", "cart-2")
    shop.sourced("workers", "--drain")

    at_fault = shop.sourced("messages", "trace", first).out
    behind = shop.sourced("messages", "trace", second).out

    assert "✗ Mailer has not handled it: the stream is parked: ConnectionError" in at_fault
    assert "✗ Mailer has not handled it: the stream is parked at #1: ConnectionError" in behind


def test_what_a_stopped_group_has_not_handled_says_why_it_stopped(shop: Project) -> None:
    identity = shop.installed().send("carts.place", "cart-1")
    shop.write(app=SHOP + "\napp.groups.stop(Cart, reason='stocktaking')\n")

    assert "the group is stopped: stocktaking" in shop.sourced("messages", "trace", identity).out


def test_what_waits_for_its_time_is_drawn_with_it(shop: Project) -> None:
    shop.write(
        app=SHOP.replace('to="mail-1")', 'to="mail-1", after=timedelta(days=1))').replace(
            "import Annotated", "import Annotated\nfrom datetime import timedelta"
        )
    ).installed()
    identity = shop.send("carts.place", "cart-1")
    shop.sourced("workers", "--drain")

    result = shop.sourced("messages", "trace", identity)

    assert "   └─ mail.send  mail-1  scheduled for 2" in result.out
    assert result.out.splitlines()[-1].endswith("1 scheduled")


def test_a_message_that_is_only_scheduled_has_a_trace(shop: Project) -> None:
    shop.installed()
    sent = shop.sourced("commands", "send", "carts.place", "--to", "c", "--after", "1h", "--json")

    result = shop.sourced("messages", "trace", sent.json["data"]["message_id"])

    assert outline(result.out) == ["carts.place"]

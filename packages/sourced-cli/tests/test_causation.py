"""The causation tree: drawn whole, whatever its shape."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sourced._records import NewMessage
from sourced.memory import MemoryStore
from sourced_cli._causation import MOST, Tree, draw, tree_of
from sourced_cli._render import Painter

PLAIN = Painter(io.StringIO())


def identity(number: int) -> UUID:
    return UUID(int=number)


def caused(number: int, cause: int, *, stream: str = "s") -> NewMessage:
    return NewMessage(
        id=identity(number),
        type=f"m{number}",
        stream_id=stream,
        payload="{}",
        meta="{}",
        created_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number),
        causation_id=identity(cause),
        correlation_id=identity(1),
    )


def tree(*messages: NewMessage, of: int = 1) -> Tree:
    store = MemoryStore()
    store.install()
    store.append(messages)
    found = tree_of(store, identity(of))
    assert found is not None
    return found


def names(text: str) -> list[str]:
    return [line.split("  s ")[0].rstrip() for line in text.splitlines()[:-1]]


def test_branches_are_drawn_in_the_order_of_the_log() -> None:
    text = draw(tree(caused(1, 1), caused(2, 1), caused(3, 1), caused(4, 2), caused(5, 3)), PLAIN)

    assert names(text) == ["m1", "├─ m2", "│  └─ m4", "└─ m3", "   └─ m5"]
    assert "m4  s #4  +2ms" in text


def test_a_message_whose_cause_is_not_there_is_a_root() -> None:
    assert names(draw(tree(caused(2, 99), caused(3, 2), of=2), PLAIN)) == ["m2", "└─ m3"]


def test_a_circle_of_causes_is_drawn_once_and_ends() -> None:
    text = draw(tree(caused(1, 1), caused(2, 4), caused(3, 2), caused(4, 3)), PLAIN)

    assert names(text) == ["m1", "m2", "└─ m3", "   └─ m4"]


def test_a_message_that_is_its_own_cause_within_a_chain_is_a_root() -> None:
    assert names(draw(tree(caused(1, 1), caused(2, 2)), PLAIN)) == ["m1", "m2"]


def test_a_saga_of_a_thousand_messages_in_one_chain_is_drawn_quickly_and_says_it_is_cut() -> None:
    found = tree(*(caused(n, max(n - 1, 1), stream=f"s-{n % 50}") for n in range(1, 1_500)))

    began = time.perf_counter()
    text = draw(found, PLAIN)

    assert time.perf_counter() - began < 5
    assert text.count("\n") == MOST
    assert text.endswith("1,000 messages · 50 streams · 0 open branches · cut after 1,000")

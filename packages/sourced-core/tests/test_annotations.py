"""Names in annotations: found wherever the class was defined, and refused where they cannot be."""

from __future__ import annotations

import gc
import importlib
import inspect
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, new_class
from typing import Any

import pytest

from sourced import App, Command, Event
from sourced._messages import decode_new, encode
from sourced.errors import DefinitionError

Define = Callable[[str], ModuleType]


@pytest.fixture
def define(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Define:
    """Import a module made of a text; its name is new each time."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(text: str) -> ModuleType:
        name = f"{tmp_path.name.replace('-', '_')}_{len(list(tmp_path.glob('*.py')))}"
        (tmp_path / f"{name}.py").write_text(f"from __future__ import annotations\n{text}")
        importlib.invalidate_caches()
        try:
            return importlib.import_module(name)
        finally:
            sys.modules.pop(name, None)

    return make


def is_read_back(message: Any) -> bool:
    return bool(decode_new(encode(message, "s")) == message)


def test_classes_local_to_a_function_are_found() -> None:
    @dataclass
    class Item:
        sku: str

    class Added(Event):
        item: Item
        others: list[Item]

    assert is_read_back(Added(item=Item("a"), others=[Item("b")]))


def test_names_of_every_function_around_are_found() -> None:
    @dataclass
    class Outer:
        n: int

    def define_inside(annotation: Any) -> Any:
        @dataclass
        class Inner:
            outer: Outer

        class Added(Event):
            inner: Inner
            given: annotation

        return Added(inner=Inner(Outer(1)), given=2)

    assert is_read_back(define_inside(int))


def test_names_of_the_class_around_and_of_the_class_itself_are_found() -> None:
    class Cart:
        @dataclass
        class Item:
            sku: str

        class Added(Event):
            @dataclass
            class Detail:
                n: int

            item: Cart.Item
            detail: Detail

    message = Cart.Added(item=Cart.Item("a"), detail=Cart.Added.Detail(1))

    assert is_read_back(message)


def test_a_message_may_hold_messages_of_its_own_class() -> None:
    class Comment(Event):
        text: str
        replies: tuple[Comment, ...] = ()

    assert is_read_back(Comment(text="a", replies=(Comment(text="b"),)))


def test_the_classs_own_name_is_known_though_it_is_bound_to_another() -> None:
    annotations = {"replies": "tuple[Comment, ...]"}
    reply: Any = new_class(
        "Comment", (Event,), {}, lambda body: body.update(__annotations__=annotations)
    )

    assert is_read_back(reply(replies=(reply(replies=()),)))


def test_a_field_may_be_named_like_its_type(define: Define) -> None:
    module = define(
        "from datetime import date\n"
        "from sourced import Event\n"
        "class Moved(Event):\n"
        "    date: date | None = None\n"
        "    until: date | None = None\n"
    )

    assert is_read_back(module.Moved())
    assert module.Moved.parse({"date": "2024-01-01"}).date.year == 2024


def test_names_of_a_caller_that_is_not_around_are_not_found() -> None:
    class Hidden:
        pass

    with pytest.raises(DefinitionError, match="'Hidden' is not defined"):
        _class_that_names_hidden().parse({})


def _class_that_names_hidden() -> Any:
    class Naive(Event):
        value: Hidden  # type: ignore[name-defined]  # noqa: F821

    return Naive


def test_a_class_defined_later_is_found_when_it_is_needed(define: Define) -> None:
    module = define(
        "from dataclasses import dataclass\n"
        "from sourced import Event\n"
        "class Added(Event):\n"
        "    item: Item\n"
        "@dataclass\n"
        "class Item:\n"
        "    sku: str\n"
    )

    assert is_read_back(module.Added(item=module.Item("a")))


def test_a_class_defined_later_in_a_function_is_found_after_the_function_returned() -> None:
    def make() -> tuple[Any, Any]:
        class Added(Event):
            item: Item

        @dataclass
        class Item:
            sku: str

        return Added, Item

    added, item = make()

    assert is_read_back(added(item=item("a")))


def test_a_name_that_exists_only_under_type_checking_is_refused_at_definition(
    define: Define,
) -> None:
    with pytest.raises(DefinitionError, match="'Decimal' exists only under TYPE_CHECKING"):
        define(
            "from typing import TYPE_CHECKING\n"
            "from sourced import Event\n"
            "if TYPE_CHECKING:\n"
            "    from decimal import Decimal\n"
            "class Paid(Event):\n"
            "    amount: Decimal\n"
        )


def test_such_a_name_is_refused_inside_of_a_nested_class_too(define: Define) -> None:
    with pytest.raises(DefinitionError, match="'D' exists only under TYPE_CHECKING"):
        define(
            "import typing as t\n"
            "from dataclasses import dataclass\n"
            "from sourced import Event\n"
            "if t.TYPE_CHECKING:\n"
            "    from decimal import Decimal as D\n"
            "@dataclass\n"
            "class Money:\n"
            "    amount: D\n"
            "class Paid(Event):\n"
            "    money: list[Money]\n"
        )


def test_a_misspelt_name_is_told_when_the_class_is_first_used(define: Define) -> None:
    module = define("from sourced import Event\nclass Paid(Event):\n    amount: Decmial\n")

    with pytest.raises(DefinitionError, match=r"Paid\.amount: the name 'Decmial' is not defined"):
        module.Paid.parse({})


MISSPELT = """
from dataclasses import dataclass
from sourced import Command, Reactor, on

@dataclass
class Money:
    amount: Decmial

class Pay(Command, type="annotations.{name}"):
    invoice: str
    money: Money

class Refund(Pay, type="annotations.{name}.refund"):
    reason: str = ""

class Payments(Reactor):
    @on
    def pay(self, message: Pay): ...
"""


def test_no_message_is_made_of_a_class_with_a_misspelt_name(define: Define) -> None:
    module = define(MISSPELT.format(name="never_made"))

    for _ in range(2):
        with pytest.raises(DefinitionError, match=r"Pay\.money: the name 'Decmial' is not defined"):
            module.Pay(invoice="1", money=module.Money(1))
    with pytest.raises(DefinitionError, match=r"Refund\.money: the name 'Decmial' is not defined"):
        module.Refund(invoice="1", money=module.Money(1))


def test_no_group_is_announced_that_handles_a_class_with_a_misspelt_name(define: Define) -> None:
    module = define(MISSPELT.format(name="never_announced"))
    app = App().register(module.Payments)

    for verb in (app.install, app.drain, lambda: app.groups.status("Payments")):
        with pytest.raises(DefinitionError, match=r"Pay\.money: the name 'Decmial'"):
            verb()

    assert app.store.inspect.groups() == ()


def test_an_app_may_be_put_together_before_the_last_name_is_defined(define: Define) -> None:
    module = define(
        "from sourced import App, Command, Reactor, on\n"
        "class Pay(Command, type='annotations.made_later'):\n"
        "    money: Money\n"
        "class Payments(Reactor):\n"
        "    @on\n"
        "    def pay(self, message: Pay): ...\n"
        "app = App().register(Payments)\n"
        "Money = int\n"
    )

    module.app.dispatch(module.Pay(money=1), to="s")

    assert module.app.drain().handled == 1


def test_a_class_that_waited_for_a_name_costs_no_more_than_others_once_it_is_there() -> None:
    class Added(Event):
        item: Later

    waiting = Added.__init__

    @dataclass
    class Later:
        sku: str

    added = Added(item=Later("a"))

    assert Added.__init__ is not waiting
    assert Added.__init__.__code__.co_filename == "<string>", "the one that dataclass made"
    assert is_read_back(added)
    assert Added(item=Later("a")) == added
    assert str(inspect.signature(waiting)) == str(inspect.signature(Added.__init__))


def test_other_fields_are_checked_at_definition_though_one_is_defined_later() -> None:
    with pytest.raises(DefinitionError, match=r"Bad\.other: the type complex"):

        class Bad(Event):
            later: Later  # type: ignore[name-defined]  # noqa: F821
            other: complex


def test_an_annotation_that_is_no_type_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"Bad\.value: "):

        class Bad(Event):
            value: 3  # type: ignore[valid-type]

    with pytest.raises(DefinitionError, match=r"Bad\.value: its annotation is no type"):

        class Bad(Command):  # type: ignore[no-redef]
            value: "1 +"  # type: ignore[valid-type]  # noqa: F722


def test_a_message_class_keeps_no_frame_of_its_definition_alive() -> None:
    class Marker:
        pass

    def make() -> tuple[Any, weakref.ref[Marker]]:
        marker = Marker()

        class Added(Event):
            n: int

        return Added, weakref.ref(marker)

    added, marker = make()
    gc.collect()

    assert marker() is None
    assert is_read_back(added(n=1))


def test_fields_inherited_from_another_module_are_resolved_there(define: Define) -> None:
    base = define(
        "from decimal import Decimal as Money\n"
        "from sourced import Event\n"
        "class Paid(Event):\n"
        "    amount: Money\n"
    )
    sys.modules[base.__name__] = base

    class Refunded(base.Paid):  # type: ignore[name-defined, misc]
        reason: str

    assert Refunded.parse({"amount": "1.5", "reason": "r"}).reason == "r"
    del sys.modules[base.__name__]

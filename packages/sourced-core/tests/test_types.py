"""Constraints and lax types: what they take, what they refuse and with which words."""

from __future__ import annotations

import functools
import re
from dataclasses import field
from decimal import Decimal
from types import new_class
from typing import Annotated, Any

import annotated_types
import pytest

from sourced import Command, Event
from sourced._messages import decode_new, encode
from sourced.errors import DefinitionError, PayloadError
from sourced.types import (
    Ge,
    Gt,
    LaxBool,
    LaxDecimal,
    LaxFloat,
    LaxInt,
    LaxStr,
    Le,
    Lt,
    MaxLen,
    MinLen,
    Pattern,
)

CorporateEmail = Annotated[str, Pattern(r"@apple\.com$")]


class Form(Command, type="test_types.form"):
    count: LaxInt = 0
    weight: LaxFloat = 0.0
    agreed: LaxBool = False
    price: LaxDecimal = Decimal(0)
    name: LaxStr = ""
    age: LaxInt | None = None
    sizes: list[LaxInt] = field(default_factory=list)


class TestLaxTypes:
    @pytest.mark.parametrize(
        ("name", "given", "expected"),
        [
            ("count", "10", 10),
            ("count", " +10 ", 10),
            ("count", "-3", -3),
            ("count", 10.0, 10),
            ("count", Decimal(4), 4),
            ("weight", "1.5", 1.5),
            ("weight", " .5e2 ", 50.0),
            ("weight", 3, 3.0),
            ("weight", Decimal("1.5"), 1.5),
            ("agreed", "on", True),
            ("agreed", "TRUE", True),
            ("agreed", 1, True),
            ("agreed", "off", False),
            ("agreed", "no", False),
            ("agreed", 0, False),
            ("price", " 1.50 ", Decimal("1.50")),
            ("price", 1.1, Decimal("1.1")),
            ("price", 3, Decimal(3)),
            ("name", "  Ada \n", "Ada"),
            ("name", 7, "7"),
            ("age", "", None),
            ("age", "  ", None),
            ("age", "7", 7),
            ("sizes", ["1", 2], [1, 2]),
        ],
    )
    def test_what_a_form_sends_is_taken(self, name: str, given: Any, expected: Any) -> None:
        found = Form.parse({name: given}).payload[name]

        assert found == expected
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        ("name", "given"),
        [
            ("count", ""),
            ("count", "1.5"),
            ("count", "1_000"),
            ("count", "ten"),
            ("count", "٣"),
            ("count", "9" * 5000),
            ("count", 1.5),
            ("count", float("nan")),
            ("count", float("inf")),
            ("count", Decimal("Infinity")),
            ("count", Decimal("1E+999999999")),
            ("count", Decimal("sNaN")),
            ("count", True),
            ("weight", "nan"),
            ("weight", "1e999"),
            ("weight", Decimal("NaN")),
            ("agreed", ""),
            ("agreed", "perhaps"),
            ("agreed", 2),
            ("price", "NaN"),
            ("price", float("inf")),
            ("price", ""),
            ("name", True),
            ("name", None),
            ("age", "x"),
        ],
    )
    def test_what_means_nothing_is_refused(self, name: str, given: Any) -> None:
        with pytest.raises(PayloadError) as caught:
            Form.parse({name: given})

        assert list(caught.value.problems) == [name]

    def test_the_constructor_and_the_store_are_not_lax(self) -> None:
        with pytest.raises(PayloadError, match="count: expected an integer"):
            encode(Form(count="10"), "s")  # type: ignore[arg-type]
        assert decode_new(encode(Form(count=10), "s")) == Form(count=10)

    def test_constraints_are_asked_of_the_coerced_value(self) -> None:
        class Order(Command):
            count: Annotated[LaxInt, Ge(1)]

        assert Order.parse({"count": "1"}) == Order(count=1)
        assert Order.draft({"count": "0"}).errors == {"count": ["expected at least 1, got 0"]}


def is_even(value: int) -> None:
    if value % 2:
        raise ValueError(f"{value} is odd")


def errors_of(annotation: Any, value: Any) -> Any:
    return draft_of(annotation, value).errors.get("value", [])


def draft_of(annotation: Any, value: Any) -> Any:
    namespace = {"__annotations__": {"value": annotation}, "__module__": __name__}
    cls: Any = new_class("Holder", (Event,), {}, lambda body: body.update(namespace))
    return cls.draft({"value": value})


class TestConstraints:
    @pytest.mark.parametrize(
        ("constraint", "base", "good", "bad", "words"),
        [
            (Ge(1), int, 1, 0, "expected at least 1, got 0"),
            (Gt(1), float, 1.5, 1, "expected more than 1, got 1.0"),
            (Le(1), Decimal, "1", "1.1", "expected at most 1, got Decimal('1.1')"),
            (Lt(1), int, 0, 1, "expected less than 1, got 1"),
            (MinLen(2), str, "ab", "a", "expected at least 2 characters, got 1"),
            (MaxLen(1), list[int], [1], [1, 2], "expected at most 1 items, got 2"),
            (MinLen(1), dict[str, int], {"a": 1}, {}, "expected at least 1 items, got 0"),
            (Pattern("^a+$"), str, "aa", "aab", "expected a match of '^a+$', got 'aab'"),
            (is_even, int, 2, 3, "3 is odd"),
            (functools.partial(int, base=2), str, "101", "9", "invalid literal"),
            (annotated_types.Ge(1), int, 1, 0, "expected at least 1, got 0"),
            (annotated_types.Interval(gt=0, le=5), int, 5, 6, "expected at most 5, got 6"),
            (annotated_types.MultipleOf(5), int, 10, 12, "expected a multiple of 5, got 12"),
            (Ge(1), Decimal, "1E+999999999", "0", "expected at least 1, got Decimal('0')"),
            (annotated_types.MultipleOf(Decimal(3)), Decimal, 6, "1E+99", "expected a multiple"),
            (annotated_types.Len(1, 2), str, "a", "abc", "expected at most 2 characters, got 3"),
            (annotated_types.MinLen(1), str, "a", "", "expected at least 1 characters, got 0"),
            (annotated_types.Predicate(str.islower), str, "a", "A", "'A' does not satisfy islower"),
            (re.compile("^a+$", re.IGNORECASE), str, "AA", "b", "expected a match of '^a+$'"),
        ],
    )
    def test_a_constraint_takes_what_fits_and_says_what_does_not(
        self, constraint: Any, base: Any, good: Any, bad: Any, words: str
    ) -> None:
        annotation = Annotated[base, constraint]

        assert errors_of(annotation, good) == []
        assert [text.startswith(words) for text in errors_of(annotation, bad)] == [True]

    def test_all_constraints_are_asked(self) -> None:
        errors = errors_of(Annotated[str, MinLen(5), Pattern("^a")], "b")

        assert len(errors) == 2

    def test_constraints_hold_inside_of_other_types(self) -> None:
        draft = draft_of(dict[str, list[Annotated[int, Ge(0)]]], {"a": [1, -1]})

        assert draft.errors == {"value.a[1]": ["expected at least 0, got -1"]}

    def test_none_passes_the_constraints_of_an_optional_field(self) -> None:
        for annotation in (Annotated[int, Ge(1)] | None, Annotated[int | None, Ge(1)]):
            assert errors_of(annotation, None) == []
            assert errors_of(annotation, 0) == ["expected at least 1, got 0"]

    def test_constraints_are_asked_before_storing(self) -> None:
        class Sent(Event):
            to: CorporateEmail

        with pytest.raises(PayloadError, match=r"to: expected a match"):
            encode(Sent(to="x@pear.com"), "s")

    def test_constraints_are_not_asked_of_what_is_stored(self) -> None:
        class Sent(Event):
            to: str

        record = encode(Sent(to="x@pear.com"), "s")
        del Sent

        class Stricter(Event, was=(record.type,)):
            to: CorporateEmail

        assert decode_new(record) == Stricter(to="x@pear.com")

    def test_a_pattern_may_match_anywhere_and_a_last_dollar_means_the_end(self) -> None:
        assert errors_of(CorporateEmail, "tim@apple.com") == []
        assert errors_of(CorporateEmail, "tim@apple.com\n")
        assert errors_of(Annotated[str, Pattern(r"\$")], "5$\n") == []

    def test_other_metadata_is_passed_over(self) -> None:
        assert errors_of(Annotated[int, "the price", object(), 3], 1) == []

    @pytest.mark.parametrize(
        ("annotation", "words"),
        [
            (Annotated[int, Ge], r"the constraint Ge needs its argument: Ge\(…\)"),
            (Annotated[int, Ge("a")], "cannot be compared"),
            (Annotated[int, Pattern("a")], "a pattern cannot be asked of an integer"),
            (Annotated[int, MinLen(1)], "a length cannot be asked of an integer"),
            (Annotated[str, Pattern("(")], "no regular expression"),
        ],
    )
    def test_a_constraint_that_makes_no_sense_is_refused_at_definition(
        self, annotation: Any, words: str
    ) -> None:
        with pytest.raises(DefinitionError, match=words):
            draft_of(annotation, 1)

    def test_a_default_must_satisfy_the_constraints(self) -> None:
        with pytest.raises(DefinitionError, match=r"its default does not fit: expected at least 1"):

            class Bad(Event):
                count: Annotated[int, Ge(1)] = 0

"""What is wrong with a payload, collected by field path before it becomes a `PayloadError`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sized
from typing import Any, Final

from sourced._naming import with_article
from sourced.errors import PayloadError

__all__ = ["WHOLE", "InvalidError", "Part", "Problem", "expected", "path_text", "shown"]

type_ = type
Part = str | int
Problem = tuple[tuple[Part, ...], str]

WHOLE: Final = "payload"
"""The path of a problem with the payload as a whole; no field can be named so."""

_SHOWN_CHARACTERS = 60


class InvalidError(Exception):
    """A value that does not fit, with every reason; internal, users see `PayloadError`.

    Attributes:
        problems: pairs of a path, outermost part first, and a sentence.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    @classmethod
    def because(cls, text: str) -> InvalidError:
        """Return one problem with the value itself."""
        return cls(((), text))

    def under(self, part: Part) -> list[Problem]:
        """Return the problems as seen from the container that holds the value at `part`."""
        return [((part, *path), text) for path, text in self.problems]

    def as_error(self, type: str) -> PayloadError:
        """Return the error that users see, problems grouped by path."""
        grouped: dict[str, list[str]] = {}
        for path, text in self.problems:
            grouped.setdefault(path_text(path) or WHOLE, []).append(text)
        return PayloadError(type, grouped)


def path_text(path: Iterable[Part]) -> str:
    """Return a path as `items[0].price`; a key that is no plain name is quoted: `days['1 May']`."""
    text = ""
    for part in path:
        if isinstance(part, str) and part.isidentifier():
            text = f"{text}.{part}" if text else part
        elif isinstance(part, str) and not text:
            text = part if part.isprintable() and part else repr(part[:_SHOWN_CHARACTERS])
        else:
            text = f"{text}[{shown(part)}]"
    return text


def shown(value: Any) -> str:
    """Return a short, safe rendering of a refused value."""
    if isinstance(value, str):
        return _shortened(repr, value)
    if isinstance(value, bytes):
        return _shortened(repr, value)
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if value.bit_length() < 200 else "a very large integer"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"a {type_(value).__name__} of {len(value)}"
    return _of_other_type(value)


def expected(what: str) -> Callable[[Any], InvalidError]:
    """Return a function that refuses a value: `expected an integer, got 'abc'`."""

    def refuse(value: Any) -> InvalidError:
        return InvalidError.because(f"expected {what}, got {shown(value)}")

    return refuse


def _shortened(render: Callable[[Any], str], value: Any) -> str:
    assert isinstance(value, Sized)
    if len(value) <= _SHOWN_CHARACTERS:
        return render(value)
    return f"{render(value[:_SHOWN_CHARACTERS])}… ({len(value)} long)"  # type: ignore[index]


def _of_other_type(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a refused value's own repr must not hide why it was refused
        text = ""
    return text if 0 < len(text) <= _SHOWN_CHARACTERS else with_article(type_(value).__name__)

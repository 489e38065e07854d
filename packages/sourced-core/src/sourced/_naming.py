"""Names that are derived from names: groups from classes, messages from handlers."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["camel_case", "nearest", "plain_name", "with_article"]

_SOUNDS_LIKE_YOU = ("eu", "uni", "ui", "url", "us", "ut", "uu")


def plain_name(cls: type) -> str:
    """Return a class's qualified name without the module and without `<locals>` parts."""
    return cls.__qualname__.replace(".<locals>.", ".")


def nearest(name: object, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant, if one is near."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(str(name), known, n=1, cutoff=0.6)), None)


def with_article(noun: str) -> str:
    """Return `an event`, `a UserId`: the name of a thing as a sentence has it."""
    name = noun.lower()
    is_vowel = name[:1] in ("a", "e", "i", "o", "u") and not name.startswith(_SOUNDS_LIKE_YOU)
    return f"an {noun}" if is_vowel else f"a {noun}"


def camel_case(name: str) -> str:
    """Return `AddItem` for `add_item`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))

"""Names that are derived from names: groups from classes, messages from handlers."""

from __future__ import annotations

__all__ = ["camel_case", "plain_name"]


def plain_name(cls: type) -> str:
    """Return a class's qualified name without the module and without `<locals>` parts."""
    return cls.__qualname__.replace(".<locals>.", ".")


def camel_case(name: str) -> str:
    """Return `AddItem` for `add_item`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))

"""Types of fields, one of each kind that the codec's and the schema's tests both need."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, NotRequired, TypedDict

__all__ = ["Address", "Colour", "Point", "Tree"]


class Colour(Enum):
    """An enum whose values differ from its names."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Tree:
    """A dataclass that holds its own kind."""

    name: str
    children: list[Tree] = field(default_factory=list)


class Point(NamedTuple):
    """A named tuple with a default."""

    x: int
    y: int = 0


class Address(TypedDict):
    """A typed dict of which one key may be missing."""

    city: str
    zip: NotRequired[str]

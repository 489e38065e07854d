"""The built-in codec: annotations compiled to closures that read, write and describe values."""

from __future__ import annotations

from sourced._codec._collections import plain_json
from sourced._codec._compile import Compiler, default_of, owner_of
from sourced._codec._node import Definitions, JsonSchema, Unsupported
from sourced._codec._records import REQUIRED, Default, Member, Record

__all__ = [
    "REQUIRED",
    "Compiler",
    "Default",
    "Definitions",
    "JsonSchema",
    "Member",
    "Record",
    "Unsupported",
    "default_of",
    "owner_of",
    "plain_json",
]

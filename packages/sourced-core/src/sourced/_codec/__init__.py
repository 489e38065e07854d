"""The built-in codec: annotations compiled to closures that read, write and describe values."""

from __future__ import annotations

from sourced._codec._collections import plain_json
from sourced._codec._compile import Compiler, default_of, owner_of
from sourced._codec._constraints import annotated_node
from sourced._codec._node import Convert, Definitions, JsonSchema, Node, UnsupportedError
from sourced._codec._records import REQUIRED, Default, Member, Record, member_of

__all__ = [
    "REQUIRED",
    "Compiler",
    "Convert",
    "Default",
    "Definitions",
    "JsonSchema",
    "Member",
    "Node",
    "Record",
    "UnsupportedError",
    "annotated_node",
    "default_of",
    "member_of",
    "owner_of",
    "plain_json",
]

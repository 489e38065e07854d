"""The causation tree of a message: what it caused, and which branches are still open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sourced._inspect import PendingMessage
from sourced._messages import Message

__all__ = ["Trace", "TraceNode", "trace_of"]


@dataclass(slots=True)
class TraceNode:
    """A message, what it caused, and who has still to handle it."""

    message: Message
    children: list[TraceNode] = field(default_factory=list)
    pending: list[PendingMessage] = field(default_factory=list)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, TraceNode]]:
        """Give this node and all below it, depth first, each with its depth."""
        stack = [(depth, self)]
        while stack:
            level, node = stack.pop()
            yield level, node
            stack.extend((level + 1, child) for child in reversed(node.children))


@dataclass(frozen=True, slots=True)
class Trace:
    """All messages of one correlation as a forest, usually of one tree; `str` draws it."""

    roots: tuple[TraceNode, ...]

    def __iter__(self) -> Iterator[TraceNode]:
        for root in self.roots:
            for _, node in root.walk():
                yield node

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __str__(self) -> str:
        return "\n".join(
            "  " * depth + _line(node) for root in self.roots for depth, node in root.walk()
        )


def trace_of(messages: Sequence[Message], pending: Sequence[PendingMessage]) -> Trace:
    """Put messages under what caused them; those whose cause is not among them are roots."""
    nodes = {message.meta.id: TraceNode(message) for message in messages}
    for open_branch in pending:
        if open_branch.message_id in nodes:
            nodes[open_branch.message_id].pending.append(open_branch)
    roots: list[TraceNode] = []
    for node in nodes.values():
        parent = _parent(node.message, nodes)
        (roots if parent is None else parent.children).append(node)
    return Trace(tuple(roots))


def _parent(message: Message, nodes: dict[UUID, TraceNode]) -> TraceNode | None:
    cause = message.meta.causation_id
    return None if cause == message.meta.id else nodes.get(cause)


def _line(node: TraceNode) -> str:
    meta = node.message.meta
    text = f"{meta.type}  {meta.stream_id} #{meta.seq}"
    for branch in node.pending:
        text += f"  [{branch.group}: {branch.state}]"
    return text

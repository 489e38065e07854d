"""The tree of what a message caused, and which branches of it are open, by whom and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sourced_cli._durations import shown, shown_clock
from sourced_cli._messages import data_of, object_of
from sourced_cli._render import Painter
from sourced_cli._text import safe

if TYPE_CHECKING:
    from sourced import Store
    from sourced._inspect import PendingMessage, ScheduledStatus
    from sourced._records import NewMessage, StoredMessage

__all__ = ["MOST", "Branch", "Node", "Tree", "draw", "tree_of"]

MOST = 1_000
"""A tree has at most so many messages and open branches; one that is cut says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A group that has not handled a message yet.

    Attributes:
        state: ready, claimed, retrying, parked, stopped or filling.
        why: one sentence.
    """

    group: str
    state: str
    why: str


@dataclass(slots=True)
class Node:
    """A message, what it caused, and who has still to handle it.

    Attributes:
        due_at: when it enters the log, if it only waits for its time.
        failed: why it could not enter the log when it was due.
    """

    message: StoredMessage | NewMessage
    due_at: datetime | None = None
    failed: str | None = None
    children: list[Node] = field(default_factory=list)
    open: list[Branch] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """Give this node and all below it, depth first."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def data(self) -> dict[str, Any]:
        """Return the node alone, with its cause's id, for `--json`."""
        return {
            **data_of(self.message),
            "due_at": self.due_at,
            "error": self.failed,
            "open": self.open,
        }


@dataclass(frozen=True, slots=True)
class Tree:
    """All messages of one correlation, usually below one root."""

    roots: tuple[Node, ...]
    is_cut: bool

    def nodes(self) -> Iterator[Node]:
        """Give all nodes, depth first."""
        for root in self.roots:
            yield from root.walk()


def tree_of(store: Store, message_id: UUID) -> Tree | None:
    """Return the tree that a message belongs to, or None if there is no such message."""
    records = store.trace(message_id, limit=MOST)
    scheduled = store.inspect.schedule(limit=MOST)
    if records:
        correlation = records[0].correlation_id
    else:
        waiting = next((s for s in scheduled if s.message.id == message_id), None)
        if waiting is None:
            return None
        correlation = waiting.message.correlation_id
    nodes = {record.id: Node(record) for record in records}
    for status in scheduled:
        if status.message.correlation_id == correlation:
            node = Node(status.message, due_at=status.due_at, failed=_sentence(status))
            nodes.setdefault(status.message.id, node)
    pending = store.inspect.pending(correlation, limit=MOST) if records else ()
    explain = _Explain(store)
    for each in pending:
        if each.message_id in nodes:
            branch = Branch(group=each.group, state=each.state, why=explain(each))
            nodes[each.message_id].open.append(branch)
    return Tree(_roots(nodes), is_cut=len(records) == MOST or len(pending) == MOST)


def draw(tree: Tree, paint: Painter) -> str:
    """Return the tree with its open branches, and a line that counts."""
    lines: list[str] = []
    for root in tree.roots:
        lines += _drawn(root, paint)
    nodes = list(tree.nodes())
    streams = {node.message.stream_id for node in nodes}
    branches = sum(len(node.open) for node in nodes)
    scheduled = sum(node.due_at is not None for node in nodes)
    counts = [
        _plural(len(nodes), "message"),
        _plural(len(streams), "stream"),
        _plural(branches, "open branch", "open branches"),
    ]
    if scheduled:
        counts.append(f"{scheduled:,} scheduled")
    if tree.is_cut:
        counts.append(f"cut after {MOST:,}")
    return "\n".join([*lines, paint(" · ".join(counts), "dim")])


# --- the tree -------------------------------------------------------------------------------------


def _roots(nodes: Mapping[UUID, Node]) -> tuple[Node, ...]:
    """Put nodes under what caused them; a circle of causes is entered at its oldest message."""
    roots: list[Node] = []
    for node in nodes.values():
        cause = node.message.causation_id
        parent = None if cause == node.message.id else nodes.get(cause)
        if parent is None:
            roots.append(node)
        else:
            parent.children.append(node)
    reached = {node.message.id for root in roots for node in root.walk()}
    for identity, node in nodes.items():
        if identity not in reached:
            nodes[node.message.causation_id].children.remove(node)
            roots.append(node)
            reached.update(each.message.id for each in node.walk())
    return tuple(roots)


class _Explain:
    """Says why a group has not handled a message; asks the store once for each question."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._served: set[str] | None = None

    def __call__(self, pending: PendingMessage) -> str:
        if pending.state == "parked":
            return self._parked(pending)
        if pending.state == "stopped":
            (group,) = self._store.inspect.groups([pending.group]) or (None,)
            reason = f": {safe(group.reason)}" if group is not None and group.reason else ""
            return f"the group is stopped{reason}"
        if pending.state == "retrying":
            return self._retrying(pending)
        if pending.state == "claimed":
            return f"{safe(pending.worker_name) or 'a worker'} is at this stream"
        if pending.state == "filling":
            return "the group is still being registered"
        why = "ready, no worker has taken it yet"
        if pending.group not in self._serving():
            why = "no worker runs for this group"
        _, error = self._failure(pending)
        return f"{why}; last time{error}" if error else why

    def _parked(self, pending: PendingMessage) -> str:
        at, error = self._failure(pending)
        where = "" if at is None or at == pending.seq else f" at #{at}"
        return f"the stream is parked{where}{error}"

    def _retrying(self, pending: PendingMessage) -> str:
        _, error = self._failure(pending)
        if pending.until is None:
            return f"waits for a retry{error}"
        left = (pending.until - self._store.now()).total_seconds()
        return f"tried again in {shown(max(left, 0))}{error}"

    def _failure(self, pending: PendingMessage) -> tuple[int | None, str]:
        """Return where the stream is held up, and by what error."""
        found = self._store.inspect.deliveries(
            group=pending.group, stream_id=pending.stream_id, limit=1
        )
        if not found or found[0].error is None:
            return None, ""
        kept = object_of(found[0].error)
        if not isinstance(kept, dict):
            return found[0].next_seq, f": {safe(kept, cap=200)}"
        name = str(kept.get("class", "")).rpartition(".")[2]
        return found[0].next_seq, f": {safe(name)}: {safe(kept.get('text', ''), cap=200)}"

    def _serving(self) -> set[str]:
        if self._served is None:
            workers = self._store.inspect.workers()
            self._served = {group for worker in workers for group in worker.handles}
        return self._served


def _sentence(status: ScheduledStatus) -> str | None:
    if status.error is None:
        return None
    kept = object_of(status.error)
    return str(kept.get("text", kept) if isinstance(kept, dict) else kept)


# --- drawing --------------------------------------------------------------------------------------


def _drawn(root: Node, paint: Painter) -> list[str]:
    """Draw a tree without recursion: a chain of causes may be long."""
    lines: list[str] = []
    stack: list[tuple[Node, Node | None, str, str]] = [(root, None, "", "")]
    while stack:
        node, parent, lead, indent = stack.pop()
        lines.append(lead + _title(node, parent, paint))
        lines += [
            f"{indent}{'└─' if n == len(node.open) and not node.children else '├─'} {text}"
            for n, text in enumerate(_branches(node, paint), 1)
        ]
        for n, child in enumerate(reversed(node.children)):
            corner, below = ("└─ ", "   ") if n == 0 else ("├─ ", "│  ")
            stack.append((child, node, indent + corner, indent + below))
    return lines


def _title(node: Node, parent: Node | None, paint: Painter) -> str:
    message = node.message
    seq = getattr(message, "seq", None)
    place = f"{safe(message.stream_id)}" + (f" #{seq}" if seq is not None else "")
    parts = [paint(safe(message.type), "bold"), place, paint(_when(node, parent), "dim")]
    if producer := _producer(message):
        parts.append(paint(f"by {safe(producer)}", "dim"))
    return "  ".join(parts)


def _when(node: Node, parent: Node | None) -> str:
    if node.failed is not None:
        return f"could not enter the log: {safe(node.failed, cap=200)}"
    if node.due_at is not None:
        return f"scheduled for {shown_clock(node.due_at)}"
    if parent is None:
        return shown_clock(node.message.created_at)
    after = (node.message.created_at - parent.message.created_at).total_seconds()
    return f"+{shown(after)}"


def _producer(message: StoredMessage | NewMessage) -> str:
    meta = object_of(message.meta)
    return str(meta.get("producer", "")) if isinstance(meta, dict) else ""


def _branches(node: Node, paint: Painter) -> Iterable[str]:
    for branch in node.open:
        yield paint(f"✗ {safe(branch.group)} has not handled it: {branch.why}", "red")


def _plural(count: int, noun: str, nouns: str = "") -> str:
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"

"""Takes commands in: records them for the workers, each once, and counts what it saw."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from examples.shop.command_file import Sent, Unreadable
from sourced import App, AppTransaction
from sourced.errors import DuplicateMessageError

TOGETHER = 100
"""How many commands are recorded in one transaction; SQLite waits for the disk once for each."""


@dataclass
class Intake:
    """What became of the lines.

    Attributes:
        recorded: new commands.
        known: commands that an earlier run has recorded.
        repeats: lines that repeat an earlier line of the file.
        unreadable: lines that are no commands, by reason.
        first: the first unreadable line of each reason.
    """

    lines: int = 0
    recorded: int = 0
    known: int = 0
    repeats: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    first: dict[str, Unreadable] = field(default_factory=dict)

    def refuse(self, line: Unreadable) -> None:
        """Count a line that is no command."""
        self.unreadable[line.reason] += 1
        self.first.setdefault(line.reason, line)


def take_in(app: App, lines: Iterable[Sent | Unreadable]) -> Intake:
    """Record the commands among the lines, in order."""
    intake = Intake()
    seen: set[UUID] = set()
    remaining = iter(lines)
    while together := list(islice(remaining, TOGETHER)):
        with app.transaction() as transaction:
            for line in together:
                intake.lines += 1
                if isinstance(line, Unreadable):
                    intake.refuse(line)
                else:
                    _record(transaction, line, intake, seen)
    return intake


def _record(transaction: AppTransaction, line: Sent, intake: Intake, seen: set[UUID]) -> None:
    """Record one command, unless it is there; what it causes will know its line."""
    try:
        receipt = transaction.dispatch(
            line.command, to=line.to, id=line.id, meta={"line": line.number}
        )
    except DuplicateMessageError as error:
        intake.refuse(Unreadable(line.number, "id of another command", str(error)))
        return
    intake.repeats += line.id in seen
    intake.known += receipt.repeated and line.id not in seen
    intake.recorded += not receipt.repeated
    seen.add(line.id)

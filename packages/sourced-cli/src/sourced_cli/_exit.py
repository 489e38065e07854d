"""Exit codes: what each means, and which error leads to which."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

__all__ = ["Code", "CommandError", "code_of", "no_group"]


class Code(IntEnum):
    """What a caller learns from the process alone."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    APP = 3
    UNREACHABLE = 4
    SCHEMA = 5
    NOT_FOUND = 6
    REFUSED = 7
    CHECK = 8
    CONFIRM = 9
    FORCED = 70
    INTERRUPTED = 130
    TERMINATED = 143


class CommandError(Exception):
    """A command cannot do what it was asked for.

    Attributes:
        code: of the process.
        problem: what is wrong, one sentence, which names the subject.
        hint: the next step.
        name: for programs, such as `app.no-such-module`.
        subject: what it is about.
        trace: the user's own traceback, where there is one.
    """

    def __init__(
        self,
        code: Code,
        problem: str,
        *,
        name: str,
        hint: str = "",
        subject: str = "",
        trace: str = "",
    ) -> None:
        super().__init__(code, problem)
        self.code = code
        self.problem = problem
        self.name = name
        self.hint = hint
        self.subject = subject
        self.trace = trace

    def __str__(self) -> str:
        return self.problem


def no_group(name: str, known: Collection[str]) -> CommandError:
    """Return what to raise when there is no consumer group of this name; suggests the nearest."""
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    return CommandError(
        Code.NOT_FOUND,
        f"no group {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
        name="group.not-found",
        subject=name,
        hint="list them: sourced lag",
    )


def code_of(error: BaseException) -> Code:
    """Return the exit code of an error; the first row that fits counts."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return Code.INTERRUPTED
    from sourced import errors

    table: tuple[tuple[type[BaseException], Code], ...] = (
        (errors.UnknownGroupError, Code.NOT_FOUND),
        (errors.UnknownTypeError, Code.NOT_FOUND),
        (errors.NotFoundError, Code.NOT_FOUND),
        (errors.MessageError, Code.USAGE),
        (errors.DefinitionError, Code.APP),
        (errors.ConfigurationError, Code.APP),
        (errors.StoreUnavailableError, Code.UNREACHABLE),
        (errors.SchemaError, Code.SCHEMA),
        (errors.WaitTimeoutError, Code.CHECK),
        (errors.LoopError, Code.FAILED),
        (errors.HandlingError, Code.REFUSED),
        (errors.StoreError, Code.REFUSED),
    )
    return next((code for kind, code in table if isinstance(error, kind)), Code.FAILED)

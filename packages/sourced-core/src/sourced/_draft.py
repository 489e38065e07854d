"""Untrusted input on its way to a message, for forms that are shown again with what was wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sourced.errors import PayloadError

if TYPE_CHECKING:
    from sourced._message import Message

__all__ = ["Draft"]

M = TypeVar("M", bound="Message")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Generic[M]):
    """Untrusted input on its way to a message: the message, or what is wrong with it.

    Attributes:
        values: the input as it came, for filling a form again.
    """

    values: Mapping[str, Any]
    _message: M | None = None
    _error: PayloadError | None = None

    @property
    def valid(self) -> bool:
        """Whether there is a message."""
        return self._error is None

    @property
    def errors(self) -> dict[str, list[str]]:
        """All problems by field path; empty if there is none."""
        return {} if self._error is None else self._error.problems

    @property
    def message(self) -> M:
        """The message.

        Raises:
            PayloadError: there is none; names all problems.
        """
        if self._message is None:
            assert self._error is not None
            raise self._error
        return self._message

    @property
    def command(self) -> M:
        """The message, in the words of a form that makes a command.

        Raises:
            PayloadError: there is none, as with `message`: look at `valid` or `errors` first.
        """
        return self.message

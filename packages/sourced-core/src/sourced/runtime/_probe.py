"""Asks what may hang, in a thread of its own: whoever wants the answer waits for a bounded time.

```
ask ─┬─ the last answer is fresh ─────────────────────────────────── that one
     ├─ a call is out already ── wait for it ─┬─ it answers in time ─ its answer
     └─ none is ── start one ── wait for it ──┴─ it does not ─────── the last one, with its age
```

Nothing is called while nobody asks, and one call is out at a time: a store that hangs costs one
thread, however many ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Answer", "Probe"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T]):
    """The last result of a call.

    Attributes:
        value: what it returned; None if it raised, or if there was no answer yet.
        error: what it raised.
        age: seconds since then; None if there was no answer yet.
        waiting: for how many seconds the present call has been out, 0 if none is.
    """

    value: T | None = None
    error: Exception | None = None
    age: float | None = None
    waiting: float = 0.0


class Probe(Generic[T]):
    """Keeps the last answer of a call; may be asked from any thread.

    Args:
        call: what is asked; it may hang or raise.
        fresh: for how many seconds an answer is good enough not to ask again.
        patience: for how many seconds whoever asks waits at most.
        monotonic: tells the time.
    """

    def __init__(
        self,
        call: Callable[[], T],
        *,
        fresh: float,
        patience: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._call = call
        self._fresh = fresh
        self._patience = patience
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._answered: tuple[T | None, Exception | None, float] | None = None
        self._out_since: float | None = None

    def ask(self) -> Answer[T]:
        """Return a fresh answer, or the last one if none comes in time."""
        with self._changed:
            if not self._is_fresh():
                if self._out_since is None:
                    self._send()
                self._changed.wait_for(lambda: self._out_since is None, self._patience)
            return self._last()

    def _is_fresh(self) -> bool:
        answered = self._answered
        return answered is not None and self._monotonic() - answered[2] < self._fresh

    def _send(self) -> None:
        self._out_since = self._monotonic()
        threading.Thread(target=self._run, name="sourced-probe", daemon=True).start()

    def _run(self) -> None:
        value: T | None = None
        error: Exception | None = None
        try:
            value = self._call()
        except Exception as raised:  # noqa: BLE001 - whatever it is, it is the answer
            error = raised
        with self._changed:
            self._answered = (value, error, self._monotonic())
            self._out_since = None
            self._changed.notify_all()

    def _last(self) -> Answer[T]:
        now = self._monotonic()
        waiting = 0.0 if self._out_since is None else now - self._out_since
        if self._answered is None:
            return Answer(waiting=waiting)
        value, error, at = self._answered
        return Answer(value=value, error=error, age=now - at, waiting=waiting)

"""What counts as the failure of a message, and how to speak of it without failing oneself."""

from __future__ import annotations

from asyncio import CancelledError

__all__ = ["FAILURES", "kind_of", "safe_repr"]

FAILURES = (Exception, CancelledError, SystemExit, GeneratorExit)
"""What user code may raise and the engine takes for the message's failure.

A handler that exits or cancels itself must not end the worker, nor take other streams with it. A
`KeyboardInterrupt` is the user's at the terminal, and ends what runs.
"""


def safe_repr(value: object, bound: int = 200) -> str:
    """Return `repr(value)`, bounded; of an object whose `__repr__` raises, its class."""
    try:
        text = repr(value)
    except Exception as broken:  # noqa: BLE001 - user code, and no reason to lose the message
        kind = type(value).__qualname__
        return f"<{kind} whose __repr__ raised {type(broken).__qualname__}>"
    return text if len(text) <= bound else f"{text[:bound]} …"


def kind_of(value: object) -> str:
    """Return of what kind a value is, for texts that reach a log: what it holds is nobody's."""
    return "None" if value is None else f"{type(value).__qualname__}(…)"
